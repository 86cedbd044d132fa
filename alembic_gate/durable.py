"""Run one revision so that it can be killed anywhere (I3): journal what is about to commit, answer what has committed.

A revision is a function that talks to one connection. Run again after a kill, it is given the answers that it was given
before, up to the last committed statement, and so takes the same way; from there on it talks to the server again.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from alembic_gate import fingerprint, signals, statements
from alembic_gate.answers import Answer, Recorder, RunningDigest, read
from alembic_gate.classify import DEADLOCK, LOCK_WAIT_TIMEOUT, error_number, is_lost_connection
from alembic_gate.exits import GateStop, LockLost, LockTimeout, RevisionInterrupted, Terminated
from alembic_gate.fingerprint import Fingerprint, Verdict
from alembic_gate.journal import Row
from alembic_gate.project import Script
from alembic_gate.recovery import Next, decide_statement
from alembic_gate.report import log
from alembic_gate.session import Session
from alembic_gate.statements import Kind, summary

# Between two tries for a metadata lock: long enough for the queries that queued behind the last one to get through.
METADATA_LOCK_PAUSE_SECONDS = 2


class DurableRevision:
    """One run of one revision's function; `row` when a former run was interrupted."""

    def __init__(self, session: Session, script: Script, direction: str, row: Row | None) -> None:
        self.session, self.writer, self.revision, self.row = session, session.writer, script.revision, row
        self.writer.open(script, direction)
        self.position: int = row.position if row else 0
        self.count = 0
        self.is_all_committed = False
        self.statement = ""
        self.failed = 0  # the last statement that the server refused
        self.stopped: BaseException | None = None
        self._answers = read(row.answers) if row else []
        self._recorder = Recorder(session.lock.settings.journal_limit_bytes, row.answers if row else b"")
        self._running_digest = RunningDigest()
        self._digests = ("", "")  # before and with the current statement
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
            self._digests = self._digests[1], self._running_digest.add(statement, parameters)
            if self.count <= self.position:
                return self._answer(statement, send)
            if self.count == self.position + 1 and self._is_done(statement):
                return self._recorder.add(Answer(self._digests[1], rowcount=0))
            self._send(statement, cursor, send)
            return None
        except (GateStop, Terminated) as stop:
            self.stopped = stop
            raise
        except Exception as error:
            if not is_lost_connection(error):
                raise
            self.stopped = LockLost(f"the connection was lost at statement {self.count} of revision '{self.revision}'")
            raise self.stopped from error

    def before_commit(self) -> None:
        """Note, in the transaction that the revision is about to commit by itself, how far it has come."""
        if self.stopped:
            raise self.stopped
        if self.count > self.position:
            self._checkpoint(self.count)
            self.writer.is_committed = False  # known only when the commit was answered

    def close(self) -> None:
        """Note that the revision is complete, in the transaction that moves `alembic_version`."""
        self.writer.close(self.count, self._digests[1])

    def assert_complete(self) -> None:
        """Raise where the function ended although it should not have, or before what is committed of it."""
        if self.stopped:
            raise self.stopped
        if self.count < self.position:
            raise self._refusal(self.count + 1, "the script ends before what is committed of it")
        if self.row and self.count == self.position and self.row.statement and self._verdict() is not Verdict.NOT_DONE:
            raise self._refusal(self.count + 1, "the script ends before it", self.row.statement)

    # -- what is committed ------------------------------------------------------------------------------------------

    def _answer(self, statement: str, send: Callable[[], None]) -> Answer:
        """Answer a committed statement as the server did, as long as the script says the same as then."""
        vouched_for = self.row is not None and not self.row.digest
        answer = self._answers[self.count - 1] if self.count <= len(self._answers) else None
        if answer is None and vouched_for:
            answer = self._recorder.add(Answer(self._digests[1], rowcount=0))
        if answer is None:
            raise self._refusal(self.count, "the journal has no answer for it", statement, vouching_helps=True)
        if answer.digest != self._digests[1] and not vouched_for:
            why = "the script says something else there now than when it was committed"
            raise self._refusal(self.count, why, statement, vouching_helps=True)
        if not answer.kept:
            raise self._refusal(self.count, "its answer was too large for the journal", statement)
        self._set_up_session_again(statement, answer, send)
        if self.count == self.position and self._temporary:
            why = f"temporary tables died with their session: {', '.join(sorted(self._temporary))}"
            raise self._refusal(self.count, why, statement)
        return answer

    def _set_up_session_again(self, statement: str, answer: Answer, send: Callable[[], None]) -> None:
        kind = statements.kind(statement)
        if kind is Kind.SESSION and statements.is_sent_again(statement):
            try:
                send()
            except Exception as error:  # noqa: BLE001 - whatever driver it is
                # A PREPARE of what is dropped by now fails, as it may: nothing after it can need it.
                log.debug("'%s' could not be set up again: %s", summary(statement), error)
        for name, value in answer.variables or ():
            self.session.run(f"SET @`{name}` = %s", value)
        tables = set(statements.targets(statement) or ())
        if kind is Kind.TEMPORARY and not statements.is_drop(statement) and not answer.error:
            self._temporary |= tables
        elif statements.is_drop(statement):
            self._temporary -= tables

    def _verdict(self) -> Verdict:
        """Whether the statement in flight was done, as far as its fingerprint shows."""
        if self.row is None or self.row.statement is None:
            return Verdict.NOT_DONE
        now = fingerprint.take_again(self.session.cursor, self.row.fingerprint)
        return fingerprint.compare(self.row.statement, self.row.fingerprint, now, failed=self.row.in_flight_was_refused)

    def _is_done(self, statement: str) -> bool:
        """Decide about the statement that was in flight when the job ended."""
        if self.row is None or self.row.statement is None:
            return False
        state = "failed" if self.row.in_flight_was_refused else "running"
        step, why = decide_statement(state, self.row.statement, statement, self._verdict())
        if step is Next.REFUSE:
            raise self._refusal(self.count, why, self.row.statement, vouching_helps=True)
        found = "was done" if step is Next.PASS else "was not done"
        log.info("statement %d of '%s' %s: %s", self.count, self.revision, found, summary(self.row.statement))
        return step is Next.PASS

    def _refusal(self, number: int, why: str, statement: str = "", *, vouching_helps: bool = False) -> GateStop:
        unsettled = f"statement {number}" + (f" `{summary(statement)}`" if statement else "")
        what = f"revision '{self.revision}' was interrupted after {self.position} committed statements, and {unsettled}"
        advice = "Finish the revision by hand and `alembic stamp` it, or undo it and `alembic-gate repair --abandon`"
        if vouching_helps:
            advice = f"Look at the database, then say whether statement {self.position + 1} is done:"
            advice += " `alembic-gate repair --done` or `--not-done`, or `--abandon` the run"
        return RevisionInterrupted(f"{what} cannot be settled: {why}", advice=f"{advice} (docs/recovery.md)")

    # -- what is new ------------------------------------------------------------------------------------------------

    def _send(self, statement: str, cursor: Any, send: Callable[[], None]) -> None:
        self.session.lock.assert_held()
        kind = statements.kind(statement)
        if kind is Kind.COMMITS:
            self._send_committing(statement, cursor, send)
            return
        self.is_all_committed = False
        self.session.settle()
        if kind is Kind.SESSION:
            self.session.note_done(None)  # USE: another database has other tables
        if kind is Kind.ENDS_TRANSACTION:
            self._recorder.add(Answer(self._digests[1], rowcount=0))
            self._checkpoint(self.count)
            self._send_and_record(statement, cursor, send, record=False)
            if statements.is_rollback(statement):
                self.writer.is_committed = False  # the checkpoint went with the rest
            else:
                self._mark_committed()
        elif kind is Kind.PLAIN and self.session.commits_by_itself():
            # killed in here, the server rolls back the statement and its checkpoint together.
            self.session.run("BEGIN")
            try:
                self._send_and_record(statement, cursor, send)
                self._checkpoint(self.count)
                self.session.run("COMMIT")
            except Exception:
                with suppress(Exception):  # a lost connection has rolled back by itself
                    self.session.run("ROLLBACK")
                raise
            self._mark_committed()
        else:
            self._send_and_record(statement, cursor, send)

    def _send_committing(self, statement: str, cursor: Any, send: Callable[[], None]) -> None:
        """Send a statement that commits what came before it, and that commit takes the checkpoint along.

        It takes the close of the revision before along too where it is a quick one, which saves a commit and its wait
        for the disk; behind a slow one nobody would be told for long that a revision is complete.
        """
        created = statements.created_table(statement)
        if not created:
            self.session.settle()
        brings_close = bool(self.writer.closing)
        before = self._touched(statement, created)
        give_up = time.monotonic() + self.session.lock.settings.lock_timeout_seconds
        while True:
            if begins := self.session.commits_by_itself():
                self.session.run("BEGIN")
            # killed before the checkpoint, or before the server has the statement: the transaction is rolled back.
            self._checkpoint(self.count - 1, statement, before)
            # killed from here on: the fingerprint tells whether it was done.
            try:
                self._send_and_record(statement, cursor, send)
            except Exception as error:
                self.writer.is_committed = self.is_all_committed = False
                self.session.note_done(None)  # a procedure may fail after it has made a table
                if not isinstance(error, GateStop):
                    # An error does not say whether it was committed before, nor whether a transaction is still open.
                    self.session.run("COMMIT" if begins or brings_close else "DO 0")
                    if brings_close:
                        self.session.on_committed()
                if error_number(error) != LOCK_WAIT_TIMEOUT:
                    raise
                self._recorder.forget_last()
                self._pause_for_metadata_lock(statement, error, give_up)
            else:
                self._mark_committed()
                self.is_all_committed = True
                self.session.note_done(created)
                if brings_close:
                    self.session.on_committed()
                return

    def _touched(self, statement: str, created: str | None) -> Fingerprint:
        # The list shows the transaction's snapshot, so it is asked only where that has read nothing of this revision.
        if created and (self.count == 1 or self.is_all_committed) and self.session.lacks(created):
            return {f"TABLE {created}": fingerprint.ABSENT}
        return fingerprint.take(self.session.cursor, statement)

    def _pause_for_metadata_lock(self, statement: str, error: Exception, give_up: float) -> None:
        """Let the queries pass that queued behind a DDL which queued behind an open transaction."""
        lock = self.session.lock
        what = f"statement {self.count} of revision '{self.revision}'"
        if time.monotonic() >= give_up:
            raise LockTimeout(
                f"{what} got no metadata lock within {lock.settings.lock_timeout_seconds:g} s: `{summary(statement)}`",
                meaning=f"A transaction holds the table; connected are {lock.others()}",
                advice="End it, or start again at a quieter time: the journal knows where to go on",
            ) from error
        words = "%s waits for a metadata lock and lets others pass; connected are %s: %s"
        log.warning(words, what, lock.others(), summary(statement))
        time.sleep(METADATA_LOCK_PAUSE_SECONDS)
        lock.assert_held()

    def _send_and_record(self, statement: str, cursor: Any, send: Callable[[], None], record: bool = True) -> None:
        try:
            with signals.statement(self.session.end_statement):
                send()
        except Exception as error:
            number = error_number(error)
            if is_lost_connection(error) or (number == DEADLOCK and self.session.lock.on_cluster):
                what = f"the connection was lost in statement {self.count} of revision '{self.revision}' ({number})"
                raise LockLost(f"{what}: `{summary(statement)}`") from error
            self.failed = self.count
            if record:
                self._recorder.add(Answer(self._digests[1], error=(type(error).__name__, error.args)))
            raise
        if record:
            self._recorder.add(self._heard(statement, cursor))

    def _heard(self, statement: str, cursor: Any) -> Answer:
        """What the server answered, without taking it away from the cursor."""
        names = statements.assigned_variables(statement)
        values = self.session.run("SELECT " + ", ".join(f"@`{name}`" for name in names)).fetchone() if names else ()
        variables = list(zip(names, values, strict=True)) or None
        heard = Answer(self._digests[1], cursor.rowcount, getattr(cursor, "lastrowid", None), variables=variables)
        if not cursor.description:
            return heard
        rows, columns = getattr(cursor, "_rows", None), [tuple(column) for column in cursor.description]
        return heard._replace(description=columns, rows=list(rows or ()), kept=rows is not None)

    def _checkpoint(self, position: int, statement: str | None = None, touched: Fingerprint | None = None) -> None:
        digest = self._digests[position == self.count]
        chunk = self._recorder.chunk()
        self.writer.checkpoint(position, digest, self._recorder.committed, chunk, statement, touched or {})

    def _mark_committed(self) -> None:
        self._recorder.mark_committed()
        self.writer.is_committed = True
