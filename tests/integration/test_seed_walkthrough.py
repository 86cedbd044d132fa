"""The seed, step by step, by the plain `alembic` command on a real server: what a newcomer does in the first hour."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.database import Database
from tests.support.gate import ROOT, run_alembic
from tests.support.servers import Kind, Server

pytestmark = pytest.mark.I7

FIRST_MESSAGE = "First create user add role table"
SEED_TABLES = {"alembic_version", "roles", "user"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the seed, to write revisions into."""
    without_bytecode = shutil.ignore_patterns("__pycache__")
    for name in ("model", "migrations"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=without_bytecode)
    shutil.copy(ROOT / "alembic.ini", tmp_path)
    return tmp_path


def alembic(project: Path, database: Database, *arguments: str, **env: str) -> str:
    """Run the plain command in a project; return what it printed."""
    process = run_alembic(*arguments, env=database.env() | env, cwd=project)
    assert process.returncode == 0, process.stderr
    return process.stdout


def tables(database: Database) -> set[str]:
    rows = database.query("SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()")
    return {name for (name,) in rows}


def the_one_revision(project: Path) -> Path:
    (script,) = (project / "migrations/versions").glob("*.py")
    return script


def new_revision(project: Path, database: Database, *arguments: str, **env: str) -> Path:
    """Run `alembic revision` and return the script that it wrote."""
    versions = project / "migrations/versions"
    before = set(versions.glob("*.py"))
    alembic(project, database, "revision", *arguments, **env)
    (script,) = set(versions.glob("*.py")) - before
    return script


def functions_of(script: Path) -> str:
    return re.sub(r"(?s)^.*?(?=^def upgrade)", "", script.read_text(encoding="utf-8"), flags=re.MULTILINE)


def change_model(project: Path, old: str, new: str) -> None:
    path = project / "model/role.py"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_autogenerate_on_an_empty_database_writes_the_committed_first_revision(
    project: Path, database: Database
) -> None:
    committed = the_one_revision(ROOT)
    the_one_revision(project).unlink()

    written = new_revision(project, database, "--autogenerate", "-m", FIRST_MESSAGE)

    assert functions_of(written) == functions_of(committed)
    assert written.name.split("_", 1)[1] == committed.name.split("_", 1)[1]
    assert written.read_text().splitlines()[0] == committed.read_text().splitlines()[0] == f'"""{FIRST_MESSAGE}'


def test_upgrade_head_makes_three_tables_and_one_version_row(project: Path, database: Database) -> None:
    alembic(project, database, "upgrade", "head")

    assert tables(database) == SEED_TABLES
    assert database.query("SELECT version_num FROM alembic_version") == (
        (the_one_revision(project).name.split("_")[0],),
    )


def test_both_servers_get_the_same_columns_and_indexes(project: Path, database: Database) -> None:
    alembic(project, database, "upgrade", "head")

    columns = database.query(
        "SELECT table_name, column_name, data_type, character_maximum_length, collation_name, is_nullable"
        " FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name <> 'alembic_version'"
        " ORDER BY table_name, ordinal_position"
    )
    text = ("varchar", 32, "utf8mb4_unicode_ci", "NO")
    assert columns == (
        ("roles", "id", "int", None, None, "NO"),
        ("roles", "name", *text),
        ("user", "id", "int", None, None, "NO"),
        ("user", "username", *text),
        ("user", "password", *text),
        ("user", "email", *text),
    )
    indexes = database.query(
        "SELECT index_name, GROUP_CONCAT(column_name ORDER BY seq_in_index) FROM information_schema.statistics"
        " WHERE table_schema = DATABASE() AND table_name = 'user' GROUP BY index_name ORDER BY index_name"
    )
    assert dict(indexes) == {"PRIMARY": "id", "ix_email_pwd": "email,password", "ix_user_pwd": "username,password"}


def test_mariadbs_own_dialect_builds_the_same_schema(
    project: Path, servers_of_this_run: Callable[[Kind], Server]
) -> None:
    database = servers_of_this_run("mariadb").create_database()
    alembic(project, database, "upgrade", "head")
    expected = database.schema()
    alembic(project, database, "downgrade", "base")

    alembic(project, database, "upgrade", "head", DATABASE_URL=database.url.replace("mysql+", "mariadb+"))

    assert database.schema() == expected
    database.drop()


def test_downgrade_takes_the_last_revision_back_and_upgrade_repeats_it(project: Path, database: Database) -> None:
    alembic(project, database, "upgrade", "head")
    upgraded = database.schema()

    alembic(project, database, "downgrade", "-1")
    assert tables(database) == {"alembic_version"}
    assert database.query("SELECT version_num FROM alembic_version") == ()

    alembic(project, database, "upgrade", "head")
    assert database.schema() == upgraded


def test_downgrade_drops_the_indexes_before_the_tables(project: Path, database: Database) -> None:
    sql = alembic(project, database, "downgrade", "head:base", "--sql")

    drops = re.findall(r"^DROP (INDEX|TABLE) `?(\w+)", sql, re.MULTILINE)
    assert [kind for kind, name in drops if name != "alembic_version"] == ["INDEX", "INDEX", "TABLE", "TABLE"]


