"""Alembic's entry: runs migrations on the connection that `upgrading` hands over; never opens one itself."""

from alembic import context

from adapters.state.schema import metadata

connection = context.config.attributes["connection"]
# SQLite changes a table by copying it: render_as_batch makes new migrations do so.
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True)
context.run_migrations()
