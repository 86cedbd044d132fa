"""The verbs that only look (30, 31) need no right to write, and write nothing; `wait` ends when others are done."""

import json

import pytest

from tests.integration.scenes import PEOPLE, last_line, on_mysql
from tests.support.database import Database
from tests.support.gate import run_script
from tests.support.projects import ENV_PY, revision_source

pytestmark = pytest.mark.I6

SHORT = {"GATE_WAIT_TIMEOUT_SECONDS": "1"}


def reader(database: Database) -> dict[str, str]:
    """Credentials that may only SELECT."""
    name = f"r_{database.name}"
    for host in ("%", "localhost"):
        database.server.query("CREATE USER %s@%s IDENTIFIED BY 'only looking'", name, host)
        database.server.query(f"GRANT SELECT ON `{database.name}`.* TO %s@%s", name, host)
    address = f"{database.server.host}:{database.server.port}"
    return {"DATABASE_URL": f"mysql://{name}:only%20looking@{address}/{database.name}"}


def test_wait_returns_when_another_job_has_finished_and_needs_no_right_to_write(database: Database, new_project):
    project = new_project(database, PEOPLE)
    looking = reader(database)
    job = project.start("wait", **looking)
    job.until_logged("to be upgraded")
    assert database.schema()["tables"] == {}
    project.ends(0)
    assert "at target" in job.ends(0)
    project.ends(0, "wait", **looking)
    project.ends(0, "status", **looking)


@on_mysql
def test_wait_that_waits_in_vain_ends_with_30(database: Database, new_project):
    project = new_project(database, PEOPLE)
    assert "within 1 s" in last_line(project.ends(30, "wait", **SHORT))
    project.ends(0, GATE_TARGET="a1")
    project.ends(30, "wait", **SHORT)
    project.ends(0, "wait", "a1", **SHORT)
    project.ends(0, "wait", GATE_TARGET="a1", **SHORT)


@on_mysql
def test_status_ends_with_30_until_the_database_is_at_head(database: Database, new_project):
    project = new_project(database, PEOPLE)
    found = json.loads(status(project, 30))
    assert (found["current"], found["head"], found["pending"]) == ([], ["a2"], ["a1", "a2"])
    assert database.schema()["tables"] == {}
    project.ends(0, GATE_TARGET="a1")
    assert json.loads(status(project, 30))["pending"] == ["a2"]
    project.ends(0)
    found = json.loads(status(project, 0))
    assert (found["current"], found["pending"], found["interrupted"], found["ahead"]) == (["a2"], [], [], False)


def status(project, code: int) -> str:
    process = project.gate("status", "--json")
    assert process.returncode == code, process.stderr
    return process.stdout


@on_mysql
def test_plan_lists_what_is_pending_in_order_and_its_sql(database: Database, new_project):
    project = new_project(database, PEOPLE)
    assert project.gate("plan").stdout.split() == ["a1", "a2"]
    project.ends(0, GATE_TARGET="a1")
    assert project.gate("plan").stdout.split() == ["a2"]
    sql = project.gate("plan", "--sql").stdout
    assert "ALTER TABLE people ADD visits" in sql
    assert "CREATE TABLE people" not in sql
    assert project.versions() == {"a1"}


MODELS = ENV_PY.replace(
    "config = context.config\n",
    "import sqlalchemy as sa\n"
    "config = context.config\n"
    "metadata = sa.MetaData()\n"
    'sa.Table("people", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(20)))\n',
).replace("connection=connection)", "connection=connection, target_metadata=metadata)")


@on_mysql
def test_check_compares_models_and_database(database: Database, new_project):
    project = new_project(database, PEOPLE, env_py=MODELS)
    project.ends(0, GATE_TARGET="a1")
    project.ends(30, "check")
    project.forget("a2")
    assert "the same" in project.ends(0, "check")
    database.query("ALTER TABLE people ADD born DATE")
    said = last_line(project.ends(31, "check"))
    assert "people.born" in said or "born" in said
    assert "alembic_gate" not in said


# A checkout whose dependencies alone are installed: nobody tells Alembic of our plugin.
NOT_INSTALLED = """
import sys
from importlib import metadata
found = metadata.entry_points
metadata.entry_points = lambda **wanted: () if wanted.get("group") == "alembic.plugins" else found(**wanted)
from alembic_gate.cli import main
sys.exit(main(["check"]))
"""


@on_mysql
def test_check_leaves_our_tables_out_where_the_gate_is_not_installed(database: Database, new_project):
    project = new_project(database, PEOPLE, env_py=MODELS)
    project.ends(0, GATE_TARGET="a1")
    project.forget("a2")
    ended = run_script(NOT_INSTALLED, env=database.env(), cwd=project.folder)
    assert ended.returncode == 0, ended.stderr


@on_mysql
def test_a_version_table_of_the_projects_own_is_found(database: Database, new_project):
    env_py = ENV_PY.replace("connection=connection)", 'connection=connection, version_table="our_version")')
    project = new_project(database, PEOPLE, env_py=env_py)
    project.ends(30, "status")
    project.ends(0)
    assert project.versions("our_version") == {"a2"}
    for verb in ("status", "wait", "upgrade"):
        assert "applying" not in project.ends(0, verb, **SHORT)
    project.write(revision_source("a3", "a2"))
    project.ends(30, "wait", **SHORT)
