"""What the documentation tells a newcomer to type, and an operator at night to do, does what it says."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import NewProject
from tests.integration.scenes import Project, on_mysql, running, until
from tests.support.database import Database
from tests.support.documentation import commands, page
from tests.support.gate import ROOT, run_alembic, run_gate
from tests.support.projects import revision_source
from tests.support.servers import Server

A, B, C = (f"CREATE TABLE {name} (id INT)" for name in "abc")
PAUSE = "SELECT SLEEP(600)"  # where the job is killed
ANOTHER_TIME_EACH_TIME = "INSERT INTO a VALUES ({__import__('time').time_ns() % 1000000})"
READ_MUCH = "SELECT REPEAT(SHA2(RAND(), 256), 100)"
CALLED = "CREATE PROCEDURE p() BEGIN CREATE TABLE a (id INT); CREATE TABLE b (id INT); SELECT SLEEP(600); END"


# -- a newcomer -------------------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a newcomer has: the project's own files."""
    for name in ("model", "migrations", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "alembic.ini", tmp_path)
    return tmp_path


@on_mysql
@pytest.mark.I7
def test_getting_started_can_be_typed_from_top_to_bottom(checkout: Path, database: Database) -> None:
    shown = [command for block in page("docs/getting-started.md").blocks("sh") for command in commands(block)]
    (url,) = re.findall(r"^export DATABASE_URL='(.*)'$", "\n".join(shown), re.MULTILINE)
    env = {"DATABASE_URL": url.partition("://")[0] + "://" + database.url.partition("://")[2]}
    run = {
        "alembic-gate": lambda *words: run_gate(*words, env=env, cwd=checkout),
        "alembic": lambda *words: run_alembic(*words, env=env, cwd=checkout),
        "python": lambda *words: subprocess.run(
            [sys.executable, *words], env=env, cwd=checkout, capture_output=True, text=True, check=False
        ),
    }

    ran = 0
    for command in shown:
        program, *words = shlex.split(command)
        if program in run:
            ended = run[program](*words)
            assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
            ran += 1

    assert ran >= 9


@on_mysql
@pytest.mark.I4
def test_make_run_shows_an_upgrade_and_a_start_with_nothing_to_do(database: Database) -> None:
    # The environment that the tests run in is not to be made anew under them.
    command = ["make", "--assume-old=.venv/.installed", "run"]
    env = os.environ | {"DATABASE_URL": database.url}
    ended = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "applied '62e2a01f6fa1'" in ended.stdout + ended.stderr
    assert "nothing to do" in ended.stdout + ended.stderr
    assert database.password not in ended.stdout + ended.stderr


@on_mysql
@pytest.mark.I4
def test_a_start_with_nothing_to_do_imports_nothing_of_what_decision_4_rules_out(database: Database) -> None:
    decided = (
        page("docs/decisions/0004-start-up-budget.md").text.partition("**Decided.**")[2].partition("is imported")[0]
    )
    ruled_out = {name.lower() for name in re.findall(r"\b(?:SQLAlchemy|Alembic|tenacity)\b|(?<=`)\w+(?=`)", decided)}
    assert len(ruled_out) >= 9
    assert run_gate(env=database.env()).returncode == 0

    start = "import sys; from alembic_gate.cli import main; code = main([]); print(code, *sys.modules)"
    # As the image starts it: what `site` and an editable installation import is not ours.
    env = database.env() | {"PYTHONPATH": f"{ROOT}:{sysconfig.get_path('purelib')}"}
    ended = subprocess.run(
        [sys.executable, "-SP", "-c", start], env=env, cwd=ROOT, capture_output=True, text=True, check=False
    )

    code, *modules = ended.stdout.split()
    assert code == "0", ended.stderr
    assert not ruled_out & {module.partition(".")[0] for module in modules}


