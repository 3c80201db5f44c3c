"""What the fakes of chat providers have in common: they keep what they took, and why they refused the rest."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from loadbell.testing.receiver import Behaviour, Received, ScriptedReceiver, respond


class FakeProvider(ScriptedReceiver, ABC):
    """A receiver that judges each message as its provider would, unless it is told what to answer."""

    def __init__(self, *, host: str, port: int) -> None:
        super().__init__(self._answer, host=host, port=port)
        self._posted: list[dict[str, Any]] = []
        self._refused: list[str] = []
        self._fixed: tuple[int, bytes, dict[str, str]] | None = None

    @property
    def posted(self) -> list[dict[str, Any]]:
        """The messages that it took, oldest first."""
        with self._changed:
            return list(self._posted)

    @property
    def refused(self) -> list[str]:
        """The error code of each refused request, oldest first: ``rate_limited`` or a word of the provider's own."""
        with self._changed:
            return list(self._refused)

    def answer_with(self, status: int | None, body: bytes = b"", headers: Mapping[str, str] = {}) -> None:
        """From now on every request gets this answer and none is posted; with None the fake judges again."""
        with self._changed:
            self._fixed = None if status is None else (status, body, dict(headers))

    def _answer(self, request: Received) -> Behaviour:
        if self._fixed is None:
            return self._judge(request)
        status, body, headers = self._fixed
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            self._refused.append(self._code(status, body))
        return respond(status, headers, body)

    @abstractmethod
    def _judge(self, request: Received) -> Behaviour:
        """The answer that the provider would give; called as a script is. Adds to ``_posted`` or ``_refused``."""

    @abstractmethod
    def _code(self, status: int, body: bytes) -> str:
        """The error code of an answer that it was told to give."""
