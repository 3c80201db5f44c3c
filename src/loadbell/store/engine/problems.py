"""Why a store can't be used."""


class StoreProblem(Exception):  # noqa: N818 - reads as what happened
    """The store can't be used as it stands; the message says what happened and what to do."""


class Unreachable(StoreProblem):
    """The database does not answer."""


class WrongState(StoreProblem):
    """The database answers but can't be used: locked by another process, an old schema, another secret key."""
