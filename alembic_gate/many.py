"""`upgrade --databases FILE`: the job for many databases, each a process of its own, so that none stops another."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from alembic_gate import settings
from alembic_gate.exits import BadUsage, ExitCode, GateStop, Terminated
from alembic_gate.report import log

_PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_NAMES_A_DATABASE = re.compile(r"(DATABASE_URL|MYSQL_DATABASE)(_FILE)?$")


def upgrade_many(environ: Mapping[str, str], path: str, target: str | None, parallel: int) -> None:
    """Upgrade this process's share of a list of databases; raises GateStop with the worst code (fatal ones first)."""
    databases = share(read_list(path), environ)
    children: dict[str, subprocess.Popen[str]] = {}
    stopping = threading.Event()

    def run(database: str) -> tuple[ExitCode, str]:
        started = time.monotonic()
        try:
            path = os.pathsep.join(filter(None, [_PACKAGE_PARENT, environ.get("PYTHONPATH")]))
            # One message for all of them: the worst one's, which this process leaves.
            ours = environment_of(database, environ) | {"PYTHONPATH": path, "GATE_TERMINATION_LOG": os.devnull}
            ours["GATE_LOG_FORMAT"] = "text"  # its last line becomes a part of ours
            words = [sys.executable, "-m", "alembic_gate", "upgrade", *([target] if target else [])]
            if stopping.is_set():
                return ExitCode.SIGTERM, ""
            child = subprocess.Popen(words, env=ours, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
            children[database] = child
            said = child.communicate()[1]
            code, last = child.returncode, (said.splitlines() or [""])[-1].strip()
            if code < 0:  # as where memory is short: what a signal ended may end well the next time
                code, last = ExitCode.SIGTERM, f"ended by signal {-code}; {last}"
        except GateStop as stop:
            code, said, last = stop.code, "", str(stop)
        # Of a URL only its last part is shown: the rest may be secret.
        shown = database.partition("?")[0].rpartition("/")[2] if "://" in database else database
        facts = {"database": shown, "exit_code": int(code), "seconds": round(time.monotonic() - started, 3)}
        log.debug(said)
        say = log.error if code else log.info
        say("%s: exit %d in %.2f s: %s", shown, code, facts["seconds"], last, extra=facts)
        return ExitCode(code) if code in list(ExitCode) else ExitCode.UNEXPECTED, f"{shown}: {last}"

    log.info("%d databases, %d at a time", len(databases), parallel)
    with ThreadPoolExecutor(parallel) as pool:
        try:
            ends = list(pool.map(run, databases))
        except Terminated:
            stopping.set()
            for child in children.values():
                child.terminate()
            raise
    good = sum(code == ExitCode.AT_TARGET for code, _ in ends)
    log.info("%d of %d databases are at target", good, len(ends))
    if good < len(ends):
        worst, said = max((end for end in ends if end[0]), key=lambda end: (not end[0].retry_helps, end[0]))
        stop = GateStop(f"{good} of {len(ends)} databases are at target; the worst is {said.partition(' [exit')[0]}")
        stop.code = worst
        raise stop


def read_list(path: str) -> list[str]:
    """One database a line: a name on the server of the settings, or a whole URL; raises BadUsage."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise BadUsage(f"the list of databases '{path}' cannot be read: {type(error).__name__}") from None
    found = list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not found:
        raise BadUsage(f"the list of databases '{path}' is empty", advice="Write one database a line")
    return found


def share(databases: list[str], environ: Mapping[str, str]) -> list[str]:
    """This pod's part of the list in an Indexed Job: every JOB_COMPLETIONS-th line from JOB_COMPLETION_INDEX on.

    https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode
    """
    index, total = environ.get("JOB_COMPLETION_INDEX", "0"), environ.get("JOB_COMPLETIONS", "1")
    if not (index.isdigit() and total.isdigit() and int(index) < int(total)):
        what = "JOB_COMPLETION_INDEX and JOB_COMPLETIONS do not fit"
        raise BadUsage(what, advice="Set JOB_COMPLETIONS to the Job's completions")
    return databases[int(index) :: int(total)]


def environment_of(database: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The settings of one database: those of this process with another name, or another URL, in them."""
    ours = {name: value for name, value in environ.items() if not _NAMES_A_DATABASE.match(name)}
    url = settings.Environment(environ).given("DATABASE_URL")
    if "://" in database:
        ours = {name: value for name, value in ours.items() if not re.match(r"MYSQL_(HOST|PORT|USER|PASSWORD)", name)}
        return ours | {"DATABASE_URL": database}
    if url is None:
        return ours | {"MYSQL_DATABASE": database}
    from urllib.parse import quote

    return ours | {"DATABASE_URL": re.sub(r"^(\w[\w+]*://[^/]*)(/[^?]*)?", rf"\g<1>/{quote(database, safe='')}", url)}
