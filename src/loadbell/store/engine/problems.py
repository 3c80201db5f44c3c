"""Why a store can't be used."""


class StoreProblem(Exception):  # noqa: N818 - reads as what happened
    """The store can't be used; the message says what happened and what to do."""


class Unreachable(StoreProblem):
    """The database doesn't respond."""


class WrongState(StoreProblem):
    """The database responds but can't be used: locked by another process, an old schema, a different secret key."""
