"""A server that stands still for a while, as a suspended machine does, beside runs that live on."""

import signal
import threading
from pathlib import Path

from tests.support.server import Client, Server, set_up, wait_until

SILENCE_S = 3
STOPPED_S = 5.0


def test_a_server_that_stood_still_ends_no_living_run(tmp_path: Path) -> None:
    """Who reports again after it goes on; who stays silent times out, once it has had its whole time again."""
    body = set_up(tmp_path)
    with Server(tmp_path) as server:
        client = Client(server.url, body["token"])
        living, silent = (client.ok("POST", "/runs", {"name": "x", "watchdog_s": SILENCE_S})["id"] for _ in range(2))

        def status(run: int) -> int:
            client.ok("POST", f"/runs/{living}/heartbeat", {})
            found: int = client.ok("GET", f"/runs/{run}")["status"]
            return found

        assert [2, 2] == [status(run) for run in (living, silent)]
        server.process.send_signal(signal.SIGSTOP)
        threading.Event().wait(STOPPED_S)
        server.process.send_signal(signal.SIGCONT)
        threading.Event().wait(0.5)  # the watchdog looks before the first report comes
        wait_until(lambda: status(silent) == 4, interval=0.5)

        assert 2 == status(living)
