"""`upgrade --databases`: many databases on one server, each with a result of its own, the worst as the exit code."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alembic_gate.exits import ExitCode
from tests.support.database import Database
from tests.support.gate import run_gate
from tests.support.projects import revision_source
from tests.support.servers import Kind, Server

TENANTS = 200
PARALLEL = 4


@pytest.fixture
def tenants(servers_of_this_run: Callable[[Kind], Server]) -> Iterator[list[Database]]:
    """Empty databases on one server, and one account that may use them all."""
    server = servers_of_this_run("mariadb")
    found = [server.create_database("tenant") for _ in range(TENANTS)]
    account = found[0]
    for tenant in found[1:]:
        for host in ("%", "localhost"):
            server.query(f"GRANT ALL ON `{tenant.name}`.* TO '{account.user}'@'{host}'")
    yield found
    for tenant in found:
        tenant.drop()


def is_at_head(tenant: Database) -> bool:
    return (
        bool(tenant.query("SHOW TABLES LIKE 'alembic_version'"))
        and len(tenant.query("SELECT version_num FROM alembic_version")) == 1
    )


@pytest.mark.I1
@pytest.mark.timeout(600)
def test_two_hundred_tenants_in_two_shares_and_one_that_fails_does_not_stop_the_others(
    tenants: list[Database], tmp_path: Path
) -> None:
    listed = tmp_path / "databases"
    names = [tenant.name for tenant in tenants]
    listed.write_text("\n".join(["# tenants", "", *names[:50], "no_such_database", *names[50:]]) + "\n")
    message = tmp_path / "termination-log"
    message.touch()
    env = tenants[0].parts() | {"JOB_COMPLETIONS": "2", "GATE_WAIT_TIMEOUT_SECONDS": "20"}
    env["GATE_TERMINATION_LOG"] = str(message)
    words = ("upgrade", "--databases", str(listed), "--parallel", str(PARALLEL))

    ends = [run_gate(*words, env=env | {"JOB_COMPLETION_INDEX": index}, timeout=300) for index in ("0", "1")]

    assert sorted(end.returncode for end in ends) == [0, 11], ends[0].stderr[-2000:]
    assert all(is_at_head(tenant) for tenant in tenants)
    lines = [line for end in ends for line in end.stderr.splitlines()]
    for name in names:
        assert sum(f" {name}: exit 0" in line for line in lines) == 1
    assert sum("no_such_database: exit 11" in line for line in lines) == 1
    assert not any(tenants[0].password in line for line in lines)
    assert re.match(r"\d+ of \d+ databases are at target; the worst is no_such_database: ", message.read_text())


def test_a_list_of_urls_needs_no_other_setting_and_shows_no_secret(
    database: Database, server: Server, tmp_path: Path
) -> None:
    other = server.create_database()
    listed = tmp_path / "databases"
    listed.write_text(f"{database.url}\n{other.url}\n{database.url}\n")

    end = run_gate("upgrade", "--databases", str(listed), env={"PATH": os.environ["PATH"]})

    assert end.returncode == 0, end.stderr
    assert end.stderr.count(": exit 0 in") == 2
    assert "2 of 2 databases are at target" in end.stderr
    assert database.password not in end.stderr
    other.drop()


@pytest.mark.I6
@pytest.mark.parametrize(
    ("content", "env", "said"),
    [
        (None, {}, "cannot be read"),
        ("# nothing\n\n", {}, "is empty"),
        ("a\n", {"JOB_COMPLETION_INDEX": "3", "JOB_COMPLETIONS": "3"}, "JOB_COMPLETION"),
    ],
)
def test_a_list_that_cannot_be_used_is_a_usage_error(
    tmp_path: Path, content: str | None, env: dict[str, str], said: str
) -> None:
    listed = tmp_path / "databases"
    if content is not None:
        listed.write_text(content)

    end = run_gate("upgrade", "--databases", str(listed), env=env)

    assert end.returncode == 2
    assert said in end.stderr


def test_a_job_that_was_killed_counts_as_one_to_be_tried_again(database: Database, new_project, tmp_path: Path) -> None:
    dies = revision_source("d1", None, "import os; os.kill(os.getpid(), 9)")
    listed = tmp_path / "databases"
    listed.write_text(f"{database.name}\n")

    said = new_project(database, [dies]).ends(ExitCode.SIGTERM, "upgrade", "--databases", str(listed))

    assert f"{database.name}: exit 143" in said
    assert "ended by signal 9; info    applying 1 of 1: 'd1'" in said
