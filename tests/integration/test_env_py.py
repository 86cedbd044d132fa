"""Any project's env.py runs unchanged; plain Alembic and the gate go on where the other one stopped (I7)."""

from signal import SIGTERM

import pytest

from tests.integration.scenes import PEOPLE, on_mysql, until
from tests.support.database import Database
from tests.support.projects import ENV_PY, revision_source

BEGIN = ENV_PY.replace("with engine.connect() as connection:", "with engine.begin() as connection:")
PER_MIGRATION = ENV_PY.replace("(connection=connection)", "(connection=connection, transaction_per_migration=True)")
POOLED = ENV_PY.replace(", poolclass=pool.NullPool", "")
AUTOCOMMIT = ENV_PY.replace("poolclass=pool.NullPool", 'poolclass=pool.NullPool, isolation_level="AUTOCOMMIT"')
MORE_COLUMNS = (
    """\
import sqlalchemy as sa
from alembic.ddl.mysql import MariaDBImpl, MySQLImpl


def with_more_columns(impl):
    class Impl(impl):
        __dialect__ = impl.__dialect__

        def version_table_impl(self, **options):
            table = super().version_table_impl(**options)
            table.append_column(sa.Column("made_by", sa.String(20), nullable=False, default=lambda: "insert"))
            table.append_column(sa.Column("moved_by", sa.String(20), onupdate=lambda: "update"))
            return table


with_more_columns(MySQLImpl)
with_more_columns(MariaDBImpl)
"""
    + ENV_PY
)
OWN_TABLE = ENV_PY.replace("(connection=connection)", '(connection=connection, version_table="ours")')
SWALLOWS = ENV_PY.replace(
    "        with context.begin_transaction():\n            context.run_migrations()\n",
    "        try:\n            context.run_migrations()\n        except:\n            pass\n",
)
# SQLAlchemy has begun a transaction by then, so Alembic leaves the commit to env.py, which forgets it.
ASKS_FIRST = ENV_PY.replace(
    "        context.configure(connection",
    '        connection.exec_driver_sql("SELECT 1")\n        context.configure(connection',
)
ASYNCHRONOUS = """
import asyncio
from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import async_engine_from_config

config = context.config


def do_run_migrations(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


async def run_async_migrations():
    section = config.get_section(config.config_ini_section)
    engine = async_engine_from_config(section, prefix="sqlalchemy.", poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(do_run_migrations)
    await engine.dispose()


asyncio.run(run_async_migrations())
"""

ODD_TABLES = ("per%s", "bra{}ce", "do.t", "UPPER")
VARIANTS = {
    "connect": ENV_PY,
    "begin": BEGIN,
    "transaction_per_migration": PER_MIGRATION,
    "pooled": POOLED,
    "autocommit": AUTOCOMMIT,
    "version_table": OWN_TABLE,
}

pytestmark = pytest.mark.I7


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_env_py_of_any_shape_runs_up_down_and_up_again(database: Database, new_project, variant: str):
    project = new_project(database, PEOPLE, env_py=VARIANTS[variant])
    table = "ours" if variant == "version_table" else "alembic_version"

    assert "applied 'a2'" in project.ends(0)
    assert project.versions(table) == {"a2"}
    assert "nothing to do" in project.ends(0)
    project.ends(0, "downgrade", "-1")
    assert project.versions(table) == {"a1"}
    project.ends(0)
    assert database.query("SELECT SUM(visits) FROM people") == ((2,),)
    assert "a2 (head)" in project.alembic("current")


@on_mysql
@pytest.mark.parametrize("name", ODD_TABLES)
def test_a_version_table_may_have_any_name(database: Database, new_project, name: str):
    env_py = ENV_PY.replace("(connection=connection)", f"(connection=connection, version_table={name!r})")
    project = new_project(database, PEOPLE, env_py=env_py)
    project.ends(0, "upgrade", "a1")
    project.ends(0)
    assert project.versions(f"`{name}`") == {"a2"}
    assert "a2 (head)" in project.alembic("current")
    project.ends(0, "downgrade", "base")
    assert project.versions(f"`{name}`") == set()


def test_a_version_table_in_another_schema_is_the_one_that_is_moved(database: Database, new_project):
    other = database.server.create_database()
    database.server.query(f"GRANT ALL ON {other.name}.* TO '{database.user}'@'%'")
    env_py = ENV_PY.replace("(connection=connection)", f"(connection=connection, version_table_schema={other.name!r})")
    project = new_project(database, PEOPLE, env_py=env_py)
    project.ends(0)
    project.ends(0, "downgrade", "a1")
    assert project.versions(f"{other.name}.alembic_version") == {"a1"}
    other.drop()


