"""A user variable that was computed from a schema that has changed since."""

from alembic import op

revision = "v2"
down_revision = "v1"


def upgrade() -> None:
    op.execute("SET @before = (SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE())")
    op.execute("CREATE TABLE late (id INT PRIMARY KEY, tables_before INT)")
    op.execute("INSERT INTO late VALUES (1, @before)")
    op.execute("SET @before = @before * 10")
    op.execute("ALTER TABLE late ADD COLUMN x INT")
    op.execute("INSERT INTO late VALUES (2, @before, 0)")


def downgrade() -> None:
    op.execute("DROP TABLE late")
