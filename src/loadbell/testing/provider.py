"""Common base of the fake chat providers: records accepted messages, and why others were refused."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from loadbell.testing.receiver import Behaviour, Received, ScriptedReceiver, respond


class FakeProvider(ScriptedReceiver, ABC):
    """A receiver that responds to each message as its provider would, or with a fixed response."""

    def __init__(self, *, host: str, port: int) -> None:
        super().__init__(self._answer, host=host, port=port)
        self._posted: list[dict[str, Any]] = []
        self._refused: list[str] = []
        self._fixed: tuple[int, bytes, dict[str, str]] | None = None

    @property
    def posted(self) -> list[dict[str, Any]]:
        """The accepted messages, oldest first."""
        with self._changed:
            return list(self._posted)

    @property
    def refused(self) -> list[str]:
        """The error code of each refused request, oldest first: ``rate_limited`` or the provider's own."""
        with self._changed:
            return list(self._refused)

    def answer_with(self, status: int | None, body: bytes = b"", headers: Mapping[str, str] = {}) -> None:
        """Sends this response to every request from now on and posts none; with None, the fake judges again."""
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
        """Returns the provider's response; called like a script. Adds to ``_posted`` or ``_refused``."""

    @abstractmethod
    def _code(self, status: int, body: bytes) -> str:
        """Returns the error code of a fixed response."""
