"""An ORM session on the migration's connection, keys that the server gave used by later statements, savepoints."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

revision = "s1"
down_revision = None


class Base(DeclarativeBase):
    pass


class Team(Base):
    __tablename__ = "team"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(30))
    members: Mapped[list["Member"]] = relationship(order_by="Member.name")


class Member(Base):
    __tablename__ = "member"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(30))
    team_id: Mapped[int] = mapped_column(sa.ForeignKey("team.id"))


def upgrade() -> None:
    bind = op.get_bind()
    Base.metadata.create_all(bind)
    with Session(bind) as session:
        session.add(Team(name="红队", members=[Member(name="甲"), Member(name="乙")]))
        session.add(Team(name="blue", members=[Member(name="c")]))
        session.commit()
    first = bind.execute(Team.__table__.insert().values(name="green")).inserted_primary_key[0]
    op.add_column("member", sa.Column("captain_of", sa.Integer))
    second = bind.execute(sa.text("INSERT INTO member (name, team_id) VALUES ('d', :team)"), {"team": first}).lastrowid
    op.create_index("ix_captain", "member", ["captain_of"])
    op.execute(f"UPDATE member SET captain_of = {first} WHERE id = {second}")
    with Session(bind) as session:
        for team in session.scalars(sa.select(Team).order_by(Team.name)):
            team.name += f" ({len(team.members)})"
        session.commit()


def downgrade() -> None:
    bind = op.get_bind()
    with Session(bind) as session:
        count = sum(len(team.members) for team in session.scalars(sa.select(Team)))
        session.execute(sa.text("UPDATE tally SET n = n + :count WHERE name = 'last'"), {"count": count})
        session.commit()
    op.drop_table("member")
    op.execute("UPDATE tally SET n = n + 1 WHERE name = 'last'")
    op.drop_table("team")
