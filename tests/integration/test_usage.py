"""Exit code 2: what is wrong with the call is said before anything is touched (I6)."""

import pytest

from tests.integration.scenes import PEOPLE, last_line, on_mysql
from tests.support.database import Database
from tests.support.gate import run_gate
from tests.support.projects import ENV_PY

pytestmark = pytest.mark.I6


@pytest.mark.parametrize(
    ("arguments", "env", "words"),
    [
        ([], {}, "DATABASE_URL"),
        ([], {"DATABASE_URL": "mysql://u@127.0.0.1:1/d", "GATE_TARGT": "head"}, "GATE_TARGT"),
        ([], {"DATABASE_URL": "mysql://u@127.0.0.1:1/d", "GATE_LOG_FORMAT": "xml"}, "GATE_LOG_FORMAT"),
        (["upgrde"], {"DATABASE_URL": "mysql://u@127.0.0.1:1/d"}, "upgrde"),
        (["status", "--jsn"], {"DATABASE_URL": "mysql://u@127.0.0.1:1/d"}, "--jsn"),
        (["downgrade"], {"DATABASE_URL": "mysql://u@127.0.0.1:1/d"}, "target"),
        (["repair", "--done", "--abandon"], {"DATABASE_URL": "mysql://u@127.0.0.1:1/d"}, "--abandon"),
    ],
    ids=lambda value: " ".join(value) if value else "-",
)
def test_a_wrong_call_names_what_is_wrong(tmp_path, arguments, env, words):
    message = tmp_path / "termination-log"
    message.touch()
    process = run_gate(*arguments, env={**env, "GATE_TERMINATION_LOG": str(message)})
    assert process.returncode == 2
    assert words in last_line(process.stderr)
    assert "Traceback" not in process.stderr
    assert words in message.read_text()


@pytest.mark.parametrize("arguments", [["--help"], ["upgrade", "--help"], ["repair", "--help"]], ids=" ".join)
def test_help_is_no_error(arguments):
    process = run_gate(*arguments, env={})
    assert process.returncode == 0
    assert "usage: alembic-gate" in process.stdout


@on_mysql
@pytest.mark.parametrize(
    ("case", "env", "words"),
    [
        ("no configuration", {"ALEMBIC_CONFIG": "nowhere.ini"}, "nowhere.ini"),
        ("unknown target", {"GATE_TARGET": "zzzz"}, "zzzz"),
        ("lock by another name", {"GATE_LOCK": "table"}, "GATE_LOCK"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_setting_that_fits_no_project_is_named(database, new_project, case, env, words):
    assert words in last_line(new_project(database, PEOPLE).ends(2, **env)), case
    assert not database.schema()["tables"].keys() - {"alembic_version"}


@on_mysql
def test_an_env_py_that_runs_no_migrations_is_found_out(database, new_project):
    project = new_project(database, PEOPLE, env_py="from alembic import context\n")
    assert "ran no migrations" in project.ends(2)


SQLITE = """\
from alembic import context
from sqlalchemy import create_engine

with create_engine("sqlite://").connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""


@on_mysql
def test_an_env_py_that_speaks_to_no_mysql_is_found_out(database, new_project):
    assert "MySQL" in new_project(database, PEOPLE, env_py=SQLITE).ends(2)


def connecting_to(url: str) -> str:
    """An env.py with a URL of its own."""
    escaped = url.replace("%", "%%")
    return ENV_PY.replace(
        "config = context.config\n", f'config = context.config\nconfig.set_main_option("sqlalchemy.url", {escaped!r})\n'
    )


@pytest.mark.I1
@pytest.mark.parametrize("verb", [("upgrade", "head"), ("downgrade", "base")], ids=" ".join)
def test_an_env_py_that_connects_to_another_database_migrates_neither(server, database, new_project, verb):
    other = server.create_database("other")
    project = new_project(database, PEOPLE, env_py=connecting_to(other.url))
    assert "another database" in project.ends(2, *verb)
    for one in (database, other):
        assert not one.schema()["tables"].keys() - {"alembic_version"}
    other.drop()


@pytest.mark.I1
def test_an_env_py_that_connects_to_another_server_is_found_out_though_the_names_are_the_same(
    database, patient_server, new_project
):
    twin = Database.create(patient_server, database.name)
    assert "another database" in new_project(database, PEOPLE, env_py=connecting_to(twin.url)).ends(2)
    twin.drop()


@on_mysql
def test_there_is_nothing_to_repair_where_nothing_is_interrupted(database, new_project):
    project = new_project(database, PEOPLE)
    project.ends(0)
    project.ends(2, "repair", "--done")
    assert "no revision is interrupted" in project.ends(0, "repair")
