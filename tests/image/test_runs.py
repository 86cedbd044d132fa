"""The image run as a cluster runs it: own user, read-only, no capabilities; what comes out is the exit code."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.containers import Container, build_image, run_container, start_container
from tests.support.database import Database
from tests.support.ports import free_port
from tests.support.projects import revision_source, write_project

SEED_TABLES = {"alembic_gate_revision", "alembic_version", "roles", "user"}
SOON_SECONDS = 2


def nobody_listens() -> dict[str, str]:
    return {"DATABASE_URL": f"mysql+pymysql://u:secret-word@127.0.0.1:{free_port()}/nowhere"}


def tables(database: Database) -> set[str]:
    rows = database.query("SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()")
    return {name for (name,) in rows}


@pytest.fixture
def termination_log(tmp_path: Path) -> Path:
    """The file that a kubelet would mount: empty, and open to every user."""
    path = tmp_path / "termination-log"
    path.touch()
    path.chmod(0o666)
    return path


@pytest.fixture(scope="session")
def failing_image(bare_image: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image whose second revision the server refuses."""
    folder = tmp_path_factory.mktemp("failing")
    revisions = [
        revision_source("one", upgrade="op.execute('CREATE TABLE one (id INT PRIMARY KEY)')"),
        revision_source("two", "one", upgrade="op.execute('ALTER TABLE one ADD COLUMN')"),
    ]
    return image_of_project(bare_image, folder, "failing", revisions)


def image_of_project(bare_image: str, folder: Path, name: str, revisions: list[str]) -> str:
    write_project(folder, revisions)
    (folder / "Dockerfile").write_text(f"FROM {bare_image}\nCOPY alembic.ini ./\nCOPY migrations migrations\n")
    return build_image(name, context=folder)


@pytest.fixture
def waiting(image: str) -> Iterator[Container]:
    """A container that waits for a server that never comes."""
    container = start_container(image, env=nobody_listens() | {"GATE_WAIT_TIMEOUT_SECONDS": "60"})
    container.wait_until_logged("waiting for")
    yield container
    container.remove()


@pytest.mark.I1
def test_first_start_migrates_and_the_second_finds_nothing_to_do(image: str, database: Database) -> None:
    first = run_container(image, env=database.env())
    assert first.returncode == 0, first.stderr
    assert tables(database) == SEED_TABLES
    after_the_first = database.schema()

    second = run_container(image, env=database.env())

    assert second.returncode == 0, second.stderr
    assert database.schema() == after_the_first
    assert first.stdout == second.stdout == "", "the log belongs on standard error"


@pytest.mark.I1
@pytest.mark.parametrize("verb", ["wait", "status"])
def test_verb_given_as_argument_finds_the_database_at_head(image: str, database: Database, verb: str) -> None:
    assert run_container(image, env=database.env()).returncode == 0

    process = run_container(image, verb, env=database.env())

    assert process.returncode == 0, process.stderr


@pytest.mark.I6
def test_missing_settings_arrive_as_2(image: str) -> None:
    process = run_container(image)

    assert process.returncode == 2
    assert "DATABASE_URL" in process.stderr


@pytest.mark.I5
@pytest.mark.I6
def test_wrong_password_arrives_as_11(image: str, database: Database) -> None:
    database.password = "wrong-and-secret"

    process = run_container(image, env=database.env())

    assert process.returncode == 11, process.stderr
    assert "wrong-and-secret" not in process.stderr


@pytest.mark.I5
@pytest.mark.I6
def test_unreachable_server_arrives_as_10_when_the_time_is_up(image: str) -> None:
    started = time.monotonic()

    process = run_container(image, env=nobody_listens() | {"GATE_WAIT_TIMEOUT_SECONDS": "2"})

    assert process.returncode == 10, process.stderr
    assert time.monotonic() - started > 2
    assert "secret-word" not in process.stderr


@pytest.mark.I6
def test_failing_revision_arrives_as_20(failing_image: str, database: Database) -> None:
    process = run_container(failing_image, env=database.env())

    assert process.returncode == 20, process.stderr
    assert database.query("SELECT version_num FROM alembic_version") == (("one",),)


@pytest.mark.I6
def test_termination_message_holds_the_last_error_where_the_file_is_mounted(image: str, termination_log: Path) -> None:
    process = run_container(image, mounts={termination_log: "/dev/termination-log"})

    assert process.returncode == 2
    message = termination_log.read_text(encoding="utf-8")
    assert "DATABASE_URL" in message
    assert len(message.encode()) <= 4096


@pytest.mark.I6
def test_termination_message_stays_empty_after_success(image: str, database: Database, termination_log: Path) -> None:
    process = run_container(image, env=database.env(), mounts={termination_log: "/dev/termination-log"})

    assert process.returncode == 0, process.stderr
    assert termination_log.read_text() == ""


@pytest.mark.I6
def test_termination_message_is_not_littered_where_no_file_is_mounted(image: str) -> None:
    # As root on a writable file system, where nothing but the gate's own restraint is in the way.
    look_afterwards = "/opt/alembic-gate/entrypoint.py; code=$?; test ! -e /dev/termination-log && exit $code"

    process = run_container(image, "-c", look_afterwards, entrypoint="sh", options=["--user=0", "--read-only=false"])

    assert process.returncode == 2


@pytest.mark.I6
@pytest.mark.parametrize(("signal", "code"), [("TERM", 143), ("INT", 130)])
def test_signal_reaches_the_waiting_gate_as_process_one(waiting: Container, signal: str, code: int) -> None:
    started = time.monotonic()

    waiting.kill(signal)

    assert waiting.wait() == code
    assert time.monotonic() - started < SOON_SECONDS


@pytest.mark.I7
def test_plain_alembic_works_in_the_image(image: str, database: Database) -> None:
    def alembic(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return run_container(image, *arguments, entrypoint="alembic", env=database.env())

    assert alembic("upgrade", "head").returncode == 0
    assert tables(database) == SEED_TABLES - {"alembic_gate_revision"}
    assert "(head)" in alembic("current").stdout
    assert alembic("check").returncode == 0
    assert "CREATE TABLE roles" in alembic("upgrade", "head", "--sql").stdout
    assert alembic("downgrade", "-1").returncode == 0
    assert tables(database) == {"alembic_version"}


@pytest.mark.I7
def test_plain_alembic_writes_a_revision_into_a_mounted_project(image: str, database: Database, tmp_path: Path) -> None:
    write_project(tmp_path, [revision_source("one")])

    process = run_container(
        image,
        *("-x", "unused=1", "revision", "-m", "written in the container", "--rev-id", "two"),
        entrypoint="alembic",
        env=database.env(),
        mounts={tmp_path: "/app"},
        options=["--user=0"],
    )

    assert process.returncode == 0, process.stderr
    assert "down_revision = 'one'" in (tmp_path / "migrations/versions/two.py").read_text()


def test_the_command_is_on_the_path_under_its_own_name(image: str, database: Database) -> None:
    process = run_container(
        image, "-c", "alembic-gate upgrade && alembic-gate status", entrypoint="sh", env=database.env()
    )

    assert process.returncode == 0, process.stderr
