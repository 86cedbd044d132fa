"""Starts jobs in a few milliseconds: it has everything imported already, and forks a process of its own for each job.

Thousands of runs would spend nearly all of their time on importing SQLAlchemy and Alembic. A forked job is a real
process with its own id, environment and sockets, and can be killed like any other; what differs from `entrypoint.py` is
only that the imports lie behind it, and what the libraries make at their first use. One JSON object a line: on standard
input `{"kind", "argv", "env", "directory", "output"}`; on standard output first `{"pid"}`, then, when the job has
ended, `{"status"}` (negative: the signal that killed it).
"""

import gc
import importlib
import io
import json
import os
import pkgutil
import signal
import sys
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.mysql.reflection import MySQLTableDefinitionParser

WARMED = ["alembic.command", "logging.config", "cryptography.hazmat.primitives.asymmetric.padding", "sqlalchemy.orm"]


def main() -> None:
    """Serve one job after another until standard input ends."""
    import_everything()
    warm_up()
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            become_job(order)
        tell(pid=pid)
        _, status = os.waitpid(pid, 0)
        tell(status=os.waitstatus_to_exitcode(status))


def import_everything() -> None:
    """Load what a job would load, so that no job has to."""
    sa.create_engine("mysql+pymysql://nobody@127.0.0.1/none").dialect.import_dbapi()
    for name in WARMED:
        importlib.import_module(name)
    try:
        package = importlib.import_module("alembic_gate")
    except ModuleNotFoundError:
        return
    for module in pkgutil.walk_packages(package.__path__, "alembic_gate."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def warm_up() -> None:
    """Let SQLAlchemy and Alembic make what they make at their first use, by rendering SQL for no server."""
    from alembic import op
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    context = MigrationContext.configure(dialect_name="mysql", opts={"as_sql": True, "output_buffer": io.StringIO()})
    with Operations.context(context):
        op.create_table("t", sa.Column("i", sa.Integer, primary_key=True), sa.Column("s", sa.String(20)))
        op.add_column("t", sa.Column("n", sa.Integer, nullable=False, server_default="0"))
        op.create_index("ix", "t", ["n"])
        op.execute("UPDATE t SET n = 1")
        op.drop_table("t")
    MySQLTableDefinitionParser(context.dialect, context.dialect.identifier_preparer)  # thirty regular expressions


def become_job(order: dict[str, Any]) -> None:
    """Turn the forked process into the job; never returns."""
    code = 1
    try:
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(descriptor, target)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(order["env"])
        os.chdir(order["directory"])
        sys.argv = ["entrypoint.py", *order["argv"]]
        code = JOBS[order["kind"]](order["argv"])
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:  # noqa: BLE001 - a traceback and exit code 1, as an interpreter's end has it
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run_gate(argv: list[str]) -> int:
    """Do what `entrypoint.py` does."""
    from alembic_gate.cli import main as gate

    return int(gate(argv) or 0)


def run_plain_alembic(argv: list[str]) -> int:
    """Do what `alembic upgrade head` or `alembic downgrade base` does, on the database of DATABASE_URL."""
    from alembic import command
    from alembic.config import Config

    config = Config(os.environ["ALEMBIC_CONFIG"])
    config.set_main_option("sqlalchemy.url", os.environ["DATABASE_URL"].replace("%", "%%"))
    if argv[0] == "downgrade":
        command.downgrade(config, argv[1])
    else:
        command.upgrade(config, "head")
    return 0


JOBS = {"gate": run_gate, "plain": run_plain_alembic}


def tell(**what: int) -> None:
    """Write one answer."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
