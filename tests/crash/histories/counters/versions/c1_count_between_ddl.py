"""Counters that must not run twice, between DDL statements; text with percent signs and Chinese."""

import sqlalchemy as sa
from alembic import op

revision = "c1"
down_revision = None


def upgrade() -> None:
    op.execute("UPDATE tally SET n = n + 1 WHERE name = 'first'")
    op.create_table(
        "ledger",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seen", sa.Integer, nullable=False),
        sa.Column("note", sa.String(60, collation="utf8mb4_bin"), comment="备注 100%"),
        mysql_default_charset="utf8mb4",
    )
    op.execute("UPDATE tally SET n = n + 1 WHERE name = 'first'")
    op.execute("INSERT INTO ledger (id, seen, note) SELECT 1, n, '完成 50% 的用户' FROM tally WHERE name = 'first'")
    op.add_column("ledger", sa.Column("amount", sa.Numeric(10, 3), server_default="1.500"))
    op.execute("UPDATE ledger SET amount = amount * 2, note = CONCAT(note, '; 100%%') WHERE note LIKE '%50% 的%'")
    op.execute("UPDATE tally SET n = n * 3 WHERE name = 'first'")


def downgrade() -> None:
    op.execute("UPDATE tally SET n = n + (SELECT MAX(seen) FROM ledger) WHERE name = 'last'")
    op.drop_column("ledger", "amount")
    op.execute("UPDATE tally SET n = n + 1 WHERE name = 'last'")
    op.drop_table("ledger")
    op.execute("UPDATE tally SET n = n * 2 WHERE name = 'last'")
