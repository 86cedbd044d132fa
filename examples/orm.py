# ruff: noqa: T201
"""The models in business code: add users, ask for them, change one; every query answers with objects.

    DATABASE_URL=mysql+pymysql://… python -m examples.orm

Run it on a database that `alembic upgrade head`, or the gate, has brought to head.
"""

import os

from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from model import Role, User


def register(session: Session, username: str, email: str) -> User:
    """Add a user; the id is known once the session has been flushed."""
    user = User(username=username, email=email, password="stand-in-for-a-hash")
    session.add(user)
    session.flush()
    return user


def find_by_email(session: Session, email: str) -> User | None:
    """Return the user with this address, or nothing."""
    return session.scalar(select(User).where(User.email == email))


def main() -> None:
    engine = create_engine(os.environ["DATABASE_URL"])

    # One transaction: committed at the end of the block, rolled back if it raises.
    with Session(engine) as session, session.begin():
        session.add_all([Role(name="admin"), Role(name="reader")])
        register(session, "ann", "ann@example.com")
        register(session, "小明", "xiaoming@example.com")

    with Session(engine) as session, session.begin():
        ann = find_by_email(session, "ann@example.com")
        if ann is not None:
            ann.username = "ann-marie"  # written by the commit, without another call

    with Session(engine) as session:
        for user in session.scalars(select(User).order_by(User.username)):
            print(user)
        for role in session.scalars(select(Role).order_by(Role.name)):
            print(role)


if __name__ == "__main__":
    main()
