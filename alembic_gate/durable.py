"""Run one revision so that it can be killed anywhere (I3): journal what is about to commit, answer what has committed.

A revision is a function that talks to one connection. Run again after a kill, it is given the answers that it was given
before, up to the last committed statement, and so takes the same way; from there on it talks to the server again.
"""

import time
from collections.abc import Callable
from typing import Any

from alembic_gate import fingerprint, signals, statements
from alembic_gate.answers import Answer, Recorder, RunningDigest, read
from alembic_gate.classify import error_number, is_lost_connection
from alembic_gate.exits import GateStop, LockLost, LockTimeout, RevisionInterrupted, Terminated
from alembic_gate.fingerprint import Fingerprint, Verdict
from alembic_gate.journal import Row, Writer
from alembic_gate.recovery import Next, decide_statement
from alembic_gate.report import log
from alembic_gate.statements import Kind, summary

_LOCK_WAIT_TIMEOUT, _DEADLOCK = 1205, 1213
_IN_TRANSACTION = 1  # SERVER_STATUS_IN_TRANS
# Between two tries for a metadata lock: long enough for the queries that queued behind the last one to get through.
METADATA_LOCK_PAUSE_SECONDS = 2


class Session:
    """The migration connection, as a revision's statements need it."""

    def __init__(self, dialect: Any, dbapi_connection: Any, lock: Any, end_statement: Callable[[], None]) -> None:
        self.dialect = dialect
        self.dbapi_connection = dbapi_connection
        self.cursor = dbapi_connection.cursor()
        self.lock = lock
        self.end_statement = end_statement
        self.give_up_seconds: float = lock.settings.lock_timeout_seconds

    def run(self, statement: str, *parameters: object) -> Any:
        """Run a statement of our own and return the cursor."""
        self.cursor.execute(statement, parameters or None)
        return self.cursor

    def commits_by_itself(self) -> bool:
        """Tell whether a DML statement sent now is a transaction of its own."""
        try:
            autocommit = self.dialect.detect_autocommit_setting(self.dbapi_connection)
        except NotImplementedError:
            autocommit = self.run("SELECT @@autocommit").fetchone()[0] == 1
        return autocommit and not getattr(self.dbapi_connection, "server_status", 0) & _IN_TRANSACTION


