"""DDL that the server itself decides on, by a user variable and PREPARE; the second time there is nothing to do."""

import sqlalchemy as sa
from alembic import op

revision = "i2"
down_revision = "i1"

DECIDE = """
SET @statement = (
    SELECT IF(COUNT(*) = 0, 'ALTER TABLE feature ADD COLUMN rank_of INT NOT NULL DEFAULT 3', 'DO 0')
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'feature' AND column_name = 'rank_of'
)
"""


def upgrade() -> None:
    for _ in range(2):
        op.execute(DECIDE)
        op.execute("PREPARE decided FROM @statement")
        op.execute("EXECUTE decided")
        op.execute("DEALLOCATE PREPARE decided")
        op.execute("UPDATE feature SET rank_of = rank_of * 2, enabled = enabled + 1")
    op.execute("CREATE TABLE IF NOT EXISTS feature_log (id INT PRIMARY KEY, rank_of INT)")
    op.execute("INSERT INTO feature_log SELECT id, rank_of FROM feature")


def downgrade() -> None:
    op.execute("DROP TABLE IF EXISTS feature_log, never_made")
    op.execute("UPDATE tally SET n = n + (SELECT MAX(rank_of) FROM feature) WHERE name = 'last'")
    if "rank_of" in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("feature")}:
        op.drop_column("feature", "rank_of")
