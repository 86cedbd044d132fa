"""DDL behind a look at the schema, and statements that fail and are forgiven."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError, IntegrityError

revision = "i1"
down_revision = None


def upgrade() -> None:
    bind = op.get_bind()
    if not sa.inspect(bind).has_table("feature"):
        op.create_table("feature", sa.Column("id", sa.Integer, primary_key=True, autoincrement=False))
    if "enabled" not in {column["name"] for column in sa.inspect(bind).get_columns("feature")}:
        op.add_column("feature", sa.Column("enabled", sa.Integer, nullable=False, server_default="1"))
        op.execute("INSERT INTO feature (id) VALUES (1)")
    try:
        op.execute("DROP INDEX ix_never_made ON feature")
    except DBAPIError:
        op.execute("UPDATE feature SET enabled = enabled + 1 WHERE id = 1")
    op.create_index("ix_enabled", "feature", ["enabled"])
    try:
        op.execute("INSERT INTO feature (id, enabled) VALUES (1, 99)")
    except IntegrityError:
        op.execute("UPDATE feature SET enabled = enabled * 10 WHERE id = 1")
    if not any(index["name"] == "ix_both" for index in sa.inspect(bind).get_indexes("feature")):
        op.create_index("ix_both", "feature", ["id", "enabled"], unique=True)


def downgrade() -> None:
    for index in sa.inspect(op.get_bind()).get_indexes("feature"):
        op.drop_index(index["name"], table_name="feature")
        op.execute("UPDATE tally SET n = n + (SELECT MAX(enabled) FROM feature) WHERE name = 'last'")
    op.drop_table("feature")