def test_sql_of_the_documentation_runs_on_a_database_of_the_gate(server: Server, database: Database) -> None:
    assert run_gate(env=database.env() | {"GATE_LOCK": "lease"}).returncode == 0
    database.query("CREATE TABLE `keys` (id INT, note INT)")
    shown = [block.text for name in ("recovery", "bring-your-own") for block in page(f"docs/{name}.md").blocks("sql")]

    with server.admin(database=database.name) as connection, connection.cursor() as cursor:
        for statement in filter(str.strip, ";".join(shown).split(";")):
            if server.kind == "mysql" or "performance_schema" not in statement:
                cursor.execute(statement)

    assert not database.query("SHOW TABLES LIKE 'alembic_gate%%'")


@on_mysql
def test_an_account_that_may_only_read_is_enough_for_what_only_reads(server: Server, database: Database) -> None:
    assert run_gate(env=database.env()).returncode == 0
    reader = f"r_{database.name}"
    for host in ("%", "localhost"):
        server.query("CREATE USER %s@%s IDENTIFIED BY 'reader'", reader, host)
        server.query(f"GRANT SELECT ON `{database.name}`.* TO %s@%s", reader, host)
    env = {"DATABASE_URL": f"mysql://{reader}:reader@{server.host}:{server.port}/{database.name}"}

    ended = {verb: run_gate(verb, env=env).returncode for verb in ("wait", "status", "plan", "check", "upgrade")}

    server.query("DROP USER %s@'%%', %s@'localhost'", reader, reader)
    assert set(ended.values()) == {0}, ended


# -- who installs it on Kubernetes ------------------------------------------------------------------------------------


OWNER, READER, APPLICATION = "shop_owner", "shop_reader", "shop_app"
OWN_NEEDS = ("SELECT", "INSERT", "UPDATE", "CREATE")
TO_GO_BACK = "DELETE"


@pytest.fixture
def accounts(database: Database) -> Iterator[dict[str, str]]:
    """The page's accounts as its SQL makes them, for this database, by their names there."""
    (block,) = page("docs/kubernetes.md").blocks("sql")
    server = database.server
    names = {name: f"{name}_{database.name}"[:32] for name in re.findall(r"USER '(\w+)'", block.text)}
    for statement in filter(str.strip, block.text.split(";")):
        for name, ours in names.items():
            statement = statement.replace(f"'{name}'", f"'{ours}'")
        statement = statement.replace("`shop`", f"`{database.name}`")
        for host in ("%", "localhost"):
            server.query(statement.replace("'%'", f"'{host}'"))
    yield names
    for ours in names.values():
        server.query(f"DROP USER '{ours}'@'%', '{ours}'@'localhost'")


def url_of(account: str, database: Database) -> dict[str, str]:
    server = database.server
    return {"DATABASE_URL": f"mysql+pymysql://{account}:change-me@{server.host}:{server.port}/{database.name}"}


