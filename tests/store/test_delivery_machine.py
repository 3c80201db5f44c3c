"""Random histories of the delivery rows, on both stores; see ``delivery_machine.py`` for what must hold."""

import shutil
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import cast

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from loadbell.store.engine.db import Database
from tests.store.delivery_machine import DeliveryRows
from tests.support.stores import ReusedPostgres, open_store


def test_random_histories_on_sqlite(sqlite_template: Path, tmp_path: Path) -> None:
    """Whatever two workers, persons and deaths do in whatever order: nothing is lost, moved wrongly or left stuck."""
    made = 0

    def store() -> AbstractAsyncContextManager[Database]:
        nonlocal made
        made += 1
        path = tmp_path / f"{made}.sqlite3"
        shutil.copy(sqlite_template, path)
        return open_store(f"sqlite:///{path}")

    _play(lambda: DeliveryRows(store()), settings(max_examples=40, stateful_step_count=40))


def test_random_histories_on_postgresql(reused_postgres: ReusedPostgres) -> None:
    """A short form of the same."""

    def store() -> AbstractAsyncContextManager[Database]:
        return open_store(reused_postgres.empty())

    _play(
        lambda: DeliveryRows(store()),
        settings(max_examples=8, stateful_step_count=30, suppress_health_check=list(HealthCheck)),
    )


def _play(machine: Callable[[], DeliveryRows], how: settings) -> None:
    # Annotated for a class, but documented and written for anything that makes a machine.
    run_state_machine_as_test(cast("type[DeliveryRows]", machine), settings=how)
