"""Runs the revisions on the connection that ``loadbell.store.engine.migrate`` passes in."""

from alembic import context

from loadbell.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
