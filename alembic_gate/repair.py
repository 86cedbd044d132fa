"""Let a person settle an interrupted revision that recovery refused to decide: explicit, logged, under the lock."""

from alembic_gate import journal, lock
from alembic_gate.exits import BadUsage
from alembic_gate.journal import Row
from alembic_gate.lock import GateLock
from alembic_gate.report import log
from alembic_gate.settings import Settings


def repair(settings: Settings, settle: str | None) -> None:
    """Show the interrupted revision, or settle it as `done`, `not-done` or `abandon`; raises BadUsage without one."""
    with lock.acquire(settings) as gate:
        journal.ensure_table(gate)
        rows = journal.read_open_rows(gate.rows)
        for row in rows:
            show(row)
        if not rows and not settle:
            print("no revision is interrupted")
        if settle and len(rows) != 1:
            raise BadUsage(f"{len(rows) or 'no'} revisions are interrupted, so there is none to repair by this")
        if settle:
            _settle(gate, rows[0], settle)


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
    print("--abandon    forget this run: the next start begins the revision anew, unless it is applied by then")


def _settle(gate: GateLock, row: Row, settle: str) -> None:
    if settle == "abandon":
        settled, words = journal.settle(gate, row, "abandoned"), "abandoned"
    else:
        position = row.position + (settle == "done")
        settled = journal.settle(gate, row, "running", position)
        words = f"set to {position} committed statements"
    if not settled:
        raise BadUsage("the row changed while it was looked at", advice="Look again")
    log.warning("repair: the %s of '%s' is %s", row.direction, row.revision, words)
