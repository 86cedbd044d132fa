"""One branch."""

from alembic import op

revision = "f2"
down_revision = "f1"


def upgrade() -> None:
    op.execute("UPDATE tally SET n = n + 1 WHERE name = 'first'")
    op.execute("ALTER TABLE trunk ADD COLUMN left_side INT")
    op.execute("UPDATE tally SET n = n + 1 WHERE name = 'first'")


def downgrade() -> None:
    op.execute("UPDATE tally SET n = n + 1 WHERE name = 'last'")
    op.execute("ALTER TABLE trunk DROP COLUMN left_side")