def test_accounts_of_the_documentation_may_do_what_they_are_for_and_no_more(
    accounts: dict[str, str], database: Database
) -> None:
    owner, reader, application = (url_of(accounts[name], database) for name in (OWNER, READER, APPLICATION))
    no_time = {"GATE_WAIT_TIMEOUT_SECONDS": "1"}

    assert run_gate("wait", env=reader | no_time).returncode == 30, "before the first upgrade it waits"
    assert run_gate("upgrade", env=reader | no_time).returncode == 11
    for lock, *verb in (("session", "upgrade"), ("lease", "downgrade", "base"), ("lease", "upgrade")):
        ended = run_gate(*verb, env=owner | {"GATE_LOCK": lock})
        assert ended.returncode == 0, ended.stderr
    for reading in ("wait", "status", "plan", "check"):
        ended = run_gate(reading, env=reader | no_time)
        assert ended.returncode == 0, ended.stderr
    example = subprocess.run(
        [sys.executable, "-m", "examples.orm"], env=application, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert example.returncode == 0, example.stderr


@on_mysql
@pytest.mark.parametrize("lacking", [*OWN_NEEDS, TO_GO_BACK])
def test_each_privilege_that_the_documentation_asks_for_the_gate_itself_is_needed(
    accounts: dict[str, str], database: Database, new_project: NewProject, lacking: str
) -> None:
    text = re.sub(r"\s+", " ", page("docs/kubernetes.md").text)
    assert "The gate itself needs `SELECT`, `INSERT`, `UPDATE` and `CREATE`" in text
    assert "`DELETE` to downgrade" in text
    own = accounts[OWNER]
    for host in ("%", "localhost"):
        database.server.query(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM '{own}'@'{host}'")
        kept = ", ".join({*OWN_NEEDS, TO_GO_BACK} - {lacking})
        database.server.query(f"GRANT {kept} ON `{database.name}`.* TO '{own}'@'{host}'")
    folder = new_project(database, [revision_source("r1", None, "op.execute('SELECT 1')")]).folder
    env = url_of(own, database)

    up = run_gate("upgrade", env=env, cwd=folder)
    down = run_gate("downgrade", "base", env=env, cwd=folder)

    assert up.returncode == (0 if lacking == TO_GO_BACK else 11), up.stderr
    assert lacking != TO_GO_BACK or down.returncode == 11, down.stderr


@on_mysql
def test_reader_of_single_tables_is_refused_where_it_should_wait(accounts: dict[str, str], database: Database) -> None:
    reader, server = accounts[READER], database.server
    database.query("CREATE TABLE something (id INT)")
    for host in ("%", "localhost"):
        server.query(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM '{reader}'@'{host}'")
        server.query(f"GRANT SELECT ON `{database.name}`.something TO '{reader}'@'{host}'")

    assert run_gate("wait", env=url_of(reader, database) | {"GATE_WAIT_TIMEOUT_SECONDS": "1"}).returncode == 11


# -- an operator ------------------------------------------------------------------------------------------------------


def script(*statements: str) -> str:
    return revision_source("r1", None, "\n".join(f"op.execute(f{statement!r})" for statement in statements))


@pytest.fixture
def project(new_project: NewProject, database: Database) -> Project:
    return new_project(database)


def interrupt(project: Project, *statements: str, then: tuple[str, ...] | None = None, **env: str) -> None:
    """Kill the job in the pause that is among the statements, and write the script anew without it."""
    project.write(script(*statements))
    job = project.start(**env)
    connection = until(lambda: running(project.database, "SLEEP") or job.process.poll())
    assert job.process.poll() is None, job.log
    job.process.kill()
    job.wait()
    project.database.server.query(f"KILL {connection}")
    project.write(script(*(then or [statement for statement in statements if statement != PAUSE])))


def refused(project: Project, why: str) -> None:
    """Start the job: it ends with 21, says why, and has changed nothing."""
    assert f"`{why}`" in page("docs/recovery.md").text, "the documentation has it otherwise"
    before = project.database.schema()
    assert why in project.ends(21)
    assert project.database.schema() == before


def tables(project: Project) -> str:
    rows = project.database.query("SHOW TABLES")
    return " ".join(name for (name,) in rows if not name.startswith("alembic_"))


@on_mysql
@pytest.mark.I3
class TestAdviceForARefusal:
    """Each row of "Every refusal" that a person can be brought to by a kill."""

    @pytest.mark.parametrize("answer", ["--done", "--not-done"])
    def test_a_script_that_says_something_else_each_time(self, project: Project, answer: str) -> None:
        interrupt(project, A, ANOTHER_TIME_EACH_TIME, B, PAUSE, C)
        refused(project, "the script says something else there now than when it was committed")
        if answer == "--not-done":
            project.database.query("DROP TABLE b")
        project.ends(0, "repair", answer)
        project.ends(0)
        assert tables(project) == "a b c"
        assert project.database.query("SELECT COUNT(*) FROM a") == ((1,),)

    def test_a_wrong_not_done_fails_and_is_then_set_right(self, project: Project) -> None:
        interrupt(project, A, ANOTHER_TIME_EACH_TIME, B, PAUSE, C)
        project.ends(0, "repair", "--not-done")
        assert "1050" in project.ends(20)
        project.ends(0, "repair", "--done")
        project.ends(0)
        assert tables(project) == "a b c"

    @pytest.mark.parametrize("answer", ["--done", "--not-done"])
    def test_a_statement_that_was_mended_after_it_was_done(self, project: Project, answer: str) -> None:
        interrupt(project, A, B, PAUSE, then=(A, "CREATE TABLE b (id BIGINT)"))
        refused(project, "it was done, but the script says something else there now")
        if answer == "--not-done":
            project.database.query("DROP TABLE b")
        project.ends(0, "repair", answer)
        project.ends(0)
        assert tables(project) == "a b"

    def test_a_procedure_that_was_called(self, project: Project) -> None:
        interrupt(project, CALLED, "CALL p()", C)
        refused(project, "what it touches does not show whether it was done, or it was done in part")
        project.ends(0, "repair", "--done")
        project.ends(0)
        assert tables(project) == "a b c"

    @pytest.mark.parametrize("by_hand", ["CREATE INDEX i ON a (note(9))", "ALTER TABLE a MODIFY note VARCHAR(9)"])
    def test_a_failed_statement_whose_table_somebody_has_changed(self, project: Project, by_hand: str) -> None:
        project.write(script("CREATE TABLE a (note TEXT)", "CREATE INDEX i ON a (note)"))
        project.ends(20)
        project.database.query(by_hand)
        refused(project, "it failed, but what it touches has changed since")
        project.ends(0, "repair", "--done" if "INDEX" in by_hand else "--not-done")
        project.ends(0)
        assert len(project.database.query("SHOW INDEX FROM a")) == 1

    def test_a_script_that_ends_before_the_statement_in_flight(self, project: Project) -> None:
        interrupt(project, A, B, PAUSE, then=(A,))
        refused(project, "the script ends before it")
        project.database.query("DROP TABLE b")
        project.ends(0, "repair", "--not-done")
        project.ends(0)
        assert tables(project) == "a"

    def test_a_script_that_ends_before_what_is_committed(self, project: Project) -> None:
        interrupt(project, A, B, C, PAUSE, then=(A,))
        refused(project, "the script ends before what is committed of it")
        project.write(script(A, B, C))
        project.ends(0)
        assert tables(project) == "a b c"

    def test_an_answer_that_was_too_large_and_the_rest_done_by_hand(self, project: Project) -> None:
        interrupt(project, A, READ_MUCH, B, PAUSE, C, GATE_JOURNAL_LIMIT_BYTES="100")
        refused(project, "its answer was too large for the journal")
        project.ends(0, "repair", "--done")
        refused(project, "its answer was too large for the journal")
        project.database.query(C)
        project.alembic("stamp", "r1")
        assert "completed by other means" in project.ends(0)
        assert project.journal() == {"r1": "applied"}

    def test_a_temporary_table_and_all_undone_by_hand(self, project: Project) -> None:
        interrupt(project, "CREATE TEMPORARY TABLE t (id INT)", A, B, PAUSE)
        refused(project, "temporary tables died with their session")
        project.database.query("DROP TABLE a, b")
        project.ends(0, "repair", "--abandon")
        assert project.journal() == {"r1": "abandoned"}
        project.ends(0)
        assert tables(project) == "a b"


@on_mysql
@pytest.mark.I3
def test_a_failed_release_goes_back_to_the_image_before_it(project: Project) -> None:
    project.write(script(A))
    project.ends(0)
    project.write(revision_source("r2", "r1", f"op.execute({B!r})\nop.execute('CREATE TABLE b (id INT)')"))
    project.ends(20)
    project.forget("r2")

    assert "interrupted in 'r2'" in project.ends(0)
    assert "below" not in project.ends(0, "status")
