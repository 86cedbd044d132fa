# ruff: noqa: T201
"""The same models under asyncio, for a framework such as Sanic: SQLAlchemy itself is the asynchronous ORM.

    DATABASE_URL=mysql+asyncmy://… python -m examples.orm_async

Nothing in `model/` changes; the driver in the URL and the `Async` in front of the session's name do.
"""

import asyncio
import os

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from model import Role, User


async def register(session: AsyncSession, username: str, email: str) -> User:
    """Add a user; the id is known once the session has been flushed."""
    user = User(username=username, email=email, password="stand-in-for-a-hash")
    session.add(user)
    await session.flush()
    return user


async def find_by_email(session: AsyncSession, email: str) -> User | None:
    """Return the user with this address, or nothing."""
    return await session.scalar(select(User).where(User.email == email))


async def main() -> None:
    engine = create_async_engine(os.environ["DATABASE_URL"])
    # Objects stay readable after the commit; else the next look at one would be a query that nobody awaits.
    new_session = async_sessionmaker(engine, expire_on_commit=False)

    async with new_session.begin() as session:
        session.add_all([Role(name="admin"), Role(name="reader")])
        await register(session, "ann", "ann@example.com")
        await register(session, "小明", "xiaoming@example.com")

    async with new_session.begin() as session:
        ann = await find_by_email(session, "ann@example.com")
        if ann is not None:
            ann.username = "ann-marie"

    async with new_session() as session:
        for user in await session.scalars(select(User).order_by(User.username)):
            print(user)
        for role in await session.scalars(select(Role).order_by(Role.name)):
            print(role)

    # The pool's connections belong to this event loop and must be closed in it.
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