def test_the_offline_script_builds_the_same_schema(project: Path, database: Database) -> None:
    script = alembic(project, database, "upgrade", "head", "--sql")
    assert tables(database) == set(), "offline mode must not touch the database"

    for statement in filter(str.strip, re.sub(r"(?m)^--.*$", "", script).split(";")):
        database.query(statement)
    by_hand = database.schema()
    alembic(project, database, "downgrade", "base")
    alembic(project, database, "upgrade", "head")

    assert database.schema() == by_hand


def test_a_revision_written_by_hand_is_applied_and_taken_back(project: Path, database: Database) -> None:
    alembic(project, database, "upgrade", "head")
    script = new_revision(project, database, "-m", "Add the first roles")
    text = script.read_text()
    assert text.count("    pass\n") == 2
    text = text.replace("    pass\n", "    op.execute(\"INSERT INTO roles (name) VALUES ('admin'), ('reader')\")\n", 1)
    text = text.replace("    pass\n", "    op.execute('DELETE FROM roles')\n", 1)
    script.write_text(text)

    alembic(project, database, "upgrade", "+1")
    assert database.query("SELECT name FROM roles ORDER BY name") == (("admin",), ("reader",))

    alembic(project, database, "downgrade", the_first_id(project))
    assert database.query("SELECT name FROM roles") == ()
    assert tables(database) == SEED_TABLES


def the_first_id(project: Path) -> str:
    (script,) = (project / "migrations/versions").glob("*_first_create_user_add_role_table.py")
    return script.name.split("_")[0]


def test_a_changed_model_becomes_a_new_revision_and_then_nothing_differs(project: Path, database: Database) -> None:
    alembic(project, database, "upgrade", "head")
    change_model(project, "String(32)", "String(32), unique=True")
    differs = run_alembic("check", env=database.env(), cwd=project)
    assert differs.returncode != 0
    assert "uq_roles_name" in differs.stderr + differs.stdout

    script = new_revision(project, database, "--autogenerate", "-m", "Role names are unique")
    assert "op.create_unique_constraint(op.f('uq_roles_name'), 'roles', ['name'])" in script.read_text()
    alembic(project, database, "upgrade", "head")
    alembic(project, database, "check")

    # The naming convention is what lets the way back name the constraint.
    alembic(project, database, "downgrade", "-1")


def test_check_finds_no_difference_at_head(project: Path, database: Database) -> None:
    alembic(project, database, "upgrade", "head")

    assert "No new upgrade operations detected" in alembic(project, database, "check")


def test_autogenerate_leaves_the_gates_own_tables_alone(project: Path, database: Database) -> None:
    alembic(project, database, "upgrade", "head")
    database.query("CREATE TABLE alembic_gate_revision (id INT PRIMARY KEY)")

    alembic(project, database, "check")


@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_chinese_survives_in_the_message_and_in_a_column_comment(
    project: Path, database: Database, locale: str
) -> None:
    alembic(project, database, "upgrade", "head")
    change_model(project, "String(32)", 'String(32), comment="角色名称"')

    script = new_revision(project, database, "--autogenerate", "-m", "给角色名称加注释", LC_ALL=locale)
    assert script.read_text(encoding="utf-8").startswith('"""给角色名称加注释\n')
    alembic(project, database, "upgrade", "head", LC_ALL=locale)

    assert database.query(
        "SELECT column_comment FROM information_schema.columns"
        " WHERE table_schema = DATABASE() AND table_name = 'roles' AND column_name = 'name'"
    ) == (("角色名称",),)
    assert "给角色名称加注释" in alembic(project, database, "history", LC_ALL=locale)
    alembic(project, database, "check", LC_ALL=locale)


def test_a_url_in_the_configuration_goes_before_the_environment(project: Path, database: Database) -> None:
    configuration = project / "alembic.ini"
    url = database.url.replace("%", "%%")
    configuration.write_text(configuration.read_text().replace("# sqlalchemy.url =", f"sqlalchemy.url = {url}"))

    alembic(project, database, "upgrade", "head", DATABASE_URL="mysql+pymysql://nobody@127.0.0.1:1/nowhere")

    assert tables(database) == SEED_TABLES


def test_without_any_url_the_message_names_the_variable_to_set(project: Path) -> None:
    process = run_alembic("current", env={}, cwd=project)

    assert process.returncode != 0
    assert "DATABASE_URL" in process.stderr + process.stdout
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("separately", [True, False])
def test_the_database_can_be_named_as_the_gate_takes_it(
    project: Path, database: Database, tmp_path_factory: pytest.TempPathFactory, separately: bool
) -> None:
    if separately:
        env = {
            "MYSQL_HOST": database.server.host,
            "MYSQL_PORT": str(database.server.port),
            "MYSQL_USER": database.user,
            "MYSQL_PASSWORD": database.password,
            "MYSQL_DATABASE": database.name,
        }
    else:
        secret = tmp_path_factory.mktemp("secret") / "url"
        secret.write_text(database.url)
        env = {"DATABASE_URL_FILE": str(secret)}

    process = run_alembic("upgrade", "head", env=env, cwd=project)

    assert process.returncode == 0, process.stderr
    assert tables(database) == SEED_TABLES


def test_no_secret_lies_in_the_committed_configuration() -> None:
    assert not re.search(r"(?m)^\s*sqlalchemy\.url", (ROOT / "alembic.ini").read_text())
