"""A temporary table that was filled before a DDL changed what it was filled from."""

from alembic import op

revision = "v3"
down_revision = "v2"


def upgrade() -> None:
    op.execute("CREATE TEMPORARY TABLE aside AS SELECT id, name FROM parent")
    op.execute("UPDATE parent SET name = 'changed'")
    op.execute("ALTER TABLE parent ADD COLUMN old_name VARCHAR(20)")
    op.execute("UPDATE parent p JOIN aside a ON a.id = p.id SET p.old_name = a.name")
    op.execute("DROP TEMPORARY TABLE aside")


def downgrade() -> None:
    op.execute("ALTER TABLE parent DROP COLUMN old_name")
