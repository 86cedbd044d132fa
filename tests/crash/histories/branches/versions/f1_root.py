"""Where the branches part."""

from alembic import op

revision = "f1"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE TABLE trunk (id INT PRIMARY KEY)")


def downgrade() -> None:
    op.execute("UPDATE tally SET n = n + 1 WHERE name = 'last'")
    op.execute("DROP TABLE trunk")
