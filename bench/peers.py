"""The tools that are measured: how each is installed, how a history is written for it, and how it is started."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bench.arena import Arena, ensure_venv
from bench.measure import Command, run
from tests.support import machine
from tests.support.database import Database
from tests.support.projects import revision_source, write_project

GOOSE = ("goose", "github.com/pressly/goose/v3/cmd/goose@v3.30.0")
MIGRATE = ("migrate", "github.com/golang-migrate/migrate/v4/cmd/migrate@v4.20.1", "-tags=mysql")
YOYO = "yoyo-migrations==9.0.0"
OF_YOYO = [YOYO, "pymysql==1.2.4", "cryptography==50.0.2", "setuptools==80.9.0"]

# As most projects have it: the URL comes from the environment.
ENV_PY = """\
import os

from alembic import context
from sqlalchemy import create_engine, pool

with create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""


@dataclass(frozen=True)
class Tool:
    """One way to migrate: `write` makes a folder with one revision a statement, `command` brings a database to its end.

    `how` says in words what is started.
    """

    name: str
    how: str
    write: Callable[[Path, Sequence[str]], None]
    command: Callable[[Path, Database], Command]
    longest_history: int = 10_000  # longer ones would take it too long


def gate_and_alembic(arena: Arena) -> list[Tool]:
    """Return the gate and plain Alembic, for one project each of the same content."""

    def write(folder: Path, statements: Sequence[str]) -> None:
        sources = [
            revision_source(f"r{n:05}", f"r{n - 1:05}" if n else None, f"op.execute({statement!r})")
            for n, statement in enumerate(statements)
        ]
        write_project(folder, sources, ENV_PY)
        run(arena.interpreter("-m", "compileall", "-q", "--invalidation-mode", "checked-hash", folder))

    def write_with_manifest(folder: Path, statements: Sequence[str]) -> None:
        write(folder, statements)
        run(arena.interpreter("-m", "alembic_gate", "manifest", cwd=folder))

    return [
        Tool(
            "gate",
            "`python -SP entrypoint.py`, as in the image, with a manifest",
            write_with_manifest,
            lambda folder, database: arena.gate(folder, database.url),
        ),
        Tool(
            "alembic",
            "`alembic upgrade head`, the console script that pip installs",
            write,
            lambda folder, database: arena.alembic(folder, database.url),
        ),
    ]


def others() -> tuple[list[Tool], dict[str, str]]:
    """Install the other tools; return those that could be, and for those that could not the reason."""
    found: list[Tool] = []
    missing: dict[str, str] = {}
    for name, make in (("dbmate", _dbmate), ("goose", _goose), ("golang-migrate", _migrate), ("yoyo", _yoyo)):
        try:
            found.append(make())
        except machine.CannotInstall as reason:
            missing[name] = str(reason)
    return found, missing


def _dbmate() -> Tool:
    program = machine.ensure_dbmate()

    def command(folder: Path, database: Database) -> Command:
        words: list[str | Path] = [
            program,
            f"--url=mysql://{_account(database)}&charset=utf8mb4",
            f"--migrations-dir={folder}",
        ]
        return Command([*words, "--no-dump-schema", "up"])

    how = f"`dbmate --no-dump-schema up`, {machine.DBMATE} from npm, its binary without npm's wrapper"
    return Tool("dbmate", how, _sql_files("{:05}_r.sql", "-- migrate:up\n{};\n-- migrate:down\n"), command)


def _goose() -> Tool:
    program = machine.ensure_go_program(*GOOSE)

    def command(folder: Path, database: Database) -> Command:
        server = database.server
        source = f"{database.user}:{database.password}@tcp({server.host}:{server.port})/{database.name}?tls=skip-verify"
        return Command([program, "-dir", folder, "mysql", f"{source}&parseTime=true", "up"])

    how = f"`goose mysql … up`, `go install {GOOSE[1]}`"
    return Tool("goose", how, _sql_files("{:05}_r.sql", "-- +goose Up\n{};\n-- +goose Down\n"), command)


def _migrate() -> Tool:
    program = machine.ensure_go_program(*MIGRATE)

    def command(folder: Path, database: Database) -> Command:
        address = f"{database.server.host}:{database.server.port}"
        url = f"mysql://{_account(database)}".replace(f"@{address}", f"@tcp({address})")
        return Command([program, "-path", folder, "-database", url, "up"])

    how = f"`migrate … up`, `go install -tags=mysql {MIGRATE[1]}`"
    return Tool("golang-migrate", how, _sql_files("{:05}_r.up.sql", "{};\n"), command)


def _yoyo() -> Tool:
    program = ensure_venv("yoyo", OF_YOYO) / "bin/yoyo"

    def command(folder: Path, database: Database) -> Command:
        url = f"mysql://{_account(database)}".partition("?")[0]
        return Command([program, "apply", "--batch", "--no-config-file", "--database", url, folder], cwd=folder)

    how = f"`yoyo apply --batch`, {YOYO} in a virtual environment of its own"
    return Tool("yoyo", how, _sql_files("{:05}_r.sql", "{}\n"), command, longest_history=100)


def _account(database: Database) -> str:
    server = database.server
    password = quote(database.password, safe="")
    return f"{database.user}:{password}@{server.host}:{server.port}/{database.name}?tls=skip-verify"


def _sql_files(name: str, content: str) -> Callable[[Path, Sequence[str]], None]:
    def write(folder: Path, statements: Sequence[str]) -> None:
        folder.mkdir(parents=True)
        for number, statement in enumerate(statements, start=1):
            (folder / name.format(number)).write_text(content.format(statement))

    return write
