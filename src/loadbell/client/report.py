"""
Reports a run to the server without ever delaying the running tool.

One thread makes all calls: it creates the run, retrying while the tool runs, sends heartbeats, and reports the end.
After the tool's end, all of it takes at most a few seconds, whatever the server does.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import uuid4

from loadbell.client.api import Refused, Server, Unreachable, one_line
from loadbell.client.timeouts import Timeouts

T = TypeVar("T")

_MIN_WAIT_S, _MAX_WAIT_S = 0.25, 10.0


class Reporter:
    """Reports one run in its own thread, which also makes the calls of ``on_abort`` and ``on_refusal``.

    Args:
        server_url: the server's URL.
        token: the API token.
        run: the API body that creates the run.
        began: when the run began, by :func:`time.time` and :func:`time.monotonic`.
        timeouts: how long calls may take.
        on_abort: called when the server asks to abort the run.
        on_refusal: called with one line for the user when the server refuses the run.
    """

    def __init__(  # noqa: PLR0913 - two credentials, a body and two ways back; a bundle would only rename them
        self,
        server_url: str,
        token: str,
        run: dict[str, Any],
        *,
        began: tuple[float, float],
        timeouts: Timeouts,
        on_abort: Callable[[], None],
        on_refusal: Callable[[str], None],
    ) -> None:
        self._server_url, self._token = server_url, token
        self._body, self._key = run, str(uuid4())
        self._began = began
        self._timeouts = timeouts
        self._on_abort, self._on_refusal = on_abort, on_refusal
        self._ended = threading.Event()
        self._deadline = 0.0
        self._end: dict[str, Any] = {}
        self._run: dict[str, Any] | None = None
        self._trouble = "it didn't respond in time"
        self._outcome: str | None = None  #: the line for the user; None while it isn't final
        self._thread = threading.Thread(target=self._work, name="loadbell-report", daemon=True)
        self._thread.start()

    def end(self, end: dict[str, Any]) -> str:
        """Reports the end of the run. Returns one line for the user with the result, or "" if it was printed before."""
        self._end = end
        self._deadline = time.monotonic() + self._timeouts.end_s
        self._ended.set()
        self._thread.join(self._timeouts.end_s)
        if self._outcome is not None:
            return self._outcome
        if self._run is None:
            return f"this run wasn't reported; loadbell can't be reached: {self._trouble}"
        return f"this run's end wasn't reported; loadbell can't be reached: {self._trouble}; {self._url}"

    @property
    def _url(self) -> str:
        return one_line(str((self._run or {}).get("url", "")))

    def _work(self) -> None:
        try:
            self._report(Server(self._server_url, self._token))
        except Refused as refusal:
            if self._run is None:
                self._outcome = ""
                self._on_refusal(f"this run isn't reported: {refusal}")
            else:
                self._outcome = f"this run's end was refused: {refusal}; {self._url}"
        except Unreachable as trouble:
            self._trouble = str(trouble)
        except Exception as error:  # noqa: BLE001 - our errors must not affect the tool
            self._trouble = f"internal error {one_line(repr(error))}"

    def _report(self, server: Server) -> None:
        run = self._run = self._retry(
            lambda limit: server.create_run(self._body, key=self._key, sent_at=self._now(), timeout=limit)
        )
        run_id = run.get("id")
        if not isinstance(run_id, int):
            self._run = None
            raise Refused("there is no loadbell at LOADBELL_URL")
        while not self._ended.wait(self._timeouts.heartbeat_s):
            if self._is_abort_requested(server, run_id):
                self._on_abort()
        run = self._retry(lambda limit: server.update_run(run_id, self._end, timeout=limit))
        self._outcome = one_line(f"{run.get('status_text')}, result {run.get('result')}: {run.get('url')}")

    def _now(self) -> float:
        """Returns the current time by the clock at the start, so that a changed clock doesn't distort durations."""
        wall, monotonic = self._began
        return wall + time.monotonic() - monotonic

    def _is_abort_requested(self, server: Server, run_id: int) -> bool:
        try:
            return server.heartbeat(run_id, timeout=self._timeouts.heartbeat_call_s)
        except (Refused, Unreachable):
            return False

    def _retry(self, call: Callable[[float], T]) -> T:
        """Retries ``call`` while the server is unreachable: during the tool's run, and shortly after it."""
        wait = _MIN_WAIT_S
        while True:
            was_over = self._ended.is_set()
            try:
                return call(max(0.1, min(self._timeouts.call_s, self._time_left())))
            except Unreachable as trouble:
                self._trouble = str(trouble)
                if was_over and self._time_left() <= wait:
                    raise
            if was_over:
                time.sleep(wait)
            elif self._ended.wait(wait):
                wait = _MIN_WAIT_S
                continue
            wait = min(wait * 2, _MAX_WAIT_S)

    def _time_left(self) -> float:
        return self._deadline - time.monotonic() if self._ended.is_set() else self._timeouts.call_s
