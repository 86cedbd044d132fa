"""Writes small Alembic projects, as somebody else might have made them, into a folder of the test's."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

CONFIG = """\
[alembic]
script_location = %(here)s/migrations
prepend_sys_path = %(here)s
path_separator = os
file_template = %%(rev)s
"""

# The simplest env.py that a project can have: all it knows is the URL in its configuration.
ENV_PY = """\
from alembic import context
from sqlalchemy import engine_from_config, pool

config = context.config

if context.is_offline_mode():
    context.configure(url=config.get_main_option("sqlalchemy.url"), literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    engine = engine_from_config(config.get_section(config.config_ini_section), "sqlalchemy.", poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"""

MAKO = '''\
"""${message}"""

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade():
    ${upgrades or "pass"}


def downgrade():
    ${downgrades or "pass"}
'''

REVISION = re.compile(r"^revision\b[^=]*=\s*[\"']([^\"']+)", re.MULTILINE)


def revision_source(
    revision: str, down_revision: str | None = None, upgrade: str = "pass", downgrade: str = "pass", header: str = ""
) -> str:
    """Return a revision's source; `upgrade` and `downgrade` are function bodies, `op` and `sa` are imported."""
    return "\n".join(
        [
            "import sqlalchemy as sa",
            "from alembic import op",
            f"revision = {revision!r}",
            f"down_revision = {down_revision!r}",
            header,
            "def upgrade():",
            _indent(upgrade),
            "def downgrade():",
            _indent(downgrade),
            "",
        ]
    )


def write_project(
    folder: Path, revisions: Sequence[str] | Mapping[str, str], env_py: str | None = None, url: str | None = None
) -> Path:
    """Write a project and return the path of its `alembic.ini`.

    `revisions` are sources, in a list (the files are named after their revisions) or by file name without `.py`.
    With `url` the plain `alembic` command works there too.
    """
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    (versions.parent / "env.py").write_text(env_py or ENV_PY, encoding="utf-8")
    (versions.parent / "script.py.mako").write_text(MAKO, encoding="utf-8")
    named = revisions if isinstance(revisions, Mapping) else {_revision_of(source): source for source in revisions}
    for name, source in named.items():
        (versions / f"{name}.py").write_text(source, encoding="utf-8")
    config = folder / "alembic.ini"
    escaped = f"sqlalchemy.url = {url.replace('%', '%%')}\n" if url else ""
    config.write_text(CONFIG + escaped, encoding="utf-8")
    return config


def _revision_of(source: str) -> str:
    found = REVISION.search(source)
    if not found:
        raise ValueError(f"no line 'revision = …' in this source:\n{source}")
    return found[1]


def _indent(body: str) -> str:
    return "\n".join(f"    {line}" for line in body.strip("\n").splitlines())
