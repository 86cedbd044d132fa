"""An ALTER that copies a table row by row, long enough to be cut off in the middle."""

from alembic import op

revision = "w1"
down_revision = None


def upgrade() -> None:
    op.execute("UPDATE tally SET n = n + 1 WHERE name = 'first'")
    op.execute("ALTER TABLE big ADD COLUMN added INT NOT NULL DEFAULT 5, ALGORITHM=COPY")
    op.execute("UPDATE tally SET n = n * 10 WHERE name = 'first'")
    op.execute("ALTER TABLE big DROP COLUMN filler")


def downgrade() -> None:
    op.execute("ALTER TABLE big DROP COLUMN added")
