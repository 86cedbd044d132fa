"""The log has one form, whatever env.py does to logging, and no run shows a secret (I5, I6)."""

import subprocess

import pytest

from tests.integration.scenes import PEOPLE, json_lines, on_mysql
from tests.support.database import Database
from tests.support.gate import ENTRYPOINT
from tests.support.projects import ENV_PY, revision_source

LOUD_ENV_PY = ENV_PY.replace(
    "config = context.config\n",
    "config = context.config\n"
    "import logging.config, warnings\n"
    "logging.config.dictConfig({'version': 1, 'disable_existing_loggers': True})\n"
    "from logging.config import fileConfig\n"
    "fileConfig(config.config_file_name, disable_existing_loggers=True)\n"
    "logging.getLogger('foreign').warning('heard')\n",
)


@pytest.mark.I6
def test_every_line_of_the_json_log_is_one_object_with_the_facts_of_the_run(database: Database, new_project):
    project = new_project(database, PEOPLE, env_py=LOUD_ENV_PY)

    lines = json_lines(project.gate(GATE_LOG_FORMAT="json").stderr)

    assert any(line["message"] == "heard" and line["level"] == "warning" for line in lines)
    applied = [line for line in lines if line["message"].startswith("applied")]
    assert [(line["revision"], line["index"], line["total"]) for line in applied] == [("a1", 1, 2), ("a2", 2, 2)]
    assert all(line["seconds"] >= 0 and line["direction"] == "upgrade" for line in applied)


@pytest.mark.I6
def test_a_failure_in_the_json_log_carries_its_exit_code(database: Database, new_project):
    project = new_project(database, [revision_source("f1", None, 'op.execute("CREATE TABLE (")')])
    last = json_lines(project.gate(GATE_LOG_FORMAT="json").stderr)[-1]
    assert (last["level"], last["exit_code"]) == ("error", 20)


@pytest.mark.I5
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_way_out_shows_the_password(database: Database, new_project, form: str, tmp_path):
    message = tmp_path / "termination-log"
    message.touch()
    failing = revision_source("f1", None, 'raise RuntimeError("the script")')
    runs = [
        (1, [new_project(database, PEOPLE, env_py="raise ValueError('env')\n"), {}]),
        (20, [new_project(database, [failing]), {}]),
        (0, [new_project(database, PEOPLE), {}]),
        (11, [new_project(database, PEOPLE), {"DATABASE_URL": database.url.replace(database.name, "nowhere")}]),
        (11, [new_project(database, PEOPLE), {"DATABASE_URL": database.url.replace("://", "://wrong")}]),
        (2, [new_project(database, PEOPLE), {"DATABASE_URL": database.url + "?nonsense=1"}]),
        (2, [new_project(database, PEOPLE), {"MYSQL_PASSWORD": database.password}]),
    ]
    encoded = database.url.partition("@")[0].rpartition(":")[2]
    for code, (project, env) in runs:
        end = project.gate(GATE_LOG_FORMAT=form, GATE_LOG_LEVEL="debug", GATE_TERMINATION_LOG=str(message), **env)
        said = end.stdout + end.stderr + message.read_text(encoding="utf-8")
        assert database.password not in said
        assert encoded not in said
        assert end.returncode == code, said


@on_mysql
@pytest.mark.I6
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_output_changes_no_exit_code(database: Database, new_project, closed: str):
    project = new_project(database, PEOPLE)
    for _ in range(2):  # with work to do, and without
        words = ["bash", "-c", f'"$@" {closed}', "-", *ENTRYPOINT]
        assert subprocess.run(words, env=database.env(), cwd=project.folder, check=False).returncode == 0
