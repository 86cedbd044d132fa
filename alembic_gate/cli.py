"""The command line: one verb, one exit code (I6). Without words it upgrades, and does not even load argparse (I4)."""

import gc
import os
import sys
from contextlib import suppress
from types import SimpleNamespace

from alembic_gate import report, settings, signals
from alembic_gate.exits import BadUsage, ExitCode, GateStop, Terminated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run() -> None:
    """Run the process: what the command `alembic-gate`, `entrypoint.py` and `python -m alembic_gate` do."""
    try:
        code = main()
    except Terminated as ended:  # while the last line was written
        code = int(ended.code)
    if "alembic" in sys.modules:
        gc.freeze()  # the collector's last round would go through all of Alembic and SQLAlchemy
        sys.exit(code)
    # Nothing was loaded that wants to tidy up, and taking the interpreter down would be a seventh of the whole start.
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None where it is closed
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return the exit code; every way out ends here."""
    gc.set_threshold(100_000)  # nearly all that is made here is made by imports, and stays
    words = sys.argv[1:] if arguments is None else arguments
    termination_log = os.environ.get("GATE_TERMINATION_LOG") or settings.VARIABLES["GATE_TERMINATION_LOG"] or ""
    try:
        signals.install()
        report.start("text", "info")
        form, level, termination_log = settings.report_settings(os.environ)
        report.start(form, level)
        return _run(words)
    except (Exception, SystemExit, Terminated) as error:  # the one place where every error ends
        if isinstance(error, SystemExit) and "alembic" not in sys.modules:
            raise  # --help
        # What a signal interrupted may fail in a way of its own on the way out, and must not hide the signal.
        if ended := signals.received():
            return _end(ended.code, f"stopped by a signal ({ended.code.name}); the next start goes on from here", "")
        if type(error).__module__ == "pymysql.err":  # on a connection of the gate's own, such as the lock's
            from alembic_gate.classify import refusal

            error = refusal(error)
        if isinstance(error, GateStop):
            return _end(error.code, str(error), termination_log)
        report.log.say("error", "unexpected error", error=error)
        what = f"unexpected {type(error).__name__}: {error}. A bug of env.py, a script or the gate; see the traceback."
        return _end(ExitCode.UNEXPECTED, what, termination_log)


def _end(code: ExitCode, words: str, termination_log: str) -> int:
    words = f"{words} [exit {code:d}, {code.name.lower().replace('_', ' ')}]"
    report.log.error(words, extra={"exit_code": int(code)})
    report.leave_termination_message(termination_log, words)
    return int(code)


def _run(words: list[str]) -> int:
    options = _parser().parse_args(words) if words else SimpleNamespace(verb="upgrade")
    if options.verb == "manifest":
        return _manifest()
    if getattr(options, "databases", None):
        from alembic_gate.many import upgrade_many

        upgrade_many(os.environ, options.databases, options.target, options.parallel)
        return ExitCode.AT_TARGET
    configured = settings.read()
    configured.target = getattr(options, "target", None) or configured.target
    if options.verb == "upgrade":
        from alembic_gate.upgrade import upgrade

        upgrade(configured)
    elif options.verb == "downgrade":
        from alembic_gate.upgrade import downgrade

        downgrade(configured)
    elif options.verb == "check":
        from alembic_gate.check import check

        check(configured)
    elif options.verb == "repair":
        from alembic_gate.repair import repair

        repair(configured, options.settle)
    else:
        from alembic_gate import status

        if options.verb == "status":
            return status.status(configured, as_json=options.json)
        if options.verb == "plan":
            status.plan(configured, sql=options.sql)
        else:
            status.wait_until_at_target(configured)
    return ExitCode.AT_TARGET


def _manifest() -> int:
    from alembic_gate import project

    config = os.environ.get("ALEMBIC_CONFIG") or "alembic.ini"
    path = project.write_manifest(config)
    said = f"wrote '{path}'" if path else f"no manifest: only Alembic itself can read the scripts of '{config}'"
    report.log.info(said)
    return ExitCode.AT_TARGET


def _parser() -> "Any":
    import argparse

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> "Any":
            raise BadUsage(message, advice=f"See `{self.prog} --help`")

    parser = Parser(prog="alembic-gate", description="Bring a MySQL or MariaDB schema to the head of its scripts.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    target = Parser(add_help=False)
    target.add_argument("target", nargs="?", help="an Alembic target, GATE_TARGET otherwise")

    verb = verbs.add_parser("upgrade", parents=[target], help="wait, and apply what is pending (also without a verb)")
    verb.add_argument("--databases", metavar="FILE", help="upgrade all databases of a list, one a line")
    verb.add_argument("--parallel", metavar="N", type=int, choices=range(1, 65), default=4, help="at a time (4)")
    verbs.add_parser("wait", parents=[target], help="block until the database is at the target or provably ahead of it")
    verb = verbs.add_parser("status", help="show where the database stands; exit 0 only at head or allowed ahead")
    verb.add_argument("--json", action="store_true", help="one JSON object on standard output")
    verb = verbs.add_parser("plan", parents=[target], help="list the pending revisions in order")
    verb.add_argument("--sql", action="store_true", help="with their SQL, through env.py's offline mode")
    verbs.add_parser("check", help="compare the database with the models")
    verb = verbs.add_parser("downgrade", help="revert revisions down to a target")
    verb.add_argument("target", help="an Alembic target such as -1, base or a revision")
    verb = verbs.add_parser("repair", help="settle an interrupted revision; without an option only show it")
    settle = verb.add_mutually_exclusive_group()
    for name, words in (
        ("done", "the statement in flight was done: go on after it"),
        ("not-done", "the statement in flight was not done: go on with it"),
        ("abandon", "forget the interrupted run: the schema was set right by hand"),
    ):
        settle.add_argument(f"--{name}", dest="settle", action="store_const", const=name, help=words)
    verbs.add_parser("manifest", help="at image build: note heads and checksums of the scripts for quick starts")
    return parser
