"""DML before, between and after DDL, the last of it in the transaction that bumps the version."""

import sqlalchemy as sa
from alembic import op

revision = "c2"
down_revision = "c1"


def upgrade() -> None:
    tally = sa.table("tally", sa.column("name", sa.String), sa.column("n", sa.Integer))
    ledger = sa.table(
        "ledger", sa.column("id", sa.Integer), sa.column("seen", sa.Integer), sa.column("note", sa.String)
    )
    op.bulk_insert(
        ledger,
        [
            {"id": 2, "seen": 7, "note": "乙%s"},
            {"id": 3, "seen": 8, "note": None},
            {"id": 4, "seen": 9, "note": "%(n)s"},
        ],
    )
    op.create_index("ix_ledger_seen", "ledger", ["seen"])
    op.execute(tally.update().where(tally.c.name == "last").values(n=tally.c.n + 1))
    op.alter_column("ledger", "seen", existing_type=sa.Integer, type_=sa.BigInteger, existing_nullable=False)
    op.execute(ledger.delete().where(ledger.c.id == 3))
    op.execute(tally.update().where(tally.c.name == "last").values(n=tally.c.n * 2))


def downgrade() -> None:
    op.execute("UPDATE tally SET n = n + 5 WHERE name = 'last'")
    op.drop_index("ix_ledger_seen", table_name="ledger")
    op.execute("DELETE FROM ledger WHERE id > 1")