class DurableRevision:
    """One run of one revision's function."""

    def __init__(self, session: Session, writer: Writer, revision: str, row: Row | None, limit_bytes: int) -> None:
        self.session = session
        self.writer = writer
        self.revision = revision
        self.row = row
        self.position = row.position if row else 0
        self.count = 0
        self.statement = ""
        self.stopped: BaseException | None = None
        self._answers = read(row.answers) if row else []
        self._recorder = Recorder(limit_bytes, row.answers if row else b"")
        self._digest = RunningDigest()
        self._previous_digest = self._last_digest = ""
        self._temporary: set[str] = set()

    def execute(self, statement: str, parameters: Any, cursor: Any, send: Callable[[], None]) -> Answer | None:
        """Take one statement of the revision: return its answer from the journal, or send it and return None.

        Raises what the server said, and GateStop where the run must end; that one again at every later statement, since
        a revision may catch it.
        """
        if self.stopped:
            raise self.stopped
        try:
            self.count += 1
            self.statement = statement
            self._previous_digest, self._last_digest = self._last_digest, self._digest.add(statement, parameters)
            if self.count <= self.position:
                return self._answer(statement, send)
            if self.count == self.position + 1 and self.row and self._is_done(statement):
                self._recorder.add(Answer(self._last_digest, rowcount=0))
                return Answer(self._last_digest, rowcount=0)
            self._send(statement, cursor, send)
            return None
        except (GateStop, Terminated) as stop:
            self.stopped = stop
            raise

    def before_commit(self) -> None:
        """Note, in the transaction that the revision is about to commit by itself, how far it has come."""
        if self.stopped:
            raise self.stopped
        if self.count > self.position:
            self._checkpoint(self.count, None, {})
            # Not certain until the commit has been answered; the next checkpoint writes the row as a whole.
            self.writer.mark_uncertain()

    def close(self) -> None:
        """Note that the revision is complete, in the transaction that moves `alembic_version`."""
        self.writer.close(self.count, self._last_digest)

    def assert_complete(self) -> None:
        """Raise where the function ended although it should not have, or before its committed end."""
        if self.stopped:
            raise self.stopped
        if self.row and self.count < self.position:
            raise self._refusal(self.count, "the script ends before what is committed of it")
        if self.row and self.count == self.position and self.row.statement and self.row.digest:
            verdict = self._verdict()
            if verdict is not Verdict.NOT_DONE:
                raise self._refusal(
                    self.position + 1, "the script ends before the statement in flight", self.row.statement
                )

    # -- what is committed ------------------------------------------------------------------------------------------

    def _answer(self, statement: str, send: Callable[[], None]) -> Answer:
        assert self.row is not None
        answer = self._answers[self.count - 1] if self.count <= len(self._answers) else None
        vouched_for = not self.row.digest
        if answer is None:
            if not vouched_for:
                raise self._refusal(self.count, "the journal has no answer for it", statement)
            answer = Answer(self._last_digest, rowcount=0)
        if not vouched_for and answer.digest != self._last_digest:
            raise self._refusal(
                self.count, "the script says something else there now than when it was committed", statement
            )
        if not answer.kept:
            raise self._refusal(self.count, "its answer was too large for the journal", statement)
        self._restore_session(statement, answer, send)
        if self.count == self.position and self._temporary:
            tables = ", ".join(sorted(self._temporary))
            raise self._refusal(self.count, f"temporary tables died with their session: {tables}", statement)
        return answer

    def _restore_session(self, statement: str, answer: Answer, send: Callable[[], None]) -> None:
        kind = statements.kind(statement)
        if kind is Kind.SESSION and statements.is_sent_again(statement):
            try:
                send()
            except Exception as error:
                # A PREPARE of what is dropped by now fails, as it may: nothing after it can need it.
                log.debug("'%s' could not be set up again: %s", summary(statement), error)
        for name, value in answer.variables or ():
            self.session.run(f"SET @`{name}` = %s", value)
        if kind is Kind.TEMPORARY or (kind is Kind.COMMITS and statements.is_drop(statement)):
            names = {target.name for target in statements.targets(statement.replace("TEMPORARY ", "", 1)) or ()}
            if statements.is_drop(statement):
                self._temporary -= names
            elif not answer.error:
                self._temporary |= names

    def _verdict(self) -> Verdict:
        assert self.row is not None
        if self.row.statement is None:
            return Verdict.NOT_DONE
        now = fingerprint.take_again(self.session.cursor, self.row.fingerprint)
        return fingerprint.compare(self.row.statement, self.row.fingerprint, now, failed=self.row.state == "failed")

    def _is_done(self, statement: str) -> bool:
        """Decide about the statement that was in flight when the job ended."""
        assert self.row is not None
        step, why = decide_statement(self.row.state, self.row.statement, statement, self._verdict())
        if step is Next.REFUSE:
            raise self._refusal(self.count, why, self.row.statement or statement)
        if self.row.statement:
            found = "was done" if step is Next.PASS else "was not done"
            log.info("statement %d of '%s' %s: %s", self.count, self.revision, found, summary(self.row.statement))
        return step is Next.PASS

    def _refusal(self, number: int, why: str, statement: str = "") -> RevisionInterrupted:
        shown = f" `{summary(statement)}`" if statement else ""
        return RevisionInterrupted(
            f"revision '{self.revision}' was interrupted after {self.position} committed statements, and statement"
            f" {number}{shown} cannot be settled: {why}",
            advice="Look at the database, then run `alembic-gate repair --done` or `--not-done` for the statement after"
            f" the {self.position} committed ones, or `--abandon` (docs/recovery.md)",
        )

    # -- what is new ------------------------------------------------------------------------------------------------

    def _send(self, statement: str, cursor: Any, send: Callable[[], None]) -> None:
        self.session.lock.assert_held()
        kind = statements.kind(statement)
        if kind is Kind.COMMITS:
            self._send_committing(statement, cursor, send)
        elif kind is Kind.ENDS_TRANSACTION:
            self._recorder.add(Answer(self._last_digest, rowcount=0))
            if statements.bare(statement)[:8].upper() == "ROLLBACK":
                self._send_and_record(statement, cursor, send, record=False)
                self.writer.mark_uncertain()
            else:
                self._checkpoint(self.count, None, {})
                self._send_and_record(statement, cursor, send, record=False)
                self._mark_committed()
        elif self.session.commits_by_itself():
            # killed in here, the server rolls back the statement and its checkpoint together.
            self.session.run("BEGIN")
            try:
                self._send_and_record(statement, cursor, send)
                self._checkpoint(self.count, None, {})
                self.session.run("COMMIT")
            except BaseException:
                if getattr(self.session.dbapi_connection, "open", True):
                    self.session.run("ROLLBACK")
                raise
            self._mark_committed()
        else:
            self._send_and_record(statement, cursor, send)

    def _send_committing(self, statement: str, cursor: Any, send: Callable[[], None]) -> None:
        """Send a statement that commits what came before it, and that commit takes the checkpoint along."""
        before = fingerprint.take(self.session.cursor, statement)
        give_up = time.monotonic() + self.session.give_up_seconds
        while True:
            if self.session.commits_by_itself():
                self.session.run("BEGIN")
            # killed before the checkpoint, or before the server has the statement: the transaction is rolled back.
            self._checkpoint(self.count - 1, statement, before)
            # killed from here on: the fingerprint tells whether it was done.
            try:
                self._send_and_record(statement, cursor, send)
            except Exception as error:
                self.writer.mark_uncertain()
                if error_number(error) != _LOCK_WAIT_TIMEOUT:
                    raise
                self._recorder.forget_last()
                self._pause_for_metadata_lock(statement, error, give_up)
            else:
                self._mark_committed()
                return

    def _pause_for_metadata_lock(self, statement: str, error: Exception, give_up: float) -> None:
        """Let the queries pass that queued behind a DDL which queued behind an open transaction."""
        holders = self.session.lock.others()
        if time.monotonic() >= give_up:
            raise LockTimeout(
                f"statement {self.count} of revision '{self.revision}' got no metadata lock within"
                f" {self.session.give_up_seconds:g} s: `{summary(statement)}`",
                meaning=f"A transaction holds the table; connected are {holders}",
                advice="End it, or start again at a quieter time: the journal knows where to go on",
            ) from error
        log.warning(
            "statement %d of '%s' waits for a metadata lock and lets others pass; connected are %s: %s",
            *(self.count, self.revision, holders, summary(statement)),
        )
        time.sleep(METADATA_LOCK_PAUSE_SECONDS)
        self.session.lock.assert_held()

    def _send_and_record(self, statement: str, cursor: Any, send: Callable[[], None], record: bool = True) -> None:
        try:
            with signals.statement(self.session.end_statement):
                send()
        except Exception as error:
            if isinstance(error, GateStop):
                raise
            number = error_number(error)
            if is_lost_connection(error) or (number == _DEADLOCK and self.session.lock.on_cluster):
                raise LockLost(
                    f"the migration connection was lost in statement {self.count} of revision '{self.revision}'"
                    f" ({number}): `{summary(statement)}`"
                ) from error
            if record:
                self._recorder.add(Answer(self._last_digest, error=(type(error).__name__, error.args)))
            raise
        if record:
            self._recorder.add(self._heard(statement, cursor))

    def _heard(self, statement: str, cursor: Any) -> Answer:
        variables = None
        if names := statements.assigned_variables(statement):
            values = self.session.run("SELECT " + ", ".join(f"@`{name}`" for name in names)).fetchone()
            variables = list(zip(names, values, strict=True))
        rows = getattr(cursor, "_rows", None)
        description = cursor.description
        return Answer(
            self._last_digest,
            cursor.rowcount,
            getattr(cursor, "lastrowid", None),
            description and [tuple(column) for column in description],
            list(rows) if rows is not None and description else None,
            variables=variables,
            kept=not description or rows is not None,
        )

    def _checkpoint(self, position: int, statement: str | None, touched: Fingerprint) -> None:
        digest = self._last_digest if position == self.count else self._previous_digest
        self.writer.checkpoint(position, digest, self._recorder.committed, self._recorder.chunk(), statement, touched)

    def _mark_committed(self) -> None:
        self._recorder.mark_committed()
        self.writer.mark_committed()
