"""Work on a database by SQLAlchemy alone, past the store."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from tests.support.stores import sqlite_path

T = TypeVar("T")


def inside(url: str, work: Callable[[sa.Connection], T]) -> T:
    """Runs ``work`` on a connection of SQLAlchemy's own."""
    if url.startswith("sqlite"):
        engine = sa.create_engine(f"sqlite:///{sqlite_path(url)}")
        with engine.begin() as connection:
            found = work(connection)
        engine.dispose()
        return found

    async def on_postgresql() -> T:
        engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))
        async with engine.begin() as connection:
            found = await connection.run_sync(work)
        await engine.dispose()
        return found

    return asyncio.run(on_postgresql())
