"""Savepoints kept and rolled back, an autocommit block, and a batch of alterations."""

import sqlalchemy as sa
from alembic import op

revision = "s2"
down_revision = "s1"


class Regret(Exception):
    pass


def change_ones_mind() -> None:
    raise Regret


def upgrade() -> None:
    bind = op.get_bind()
    with bind.begin_nested():
        op.execute("UPDATE tally SET n = n + 1 WHERE name = 'first'")
    try:
        with bind.begin_nested():
            op.execute("UPDATE tally SET n = n + 1000 WHERE name = 'first'")
            change_ones_mind()
    except Regret:
        op.execute("UPDATE tally SET n = n * 2 WHERE name = 'first'")
    with op.batch_alter_table("member") as batch:
        batch.add_column(sa.Column("age", sa.Integer))
        batch.alter_column("name", existing_type=sa.String(30), type_=sa.String(50), nullable=False)
        batch.drop_index("ix_captain")
    with op.get_context().autocommit_block():
        op.execute("UPDATE tally SET n = n + 1 WHERE name = 'last'")
        op.execute("ALTER TABLE member ADD COLUMN size INT")
        op.execute("UPDATE tally SET n = n * 2 WHERE name = 'last'")
    op.execute("UPDATE member SET age = 3, size = 4 WHERE name IN ('甲', 'd')")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("UPDATE tally SET n = n * 3 WHERE name = 'last'")
    with op.batch_alter_table("member") as batch:
        batch.drop_column("age")
        batch.drop_column("size")
    op.create_index("ix_captain", "member", ["captain_of"])
