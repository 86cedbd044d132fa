"""Shows the job to a newcomer (`make run`): a server, an upgrade, the tables, a second start with nothing to do."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, inspect, make_url

from tests.support.gate import ENTRYPOINT, ROOT
from tests.support.machine import CannotInstall
from tests.support.servers import KINDS, Server

BOOKKEEPING = {"alembic_version": "Alembic's own", "alembic_gate_revision": "the gate's journal, a row a revision"}


def main() -> int:
    """Run the demonstration; return 0, or the code of the step that failed."""
    try:
        with database_url() as url:
            return demonstrate(url)
    except CannotInstall as reason:
        say(f"No server can be had here: {reason}. Set DATABASE_URL to use one of yours.")
        return 1


def demonstrate(url: str) -> int:
    """Upgrade the database twice and show its tables in between; return the first exit code that is not 0."""
    say("The job, as a container would start it: entrypoint.py")
    code = start_job(url)
    if code == 0:
        show_tables(url)
        say("The job once more: at target already, so nothing is left to do")
        code = start_job(url)
    say("Done." if code == 0 else f"The job ended with {code}: docs/exit-codes.md says what that means.")
    return code


@contextmanager
def database_url() -> Iterator[str]:
    """Yield DATABASE_URL, or that of an empty database on a server that lives no longer than the demonstration."""
    given = os.environ.get("DATABASE_URL")
    if given:
        say(f"Your database, from DATABASE_URL: {make_url(given).render_as_string(hide_password=True)}")
        yield given
        say("Your database is left as it is now.")
        return
    say("A throw-away server, as DATABASE_URL is not set (the first time it is downloaded)")
    server = any_server()
    try:
        server.start()
        print(f"{server.kind} {server.software.version} on {server.host}:{server.port}")
        yield server.create_database("demo").url
    finally:
        server.remove()
        say("The server and its data are gone.")


def any_server() -> Server:
    """Return a MySQL server, or a MariaDB one where that is all that can be had; raises CannotInstall."""
    *others, last = KINDS
    for kind in others:
        try:
            return Server(kind)
        except CannotInstall as reason:
            print(f"{kind} cannot be installed here: {reason}")
    return Server(last)


def start_job(url: str) -> int:
    """Run the job with its output on the terminal; return its exit code."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MYSQL_", "DATABASE_URL"))}
    started = time.monotonic()
    done = subprocess.run(ENTRYPOINT, env={**inherited, "DATABASE_URL": url}, cwd=ROOT, check=False)
    print(f"exit code {done.returncode}, after {time.monotonic() - started:.2f} s")
    return done.returncode


def show_tables(url: str) -> None:
    """Print every table with its columns and indexes."""
    say("What is in the database now")
    engine = create_engine(make_url(url).set(drivername="mysql+pymysql"))
    inspector = inspect(engine)
    for table in inspector.get_table_names():
        if table.startswith("alembic_"):
            print(f"{table}: {BOOKKEEPING.get(table, 'bookkeeping')}")
            continue
        columns = ", ".join(f"{column['name']} {plain(column['type'])}" for column in inspector.get_columns(table))
        print(f"{table}: {columns}")
        for index in inspector.get_indexes(table):
            print(f"    {index['name']} ({', '.join(str(name) for name in index['column_names'])})")
    engine.dispose()


def plain(kind: object) -> str:
    """Return a column's type without its collation."""
    return str(kind).partition(" COLLATE ")[0]


def say(what: str) -> None:
    """Print the headline of a step."""
    print(f"\n== {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
