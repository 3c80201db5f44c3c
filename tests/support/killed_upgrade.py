"""``killed_upgrade.py URL WORDS``: migrates the database, and kills itself before the statement that holds WORDS."""

import asyncio
import os
import signal
import sys
from typing import Any

import sqlalchemy as sa

from loadbell.store.engine.migrate import upgrade_postgresql, upgrade_sqlite
from tests.support.stores import sqlite_path


def main(url: str, words: str) -> None:
    """Migrates until then."""

    def die_when_due(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if words in " ".join(statement.split()):
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(sa.Engine, "before_cursor_execute", die_when_due)
    if url.startswith("sqlite"):
        upgrade_sqlite(sqlite_path(url))
    else:
        asyncio.run(upgrade_postgresql(url))


if __name__ == "__main__":
    main(*sys.argv[1:])
