"""Exit code 11, at once: what no waiting heals; and the logins that must work: with TLS, without, with any password."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.scenes import PEOPLE, last_line, on_mysql
from tests.support.database import Database
from tests.support.gate import ROOT, run_alembic, run_gate
from tests.support.projects import ENV_PY
from tests.support.servers import Server
from tests.support.tls import Authority

pytestmark = pytest.mark.I6

ODD_PASSWORD = "p@ss:w/rd%?#ü密"


def parts(database: Database, **more: str) -> dict[str, str]:
    """The settings without a URL."""
    return {
        "MYSQL_HOST": database.server.host,
        "MYSQL_PORT": str(database.server.port),
        "MYSQL_USER": database.user,
        "MYSQL_PASSWORD": database.password,
        "MYSQL_DATABASE": database.name,
        **more,
    }


def refusal(env: dict[str, str], cwd: Path = ROOT) -> str:
    """Start the job; return its last line, which must have come with 11 and long before the wait is over."""
    began = time.monotonic()
    process = run_gate(env=env, cwd=cwd)
    assert process.returncode == 11, process.stderr
    assert time.monotonic() - began < 30, "60 s are the time-out"
    assert "Traceback" not in process.stderr
    return last_line(process.stderr)


def test_wrong_credentials_and_an_unknown_database_are_refused_at_once(server: Server, database: Database):
    assert "1045" in refusal(parts(database, MYSQL_PASSWORD="wrong"))
    assert refusal(parts(database, MYSQL_USER="nobody", MYSQL_PASSWORD="wrong"))
    other = server.create_database("other")
    assert "1044" in refusal(parts(database, MYSQL_DATABASE=other.name))
    other.drop()


def test_a_database_that_does_not_exist_is_named(server: Server, database: Database):
    gone = f"{database.name}_gone"
    server.query(f"GRANT ALL ON `{gone}`.* TO %s@'%%'", database.user)
    server.query(f"GRANT ALL ON `{gone}`.* TO %s@localhost", database.user)
    said = refusal(parts(database, MYSQL_DATABASE=gone))
    assert "1049" in said
    assert gone in said


def test_an_account_that_is_locked_is_refused_at_once(server: Server, database: Database):
    for host in ("%", "localhost"):
        server.query("ALTER USER %s@%s ACCOUNT LOCK", database.user, host)
    assert "lock" in refusal(parts(database)).lower()


def test_an_account_that_may_only_read_cannot_upgrade(server: Server, database: Database, new_project):
    project = new_project(database, PEOPLE)
    project.alembic("upgrade", "a1")
    for host in ("%", "localhost"):
        server.query("REVOKE ALL PRIVILEGES, GRANT OPTION FROM %s@%s", database.user, host)
        server.query(f"GRANT SELECT ON `{database.name}`.* TO %s@%s", database.user, host)
    assert "1142" in refusal(database.env(), project.folder)


@on_mysql
def test_a_statement_of_env_py_that_the_server_refuses_is_not_taken_for_a_server_that_is_down(
    database: Database, new_project
):
    env_py = ENV_PY.replace(
        "        context.conf", "        connection.exec_driver_sql('SELECT 1 FROM nowhere')\n        context.conf"
    )
    said = last_line(new_project(database, PEOPLE, env_py=env_py).ends(2))
    assert "env.py" in said
    assert "1146" in said


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def wrong_ca(tmp_path: Path) -> str:
    return str(Authority(tmp_path / "wrong").ca)


@pytest.mark.parametrize("mode", ["VERIFY_CA", "VERIFY_IDENTITY"])
def test_the_servers_certificate_is_verified(database: Database, new_project, wrong_ca: str, mode: str):
    project = new_project(database, PEOPLE)
    wrong = parts(database, MYSQL_SSL_MODE=mode, MYSQL_SSL_CA=wrong_ca)
    assert "does not verify" in refusal(wrong, project.folder)
    right = parts(database, MYSQL_SSL_MODE=mode, MYSQL_SSL_CA=str(database.server.ca))
    process = run_gate(env=right, cwd=project.folder)
    assert process.returncode == 0, process.stderr
    assert project.versions() == {"a2"}


def test_the_identity_counts_only_where_it_is_asked_for(database: Database, new_project):
    """`127.1` is the same address, but not what the certificate says."""
    project = new_project(database, PEOPLE)
    env = parts(database, MYSQL_HOST="127.1", MYSQL_SSL_CA=str(database.server.ca))
    assert "does not verify" in refusal(env | {"MYSQL_SSL_MODE": "VERIFY_IDENTITY"}, project.folder)
    process = run_gate(env=env | {"MYSQL_SSL_MODE": "VERIFY_CA"}, cwd=project.folder)
    assert process.returncode == 0, process.stderr


def test_the_urls_own_tls_parameters_are_obeyed(database: Database, new_project, wrong_ca: str):
    project = new_project(database, PEOPLE)
    assert "does not verify" in refusal({"DATABASE_URL": f"{database.url}?ssl_ca={wrong_ca}"}, project.folder)
    process = run_gate(env={"DATABASE_URL": f"{database.url}?ssl_ca={database.server.ca}"}, cwd=project.folder)
    assert process.returncode == 0, process.stderr


def test_an_account_that_requires_tls_is_refused_without_it(server: Server, database: Database, new_project):
    project = new_project(database, PEOPLE)
    for host in ("%", "localhost"):
        server.query("ALTER USER %s@%s REQUIRE SSL", database.user, host)
    refusal(parts(database, MYSQL_SSL_MODE="DISABLED"), project.folder)
    process = run_gate(env=parts(database, MYSQL_SSL_MODE="REQUIRED"), cwd=project.folder)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("server_kind", ["mariadb"], indirect=True)
def test_a_server_without_tls_serves_who_prefers_it_and_not_who_requires_it(new_server, server_kind, new_project):
    database = new_server(server_kind, options=["--skip-ssl"]).create_database()
    project = new_project(database, PEOPLE)
    refusal(parts(database, MYSQL_SSL_MODE="REQUIRED"), project.folder)
    process = run_gate(env=parts(database), cwd=project.folder)
    assert process.returncode == 0, process.stderr


# -- logins that must work --------------------------------------------------------------------------------------------


@on_mysql
@pytest.mark.parametrize("mode", ["DISABLED", "PREFERRED", "REQUIRED"])
def test_caching_sha2_password_works_with_tls_and_without_it_for_an_account_that_was_never_seen(
    server: Server, new_project, mode: str
):
    database = server.create_database()
    plugins = server.query("SELECT plugin FROM mysql.user WHERE user = %s", database.user)
    assert set(plugins) == {("caching_sha2_password",)}
    project = new_project(database, PEOPLE)
    for _ in ("not cached", "cached, and nothing to do"):
        process = run_gate(env=parts(database, MYSQL_SSL_MODE=mode), cwd=project.folder)
        assert process.returncode == 0, process.stderr
    database.drop()


@pytest.fixture
def odd(server: Server, database: Database) -> Database:
    """The database, with a password that nobody escapes by accident."""
    database.password = ODD_PASSWORD
    for host in ("%", "localhost"):
        server.query("ALTER USER %s@%s IDENTIFIED BY %s", database.user, host, ODD_PASSWORD)
    return database


def ways_to_say_it(database: Database, folder: Path) -> Iterator[dict[str, str]]:
    """The password in a variable, in a file, in the URL."""
    secret = folder / "password"
    secret.write_text(f"{database.password}\n", encoding="utf-8")
    yield parts(database)
    in_a_file = parts(database, MYSQL_PASSWORD_FILE=str(secret))
    del in_a_file["MYSQL_PASSWORD"]
    yield in_a_file
    yield database.env()


def test_an_odd_password_works_everywhere_it_can_be_written(odd: Database, tmp_path: Path):
    project = tmp_path / "seed"
    for name in ("model", "migrations"):
        shutil.copytree(ROOT / name, project / name)
    shutil.copy(ROOT / "alembic.ini", project)
    first, *others = ways_to_say_it(odd, tmp_path)
    runs = [
        (run_gate, "upgrade", first),
        (run_alembic, "current", first),
        *((run_gate, "status", env) for env in others),
    ]
    for run, verb, env in runs:
        process = run(verb, env=env, cwd=project)
        assert process.returncode == 0, process.stderr
        assert not any(piece in process.stdout + process.stderr for piece in (ODD_PASSWORD, "密", "w/rd"))
