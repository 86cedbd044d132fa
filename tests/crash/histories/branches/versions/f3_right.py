"""The other branch."""

from alembic import op

revision = "f3"
down_revision = "f1"


def upgrade() -> None:
    op.execute("ALTER TABLE trunk ADD COLUMN right_side INT")
    op.execute("INSERT INTO trunk (id, right_side) SELECT n, n FROM tally WHERE name = 'first'")


def downgrade() -> None:
    op.execute("ALTER TABLE trunk DROP COLUMN right_side")
    op.execute("UPDATE tally SET n = n * 2 WHERE name = 'last'")
