"""Connect Alembic to the models: run by every `alembic` command and by every run of the gate.

`sqlalchemy.url` of the configuration says which database; where it is unset, as in the `alembic.ini` beside this
folder, the same environment variables that the gate reads do. So no file holds a password.
"""

import logging
import sys
from logging.config import fileConfig
from pathlib import Path

from alembic import context
from alembic.util import CommandError
from sqlalchemy import URL, NullPool, create_engine, make_url

# `model` lies beside this folder, and the command may have been started from anywhere.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from model import Base

target_metadata = Base.metadata

if context.config.config_file_name and not logging.getLogger().handlers:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)


def database_url() -> URL:
    """Return the configured URL, or the environment's."""
    configured = context.config.get_main_option("sqlalchemy.url")
    if configured:
        return make_url(configured)
    # Only here: a project that configures its URL needs nothing of the gate's.
    from alembic_gate.exits import GateStop
    from alembic_gate.settings import sqlalchemy_url_from_environment

    try:
        return make_url(sqlalchemy_url_from_environment())
    except GateStop as error:
        raise CommandError(str(error)) from error


def belongs_to_the_models(name: str | None, kind: str, _parent_names: object) -> bool:
    """Keep the gate's own tables out of what autogenerate compares, or it would propose to drop them."""
    return not (kind == "table" and name is not None and name.startswith("alembic_gate_"))


def migrate_offline() -> None:
    """Write the SQL to standard output; no database is contacted."""
    context.configure(
        url=database_url(),
        target_metadata=target_metadata,
        include_name=belongs_to_the_models,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
    )
    with context.begin_transaction():
        context.run_migrations()


def migrate_online() -> None:
    """Run the revisions over one connection."""
    engine = create_engine(database_url(), poolclass=NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=target_metadata, include_name=belongs_to_the_models)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    migrate_offline()
else:
    migrate_online()
