"""Every test here may ask for a real store."""

from tests.support.stores import (
    play,
    play_on_postgresql,
    play_on_sqlite,
    postgres_store,
    reused_postgres,
    sqlite_store,
    sqlite_template,
    store_url,
)

__all__ = [
    "play",
    "play_on_postgresql",
    "play_on_sqlite",
    "postgres_store",
    "reused_postgres",
    "sqlite_store",
    "sqlite_template",
    "store_url",
]
