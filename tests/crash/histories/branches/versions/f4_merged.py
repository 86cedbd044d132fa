"""The merge, which has work of its own; and nothing to do on the way back."""

from alembic import op

revision = "f4"
down_revision = ("f2", "f3")


def upgrade() -> None:
    op.execute("UPDATE tally SET n = n * 2 WHERE name = 'first'")
    op.execute("ALTER TABLE trunk ADD COLUMN whole INT")
    op.execute("UPDATE trunk SET whole = id")


def downgrade() -> None:
    op.execute("ALTER TABLE trunk DROP COLUMN whole")
