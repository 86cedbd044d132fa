"""Let Alembic run the project's own env.py under the gate: check its connection, fence it, and watch its statements.

https://alembic.sqlalchemy.org/en/latest/api/runtime.html#alembic.runtime.environment.EnvironmentContext
"""

import gc
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import RevisionStep
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.engine.cursor import FullyBufferedCursorFetchStrategy
from sqlalchemy.exc import DBAPIError

from alembic_gate import connect, journal, signals
from alembic_gate.alembic_project import explained, open_project, relative
from alembic_gate.answers import Answer
from alembic_gate.classify import DEADLOCK, LOCK_WAIT_TIMEOUT, error_number, is_lost_connection
from alembic_gate.durable import DurableRevision
from alembic_gate.exits import (
    BadUsage,
    GateStop,
    LockLost,
    LockTimeout,
    NotAtTarget,
    RevisionFailed,
    RevisionInterrupted,
)
from alembic_gate.glance import names
from alembic_gate.journal import Row
from alembic_gate.lease import see_all_writes_before_reading
from alembic_gate.lock import POLL_SECONDS, GateLock
from alembic_gate.recovery import Action, decide_revision
from alembic_gate.report import log
from alembic_gate.session import Session
from alembic_gate.settings import Settings
from alembic_gate.statements import Kind, bare, kind, summary
from alembic_gate.versions import versions_as_text


