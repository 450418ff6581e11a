"""Brings a state database to the revision this Nabd reads, in one transaction, or says why it cannot."""

from importlib.resources import as_file, files
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


class StateFault(Exception):
    """A state database that cannot be used; the message names the file and the remedy."""


def upgrade(connection: Connection, path: Path) -> None:
    """Run what is missing. The caller holds the write lock (BEGIN IMMEDIATE) and commits.

    Raises StateFault for a database that a newer Nabd made.
    """
    current = MigrationContext.configure(connection).get_current_revision()
    with as_file(files("adapters.state") / "migrations") as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.attributes["connection"] = connection
        scripts = ScriptDirectory.from_config(config)
        head = scripts.get_current_head()
        if current == head:
            return
        known = {script.revision for script in scripts.walk_revisions()}
        if current is not None and current not in known:
            raise StateFault(
                f"{path}: made by a newer Nabd (revision {current}; this one reads up to {head}); "
                "install the newer Nabd again, or restore a copy of the data folder made before the upgrade"
            )
        command.upgrade(config, "head")
