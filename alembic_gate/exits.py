"""Every way out and its exit code (I6): the one table, and the conditions that carry its codes.

The table is a public, versioned contract (docs/exit-codes.md); a test keeps the two the same.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """The process's exit codes; `retry_helps` tells a cluster whether the same start can end differently later."""

    AT_TARGET = 0
    UNEXPECTED = 1
    USAGE = 2
    UNAVAILABLE = 10
    REFUSED = 11
    LOCK_TIMEOUT = 12
    LOCK_LOST = 13
    REVISION_FAILED = 20
    INTERRUPTED = 21
    UNKNOWN_REVISION = 22
    CHANGED_SCRIPT = 23
    BROKEN_GRAPH = 24
    NOT_AT_TARGET = 30
    MODELS_DIFFER = 31
    SIGINT = 130
    SIGTERM = 143

    @property
    def retry_helps(self) -> bool:
        return self in (10, 12, 13, 30, 130, 143)


class GateStop(Exception):
    """A known reason to stop: what failed, what that usually means, what to do now; never a secret in any of them."""

    code = ExitCode.UNEXPECTED
    meaning = ""
    advice = ""

    def __init__(self, what: str, *, meaning: str = "", advice: str = "") -> None:
        super().__init__(what)
        self.what, self.meaning, self.advice = what, meaning or self.meaning, advice or self.advice

    def __str__(self) -> str:
        parts = [part.strip() for part in (self.what, self.meaning, self.advice) if part]
        return " ".join(part if part.endswith((".", "!", "?", "`")) else f"{part}." for part in parts)


class BadUsage(GateStop):
    code = ExitCode.USAGE
    advice = "See docs/configuration.md"


class DatabaseUnavailable(GateStop):
    code = ExitCode.UNAVAILABLE
    meaning = "The server is not up yet, not reachable from here, or cannot be written at the moment"
    advice = "Start again when it is; GATE_WAIT_TIMEOUT_SECONDS is how long a start waits"


class DatabaseRefuses(GateStop):
    code = ExitCode.REFUSED
    meaning = "Waiting does not help: user, password, database name, grants or TLS settings do not fit the server"
    advice = "Correct the settings or the account, then start again"


class LockTimeout(GateStop):
    code = ExitCode.LOCK_TIMEOUT
    meaning = "Another job is still at work on this database"
    advice = "Start again later; GATE_LOCK_TIMEOUT_SECONDS is how long a start waits for its turn"


class LockLost(GateStop):
    code = ExitCode.LOCK_LOST
    meaning = "The connection to the server broke, or another job took over; nothing was started after that"
    advice = "Start again: the journal knows where to go on"


class RevisionFailed(GateStop):
    code = ExitCode.REVISION_FAILED
    meaning = "The server or the script refused; what was committed before is in the journal"
    advice = "Mend the script from that statement on, build a new image and start it: it goes on from there"


class RevisionInterrupted(GateStop):
    code = ExitCode.INTERRUPTED
    meaning = "Going on would be a guess"
    advice = "Look at the database, then settle it with `alembic-gate repair` (docs/recovery.md)"


class RevisionUnknown(GateStop):
    code = ExitCode.UNKNOWN_REVISION
    meaning = "A newer image or another project has been here, or this image is too old"
    advice = "Deploy an image that contains that revision"


class ScriptChanged(GateStop):
    code = ExitCode.CHANGED_SCRIPT
    meaning = "An applied script was edited: new databases will differ from this one"
    advice = "Undo the edit and write a new revision instead, or set GATE_CHANGED_SCRIPT=warn"


class GraphBroken(GateStop):
    code = ExitCode.BROKEN_GRAPH
    meaning = "The scripts of this image do not form one history"
    advice = "Merge or mend them (`alembic heads`, `alembic merge heads`) and build a new image"


class NotAtTarget(GateStop):
    code = ExitCode.NOT_AT_TARGET
    meaning = "The job that upgrades it has not finished, or has not run"
    advice = "Run `alembic-gate upgrade`, or wait for the job that does"


class ModelsDiffer(GateStop):
    code = ExitCode.MODELS_DIFFER
    meaning = "A model was changed without a revision, or the database was changed by hand"
    advice = "Write the missing revision (`alembic revision --autogenerate`)"


class Terminated(BaseException):
    """A signal asked us to end. Not an Exception, so that no `except Exception` of a revision swallows it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.code = ExitCode(128 + signal_number)
