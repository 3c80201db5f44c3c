"""
``loadbell serve`` that kills itself with SIGKILL at a chosen place: ``crashing_server.py PLACE COUNT serve …``.

Nothing else of it is changed. PLACE is where, COUNT the how-manieth time it comes there:

- ``commit``: a group of reports has been committed and nobody has been answered yet
- ``lease``: deliveries have been leased and nothing has been sent yet
- ``post``: answers of receivers have come in and nothing has been recorded yet
- ``record``: in the transaction that records attempts, after its statements and before its COMMIT
- ``advance``: in the transaction that makes the next deliveries of a replay due, likewise
- ``sweep``: in the transaction of a sweep's next batch, likewise
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from loadbell.cli import main
from loadbell.notify import sweeper
from loadbell.notify.worker import loop
from loadbell.store import outbox as store
from loadbell.store import replays, sweeps
from loadbell.store.engine import sqlite


def _counted(count: int) -> Callable[[], None]:
    remaining = [count]

    def die_when_due() -> None:
        remaining[0] -= 1
        if remaining[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return die_when_due


def _at_commit(die_when_due: Callable[[], None]) -> None:
    commit_group = sqlite.SqliteDatabase._commit_group

    def commit(self: Any, connection: Any, group: Any) -> None:
        commit_group(self, connection, group)
        if any(job.wakes for job in group):
            die_when_due()

    setattr(sqlite.SqliteDatabase, "_commit_group", commit)  # noqa: B010 - the only way to die just here


def _at_lease(die_when_due: Callable[[], None]) -> None:
    send = loop.Worker._send

    def sending(self: Any, leased: Any) -> None:
        if leased:
            die_when_due()
        send(self, leased)

    setattr(loop.Worker, "_send", sending)  # noqa: B010 - as above


def _at_post(die_when_due: Callable[[], None]) -> None:
    answered = loop.Worker._complete_results

    def answering(self: Any, results: Any) -> None:
        die_when_due()
        answered(self, results)

    setattr(loop.Worker, "_answered", answering)  # noqa: B010 - as above


def _at_record(die_when_due: Callable[[], None]) -> None:
    async def completing(tx: Any, completions: Any, **given: Any) -> int:
        released = await store.complete(tx, completions, **given)
        if completions:
            die_when_due()
        return released

    setattr(loop, "complete", completing)  # noqa: B010 - as above


def _at_advance(die_when_due: Callable[[], None]) -> None:
    advance = replays.advance_replay

    async def advancing(tx: Any, replay_id: int, **given: Any) -> bool:
        more = await advance(tx, replay_id, **given)
        die_when_due()
        return more

    setattr(replays, "advance_replay", advancing)  # noqa: B010 - as above


def _at_sweep(die_when_due: Callable[[], None]) -> None:
    async def sweeping(tx: Any, sweep_id: int) -> None:
        await sweeps.go_on(tx, sweep_id)
        die_when_due()

    setattr(sweeper, "go_on", sweeping)  # noqa: B010 - as above


PLACES = {
    "commit": _at_commit,
    "lease": _at_lease,
    "post": _at_post,
    "record": _at_record,
    "advance": _at_advance,
    "sweep": _at_sweep,
}

if __name__ == "__main__":
    PLACES[sys.argv[1]](_counted(int(sys.argv[2])))
    main(sys.argv[3:])
