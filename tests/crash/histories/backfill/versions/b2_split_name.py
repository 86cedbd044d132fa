"""A backfill whose SELECT reads a column that the same revision drops at its end."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "b2"
down_revision = "b1"


def upgrade() -> None:
    bind = op.get_bind()
    op.add_column("person", sa.Column("first_name", sa.String(30)))
    op.add_column("person", sa.Column("last_name", sa.String(30)))
    person = sa.Table("person", sa.MetaData(), autoload_with=bind)
    people = bind.execute(sa.select(person).order_by(person.c.id)).all()
    for one in people:
        first, _, last = one.full_name.partition(" ")
        bind.execute(person.update().where(person.c.id == one.id).values(first_name=first, last_name=last))
    archive = op.create_table(
        "archive",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("born", mysql.DATETIME(fsp=6)),
        sa.Column("joined", sa.Date),
        sa.Column("shift", mysql.TIME),
        sa.Column("balance", sa.Numeric(16, 4)),
        sa.Column("token", sa.LargeBinary(20)),
        sa.Column("weight", mysql.DOUBLE),
        sa.Column("active", sa.Boolean),
    )
    kept = [column.name for column in archive.columns]
    op.bulk_insert(archive, [{name: getattr(one, name) for name in kept} for one in people])
    op.drop_column("person", "full_name")
    op.execute(f"UPDATE tally SET n = n + {len(people)} WHERE name = 'first'")
    for name in ("born", "token", "weight"):
        op.drop_column("person", name)
    bind.execute(person.update().where(person.c.balance == people[0].balance).values(active=people[2].active))


def downgrade() -> None:
    bind = op.get_bind()
    names = bind.execute(sa.text("SELECT id, first_name, last_name FROM person ORDER BY id")).all()
    op.add_column("person", sa.Column("full_name", sa.String(60), nullable=False, server_default=""))
    op.drop_column("person", "first_name")
    for number, first, last in names:
        bind.execute(
            sa.text("UPDATE person SET full_name = :name WHERE id = :id"), {"name": f"{first} {last}!", "id": number}
        )
    op.drop_column("person", "last_name")
    op.drop_table("archive")
