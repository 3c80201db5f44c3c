"""
The refusals that a use case can give; the front ends turn each into a response.

::

    Refused
    ├── Invalid          the report or setting itself is wrong (carries the fields)
    ├── NotFound         it does not exist, or you may not see it
    ├── Forbidden        you see it but may not do it
    ├── Unauthenticated  we do not know who you are
    ├── RateLimited      asked too often; carries how long to wait
    ├── Conflict         it clashes with what is there
    │   └── IllegalMove  a run or delivery can't go there from where it is
    └── Unavailable      the database can't be written or reached just now; nothing was changed
"""

from dataclasses import dataclass

from loadbell.domain.ids import Micros


@dataclass(frozen=True)
class FieldError:
    """One field that is wrong: its dotted path in the request, and what is wrong in words."""

    field: str
    message: str


class Refused(Exception):  # noqa: N818 - the tree reads as what happened, not as what kind of class it is
    """A use case was refused. ``str()`` is the sentence a person reads: what happened, then what to do."""


class Invalid(Refused):
    """The request is well-formed but a field is wrong. Carries every wrong field that was found."""

    def __init__(self, *errors: FieldError) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))


class NotFound(Refused):
    """There is no such thing, or the asker may not see it: both read the same on purpose."""


class Forbidden(Refused):
    """The asker may see the thing but not do this to it."""


class Unauthenticated(Refused):
    """The asker gave no credential, or one that is unknown, revoked or expired."""


class RateLimited(Refused):
    """The asker has tried too often; ``wait`` microseconds from now it may try again."""

    def __init__(self, message: str, wait: Micros) -> None:
        self.wait = wait
        super().__init__(message)


class Conflict(Refused):
    """The request clashes with the state of things; asking again unchanged won't help."""


class IllegalMove(Conflict):
    """The run or delivery can't move there from its present status."""


class Unavailable(Refused):
    """The database could not be reached or written, and nothing was changed.

    ``for_operator`` says it to whoever runs the server, who may know where files are; None: there is no more to say.
    """

    def __init__(self, message: str, for_operator: str | None = None) -> None:
        self.for_operator = for_operator
        super().__init__(message)
