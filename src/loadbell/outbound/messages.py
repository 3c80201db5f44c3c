"""What the sender is given and gives: one HTTP request, and the reply to it or why there is none. It judges nothing."""

from dataclasses import dataclass, field

from loadbell.domain.deliveries import Reason
from loadbell.domain.ids import Micros


@dataclass(frozen=True)
class Message:
    """One HTTP request, complete: the sender adds nothing but ``Host`` and ``Content-Length``."""

    method: str
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    secret_headers: frozenset[str] = frozenset()  #: lower-case names whose values are masked in the log
    secrets: tuple[str, ...] = field(default=(), repr=False)  #: more that the log must not repeat from an answer


@dataclass(frozen=True)
class Reply:
    """A complete HTTP answer; ``body`` is cut to what is read, and ``truncated`` says if there was more."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    truncated: bool
    duration: Micros

    def header(self, name: str) -> str | None:
        """The value of the first header of that name, whatever its case."""
        lowered = name.lower()
        return next((value for key, value in self.headers if key.lower() == lowered), None)


@dataclass(frozen=True)
class NoReply:
    """No answer came: why, in one sentence without secrets or resolver detail."""

    reason: Reason
    message: str
    duration: Micros
