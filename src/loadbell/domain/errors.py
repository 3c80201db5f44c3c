"""
The errors that a use case can raise; the front ends turn each into a response.

::

    Refused
    ├── Invalid          the report or setting itself is wrong (carries the fields)
    ├── NotFound         it does not exist, or you may not see it
    ├── Forbidden        you see it but may not do it
    ├── Unauthenticated  the credential is missing or not valid
    ├── RateLimited      too many requests; carries how long to wait
    ├── Conflict         it clashes with what is there
    │   └── IllegalMove  a run or delivery can't go there from where it is
    └── Unavailable      the database can't be written or reached just now; nothing was changed
"""

from dataclasses import dataclass

from loadbell.domain.ids import Micros


@dataclass(frozen=True)
class FieldError:
    """An invalid field: its dotted path in the request, and the error."""

    field: str
    message: str


class Refused(Exception):  # noqa: N818 - the tree reads as what happened, not as what kind of class it is
    """A use case was refused. ``str()`` is the message for people: what happened, then what to do."""


class Invalid(Refused):
    """The request is well-formed but a field is wrong. Carries every wrong field that was found."""

    def __init__(self, *errors: FieldError) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))


class NotFound(Refused):
    """The thing doesn't exist, or the user may not see it: deliberately the same message."""


class Forbidden(Refused):
    """The user may see the thing but not do this."""


class Unauthenticated(Refused):
    """The credential is missing, unknown, revoked or expired."""


class RateLimited(Refused):
    """Too many attempts; the next one is allowed in ``wait`` microseconds."""

    def __init__(self, message: str, wait: Micros) -> None:
        self.wait = wait
        super().__init__(message)


class Conflict(Refused):
    """The request conflicts with the current state; repeating it unchanged won't help."""


class IllegalMove(Conflict):
    """The run or delivery can't change to that status from its current one."""


class Unavailable(Refused):
    """The database couldn't be reached or written, and nothing was changed.

    ``for_operator`` is the message for the server's operator, which may name files; None: the same as for users.
    """

    def __init__(self, message: str, for_operator: str | None = None) -> None:
        self.for_operator = for_operator
        super().__init__(message)