def test_columns_that_a_project_adds_to_the_version_table_are_filled_as_by_alembic(database: Database, new_project):
    project = new_project(database, PEOPLE, env_py=MORE_COLUMNS)
    project.ends(0, "upgrade", "a1")
    assert database.query("SELECT * FROM alembic_version") == (("a1", "insert", None),)
    project.ends(0)
    assert database.query("SELECT * FROM alembic_version") == (("a2", "insert", "update"),)


def test_an_asynchronous_env_py_keeps_its_driver(database: Database, new_project):
    project = new_project(database, PEOPLE, env_py=ASYNCHRONOUS)
    config = project.config.read_text(encoding="utf-8")
    lines = [line for line in config.splitlines() if not line.startswith("sqlalchemy.url")]
    lines.insert(1, "sqlalchemy.url = mysql+asyncmy://somebody@somewhere/something")
    project.config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    project.ends(0)
    project.ends(0, "downgrade", "a1")
    project.ends(0)

    assert project.versions() == {"a2"}
    assert database.query("SELECT SUM(visits) FROM people") == ((2,),)


@on_mysql
@pytest.mark.I1
@pytest.mark.parametrize(
    ("revision", "script", "code"), [("a2", "raise RuntimeError('no')", 20), ("a" * 40, "pass", 30)]
)
def test_an_env_py_that_swallows_what_goes_wrong_is_not_at_the_target(
    database: Database, new_project, revision: str, script: str, code: int
):
    project = new_project(database, [PEOPLE[0], revision_source(revision, "a1", script)], env_py=SWALLOWS)
    for _ in range(2):
        project.ends(code)
    assert project.versions() == {"a1"}


@on_mysql
@pytest.mark.I6
def test_an_env_py_that_swallows_a_signal_ends_with_its_code(database: Database, new_project):
    script = 'import pathlib, time\npathlib.Path("here").touch()\nwhile True: time.sleep(0.02)'
    project = new_project(database, [PEOPLE[0], revision_source("a2", "a1", script)], env_py=SWALLOWS)
    job = project.start()
    until((project.folder / "here").exists, f"the revision runs: {job.log}")
    job.process.send_signal(SIGTERM)
    job.ends(143)


@on_mysql
@pytest.mark.I1
def test_what_env_py_does_not_commit_is_not_said_to_be_applied(database: Database, new_project):
    said = new_project(database, PEOPLE, env_py=ASKS_FIRST).ends(30)
    assert "applying 2 of 2: 'a2'" in said
    assert "applied 'a2'" not in said
    assert "env.py did not commit" in said


def test_the_gate_and_plain_alembic_take_turns(database: Database, new_project):
    project = new_project(database, PEOPLE)
    project.alembic("upgrade", "a1")
    project.ends(0)
    assert project.journal() == {"a1": "adopted", "a2": "applied"}
    project.alembic("downgrade", "a1")
    project.ends(0)
    project.ends(0, "downgrade", "base")
    project.alembic("upgrade", "head")
    assert "nothing to do" in project.ends(0)
    assert database.query("SELECT SUM(visits) FROM people") == ((2,),)


def test_autogenerate_of_a_foreign_project_does_not_touch_our_tables(database: Database, new_project):
    env_py = ENV_PY.replace(
        "(connection=connection)", "(connection=connection, target_metadata=__import__('sqlalchemy').MetaData())"
    )
    project = new_project(database, PEOPLE, env_py=env_py)
    project.ends(0, GATE_LOCK="lease")
    assert database.query("SHOW TABLES LIKE 'alembic_gate_lease'")

    project.alembic("revision", "--autogenerate", "-m", "ours stay")

    (written,) = (
        path for path in (project.folder / "migrations/versions").glob("*.py") if path.stem not in ("a1", "a2")
    )
    source = written.read_text(encoding="utf-8")
    assert "drop_table('people')" in source
    assert "alembic_gate" not in source


@pytest.mark.I3
def test_rows_that_follow_a_refused_ddl_are_written_once_in_autocommit_mode(database: Database, new_project):
    script = (
        "try:\n    op.execute('CREATE TABLE people (id INT)')\nexcept Exception:\n    pass\n"
        "op.execute(\"INSERT INTO people (name) VALUES ('eve')\")\n"
        'import pathlib, time\npathlib.Path("here").touch()\nwhile not pathlib.Path("go").exists(): time.sleep(0.02)'
    )
    project = new_project(database, [PEOPLE[0], revision_source("a2", "a1", script)], env_py=AUTOCOMMIT)
    job = project.start()
    until((project.folder / "here").exists, f"the row is written: {job.log}")
    job.process.kill()
    job.wait()
    (project.folder / "go").touch()
    project.ends(0)
    assert database.query("SELECT COUNT(*) FROM people") == ((3,),)