class Migration:
    """One run of `upgrade` or `downgrade` through Alembic, under the gate lock."""

    def __init__(self, settings: Settings, lock: GateLock, direction: str) -> None:
        self.settings, self.lock, self.direction = settings, lock, direction
        self.config, self.directory, self.scripts = open_project(settings)
        self.heads: set[str] = set()
        self.version_table = ""
        self._context: Any = None
        self._session: Session  # once Alembic has asked for the steps
        self._external = False
        self._revision: DurableRevision | None = None
        self._recording = False
        self._unfinished: BaseException | None = None  # what ended the steps, should env.py catch it
        self._unsaid: list[tuple[str, dict[str, Any]]] = []

    def run(self) -> None:
        """Apply what is pending; raises GateStop, with the journal saying how far it came."""
        journal.ensure_table(self.lock)  # before env.py connects, to a node of a cluster that may be behind
        gc.freeze()  # what is imported stays: no need to go through it again and again
        try:
            with self._watching(), versions_as_text(), EnvironmentContext(self.config, self.directory, fn=self._steps):
                self.directory.run_env()
            self._assert_finished()
        except (Exception, SystemExit) as error:
            # Whatever went wrong, a signal or a lost lock explains it; nothing else is believed before that is known.
            signals.raise_if_received()
            self.lock.assert_held(ask=True)
            with suppress(Exception):  # env.py may have closed it; if not, its locks would be in our way
                self._session.run("ROLLBACK")
            if isinstance(error, GateStop):
                raise
            raise self._explained(error) from error
        finally:
            # Free the fence even where env.py keeps its connection in a pool; a broken connection has freed it.
            with suppress(Exception):
                self._session.run("SELECT RELEASE_LOCK(%s)", self.lock.fence)
        if self._context is None:
            raise BadUsage(
                f"the env.py of '{self.settings.config}' ran no migrations",
                meaning="It did not call context.run_migrations() on a connection",
                advice="Run `alembic current` with it to see why",
            )

    # -- Alembic asks for the steps ---------------------------------------------------------------------------------

    def _steps(self, heads: tuple[str, ...], context: Any) -> Iterator[Any]:
        """What Alembic calls for the revisions to run; env.py may catch what goes wrong there, and go on (I1)."""
        self._unfinished = NotAtTarget(
            "env.py ended although not all revisions were run",
            meaning="It catches what goes wrong in context.run_migrations()",
            advice="Let it raise, and start again",
        )
        try:
            yield from self._steps_under_the_fence(heads, context)
        except Exception as error:
            self._unfinished = error
            raise
        self._unfinished = None

    def _assert_finished(self) -> None:
        if self._unfinished:
            raise self._unfinished

    def _steps_under_the_fence(self, heads: tuple[str, ...], context: Any) -> Iterator[Any]:
        """The revisions to run; between two of them, Alembic has committed."""
        self._context = context
        self._enter_fence(context.connection)
        parts = filter(None, (context.version_table_schema, context.version_table))
        self.version_table = ".".join(f"`{part}`" for part in parts)
        self.heads = set(heads)
        context.on_version_apply_callbacks += (self._on_version_apply,)
        journal.adopt(self.lock, self.scripts, heads)
        journal.assert_scripts_unchanged(self.settings, self.scripts, heads, self.lock.rows)
        # Alembic would commit each revision by itself, which one that ended with a commit can do without.
        self._external = context._in_external_transaction or context._transaction is not None
        self._session.owns_transaction = not self._external and not self._session.commits_by_itself()
        self._session.before_rollback(self._on_rollback)
        with _listening(context.connection, {"commit": self._on_commit, "rollback": self._on_rollback}):
            if row := self._interrupted_row(heads):
                script, is_upgrade = self.directory.get_revision(row.revision), row.direction == "upgrade"
                yield from self._run([RevisionStep(self.directory.revision_map, script, is_upgrade)], row)
            target = self.settings.target
            if row and row.direction == self.direction and relative(target):
                log.warning("the interrupted %s is finished; '%s' is not counted again", self.direction, target)
            else:
                self._session.settle()  # before a target that does not exist
                yield from self._run(self._plan(tuple(self.heads)), None)
            self._session.settle()
            if self._session.owns_transaction:
                context._transaction = None
                context.connection.commit()

    def _plan(self, current: Any) -> list[RevisionStep]:
        plan = self.directory._upgrade_revs if self.direction == "upgrade" else self.directory._downgrade_revs
        return plan(self.settings.target, current)

    def _interrupted_row(self, heads: Collection[str]) -> Row | None:
        """The open row that has to be finished first; those that somebody else has completed are closed."""
        resumable = []
        for row in journal.read_open_rows(self.lock.rows):
            action, why = decide_revision(row.revision, row.direction, self.scripts.graph, heads)
            if action is Action.REFUSE:
                what = f"the {row.direction} of revision '{row.revision}' was interrupted after {row.position}"
                raise RevisionInterrupted(f"{what} committed statements, and cannot be finished: {why}")
            if action is Action.RESUME:
                resumable.append(row)
            elif journal.settle(self.lock, row, "applied" if row.direction == "upgrade" else "reverted"):
                log.info("the %s of '%s' was completed by other means", row.direction, row.revision)
        if len(resumable) > 1:
            found = names([row.revision for row in resumable])
            raise RevisionInterrupted(f"several revisions are interrupted: {found}")
        return resumable[0] if resumable else None

    def _run(self, plan: list[Any], row: Row | None) -> Iterator[Any]:
        for index, step in enumerate(plan, 1):
            started = time.monotonic()
            revision = step.revision.revision
            script = self.scripts.by_revision[revision]
            direction = "upgrade" if step.is_upgrade else "downgrade"
            doing, done = ("applying", "applied") if step.is_upgrade else ("reverting", "reverted")
            facts = {"revision": revision, "direction": direction, "index": index, "total": len(plan)}
            since = f", interrupted after {row.position} committed statements" if row else ""
            said = f"{doing} {index} of {len(plan)}: '{revision}' ({step.doc}){since}"
            if self._session.writer.closing:
                self._unsaid.append((said, facts))  # not before "applied" of the one before
            else:
                log.info(said, extra=facts)
            durable = DurableRevision(self._session, script, direction, row)
            step.migration_fn = self._recorded(step.migration_fn, durable)
            if self._session.owns_transaction:  # the one before may have ended it
                connection = self._context.connection
                self._context._transaction = connection.get_transaction() or connection.begin()
            yield step
            seconds = round(time.monotonic() - started, 3)
            said = f"{done} '{revision}' in {seconds:.2f} s"
            self._unsaid.append((said, facts | {"seconds": seconds, "statements": durable.count}))
            if not self._external and not self._session.writer.closing:
                self.say_committed()

    def _recorded(self, function: Callable[..., None], durable: DurableRevision) -> Callable[..., None]:
        def run_revision(**options: Any) -> None:
            self.lock.assert_held()
            self._revision, self._recording = durable, True
            try:
                function(**options)
                durable.assert_complete()
            except (Exception, SystemExit) as error:
                self._unfinished = error
                if not isinstance(error, GateStop):
                    self._session.settle()  # the revision before is complete all the same
                raise
            self._session.settle()  # the revision before one that has sent nothing: what Alembic does next may fail
            # What Alembic itself says from here to the commit is not the revision's.
            self._recording = False

        return run_revision

    def _on_version_apply(self, *, heads: Collection[str], **_: Any) -> None:
        """Alembic has moved its version and not committed yet: close the row in the same transaction."""
        assert self._revision is not None
        self.heads = set(heads)
        self._revision.close()
        if not (self._revision.is_all_committed and self._session.owns_transaction):
            self._session.settle()

    def say_committed(self) -> None:
        """Say "applied" only after the commit, which an env.py with a transaction of its own does at its end."""
        log.write("".join(log.line("info", words, extra=facts) for words, facts in self._unsaid))
        self._unsaid.clear()

    # -- the connection that env.py opened --------------------------------------------------------------------------

    def _enter_fence(self, connection: Connection | None) -> None:
        """Check that env.py looks at our database, and put the fence on its connection."""
        if connection is None or connection.dialect.name not in ("mysql", "mariadb"):
            raise BadUsage("env.py gives Alembic no connection to MySQL or MariaDB", advice="Use its `sqlalchemy.url`")
        dbapi_connection = connection.connection.dbapi_connection
        session = Session(connection.dialect, dbapi_connection, self.lock, self.scripts)
        if not self.lock.is_seen_from(session.cursor):
            raise BadUsage(
                f"env.py opened a connection to another database than {self.settings.database}",
                meaning="It takes its URL from somewhere else than `sqlalchemy.url` of the configuration",
                advice="Give both the same database: the gate must not look at one and migrate another",
            )
        if session.run("SELECT GET_LOCK(%s, %s)", self.lock.fence, POLL_SECONDS).fetchone()[0] != 1:
            raise LockLost("another job has the fence although this one holds the gate lock")
        session.run(f"SET SESSION lock_wait_timeout = {self.settings.metadata_lock_seconds}")
        connect.keep_alive(dbapi_connection)
        session.on_committed = self.say_committed
        self._session = session

    def _watching(self) -> AbstractContextManager[None]:
        """See every statement of every SQLAlchemy engine in this process."""

        def listener(name: str) -> Callable[..., Any]:
            # With parameters (cursor, statement, parameters, context), without them (cursor, statement, context).
            return lambda *arguments: self._take(name, *arguments)

        listeners = {name: listener(name) for name in ("do_execute", "do_executemany", "do_execute_no_params")}
        if self.lock.on_cluster:
            listeners["engine_connect"] = lambda connection: see_all_writes_before_reading(connection.connection)
        return _listening(Engine, listeners)

    def _take(self, name: str, cursor: Any, statement: str, *rest: Any) -> bool:
        """Hand a statement of the running revision to the journal; False leaves it to SQLAlchemy."""
        if not self._recording:
            return False
        assert self._revision is not None
        *parameters, context = rest
        if context.root_connection.connection.dbapi_connection is not self._session.dbapi_connection:
            assert_readable_elsewhere(statement)
            self._session.settle()  # there it sees what is committed
            return False
        send = getattr(context.dialect, name)
        answer = self._revision.execute(statement, parameters, cursor, lambda: send(cursor, statement, *rest))
        if answer:
            give(answer, cursor, statement, context)
        return True

    def _on_commit(self, _connection: Connection) -> None:
        self._session.settle()
        if self._recording and self._revision is not None:
            self._revision.before_commit()

    def _on_rollback(self, *_: Connection) -> None:
        """Where a revision rolls back, that must not take the close of the one before along."""
        if self._recording and self._revision and not self._revision.stopped and not signals.received():
            self._session.settle()

    # -- what went wrong --------------------------------------------------------------------------------------------

    def _explained(self, error: BaseException) -> BaseException:
        """Turn what came out of env.py into a condition with a code; what is none of them stays as it is, a bug."""
        durable = self._revision
        if durable is not None and isinstance(durable.stopped, GateStop):
            return durable.stopped
        cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
        number = error_number(cause)
        if is_lost_connection(cause) or (number == DEADLOCK and self.lock.on_cluster):
            return LockLost(f"the migration connection was lost ({number})")
        if durable is None or not self._recording:
            return explained(self.settings, error)
        where = f"statement {durable.count} of revision '{durable.revision}'"
        what = f"{where}: {type(cause).__name__} {' '.join(map(str, cause.args))}"
        if isinstance(error, DBAPIError):
            what += f" in `{summary(durable.statement)}`"
        if number in (LOCK_WAIT_TIMEOUT, DEADLOCK):
            return LockTimeout(what, meaning="A transaction of somebody else was in the way")
        position = journal.note_failure(self.lock, durable.revision, what, durable.failed)
        committed = f"The {position} statements before it are committed, and in the journal"
        return RevisionFailed(what, meaning="Nothing of this revision is committed" if position < 0 else committed)


