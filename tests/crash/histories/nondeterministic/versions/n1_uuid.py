"""A revision that says something else each time it runs: once a DDL has committed it, nobody can replay it."""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "n1"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE TABLE tenant (id INT PRIMARY KEY, token CHAR(36))")
    op.execute(sa.text("INSERT INTO tenant VALUES (1, :token)").bindparams(token=str(uuid.uuid4())))
    op.execute("ALTER TABLE tenant ADD COLUMN name VARCHAR(20)")
    op.execute("UPDATE tenant SET name = 'one'")


def downgrade() -> None:
    op.execute("DROP TABLE tenant")
