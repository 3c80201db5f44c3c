"""The sender's input and output: one HTTP request, and its reply or why there is none."""

from dataclasses import dataclass, field

from loadbell.domain.deliveries import Reason
from loadbell.domain.ids import Micros


@dataclass(frozen=True)
class Message:
    """One complete HTTP request: the sender adds only ``Host`` and ``Content-Length``."""

    method: str
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    secret_headers: frozenset[str] = frozenset()  #: lower-case names whose values are masked in the log
    secrets: tuple[str, ...] = field(default=(), repr=False)  #: more values to mask in logged responses


@dataclass(frozen=True)
class Reply:
    """A complete HTTP response; ``truncated``: there was more than ``body``."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    truncated: bool
    duration: Micros

    def header(self, name: str) -> str | None:
        """Returns the value of the first header with that name, ignoring case."""
        lowered = name.lower()
        return next((value for key, value in self.headers if key.lower() == lowered), None)


@dataclass(frozen=True)
class NoReply:
    """Why no response came: one sentence without secrets or resolver details."""

    reason: Reason
    message: str
    duration: Micros