@contextmanager
def _listening(target: Any, listeners: dict[str, Callable[..., Any]]) -> Iterator[None]:
    """Let functions hear SQLAlchemy's events of these names for the time of the body."""
    for name, function in listeners.items():
        event.listen(target, name, function)
    try:
        yield
    finally:
        for name, function in listeners.items():
            event.remove(target, name, function)


def give(answer: Answer, cursor: Any, statement: str, context: Any) -> None:
    """Answer a statement from the journal: what its cursor would show had it been sent."""
    if answer.error:
        name, arguments = answer.error
        raise getattr(context.dialect.loaded_dbapi, name)(*arguments)
    rows = answer.rows or []
    if hasattr(cursor, "_executed"):
        # PyMySQL's cursor (and mysqlclient's) after a query.
        cursor._executed, cursor._rows, cursor.rownumber = statement, tuple(rows), 0
        cursor.description = tuple(answer.description) if answer.description else None
        cursor.rowcount, cursor.lastrowid = answer.rowcount, answer.lastrowid
    else:
        context._rowcount = answer.rowcount
        if answer.description:
            context.cursor_fetch_strategy = FullyBufferedCursorFetchStrategy(cursor, answer.description, rows)


def assert_readable_elsewhere(statement: str) -> None:
    """Raise where a revision writes on a second connection, which the journal's transactions do not cover."""
    word = bare(statement)[:6].upper()
    if kind(statement) is Kind.SESSION or word.startswith(("SELECT", "SHOW", "DESC", "EXPLAI", "WITH")):
        return
    raise RevisionFailed(
        f"a revision writes on a connection of its own: `{summary(statement)}`",
        meaning="What is committed there cannot be kept in step with the journal",
        advice="Use `op.execute` or `op.get_bind()` in the script",
    )
