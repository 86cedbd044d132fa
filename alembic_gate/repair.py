"""Let a person settle an interrupted revision that recovery refused to decide: explicit, logged, under the lock."""

from alembic_gate import journal, lock
from alembic_gate.exits import BadUsage
from alembic_gate.glance import names
from alembic_gate.journal import Row
from alembic_gate.lock import GateLock
from alembic_gate.report import log
from alembic_gate.settings import Settings


def repair(settings: Settings, settle: str | None) -> None:
    """Show the interrupted revision, or settle it as `done`, `not-done` or `abandon`; raises BadUsage without one."""
    with lock.acquire(settings) as gate:
        journal.ensure_table(gate)
        rows = journal.read_rows(gate.query, "state IN ('running', 'failed')")
        if not rows:
            if settle:
                raise BadUsage("no revision is interrupted", advice="There is nothing to repair")
            print("no revision is interrupted")
            return
        if len(rows) > 1:
            raise BadUsage(f"several revisions are interrupted: {names(row.revision for row in rows)}")
        row = rows[0]
        show(row)
        if settle:
            _settle(gate, row, settle)


def show(row: Row) -> None:
    """Print everything that is known about the row, and what each option would do."""
    print(f"revision     {row.revision} ({row.direction}, {row.state}), last by {row.host}")
    print(f"committed    {row.position} statements")
    print(f"in flight    {row.statement or '- (the statement after them had not committed anything)'}")
    if row.error:
        print(f"error        {row.error}")
    after = f"statement {row.position + 1}"
    print(f"--done       take {after} as done: the next start goes on with statement {row.position + 2}")
    print(f"--not-done   take {after} as not done: the next start runs it")
    print(
        "--abandon    forget this run: the next start begins the revision anew, unless alembic_version says it is applied"
    )


def _settle(gate: GateLock, row: Row, settle: str) -> None:
    if settle == "abandon":
        settled = journal.settle(gate, row, "abandoned", row.error)
        words = "abandoned"
    else:
        position = row.position + (1 if settle == "done" else 0)
        settled = journal.move(gate, row, position)
        words = f"set to {position} committed statements"
    if not settled:
        raise BadUsage("the row changed while it was looked at", advice="Look again")
    log.warning("repair: the %s of '%s' is %s", row.direction, row.revision, words)
