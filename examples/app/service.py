"""A small service that runs behind the gate: Sanic and asynchronous SQLAlchemy over the models in `model/`.

It creates no table and waits for no database. When it starts, the gate has ended with 0.
"""

import os

from sanic import Request, Sanic, json
from sanic.response import JSONResponse
from sqlalchemy import URL, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from model import User

app = Sanic("example")


def database_url() -> URL:
    """Return the URL that the gate's `MYSQL_…` variables describe, for the asynchronous driver."""
    return URL.create(
        "mysql+asyncmy",
        username=os.environ["MYSQL_USER"],
        password=os.environ["MYSQL_PASSWORD"],
        host=os.environ["MYSQL_HOST"],
        port=int(os.environ.get("MYSQL_PORT", "3306")),
        database=os.environ["MYSQL_DATABASE"],
    )


@app.before_server_start
async def open_pool(app: Sanic) -> None:
    # pre_ping: after a failover the pool's connections are dead, and a request must not be the one to find out.
    app.ctx.engine = create_async_engine(database_url(), pool_pre_ping=True)
    app.ctx.new_session = async_sessionmaker(app.ctx.engine, expire_on_commit=False)


@app.after_server_stop
async def close_pool(app: Sanic) -> None:
    await app.ctx.engine.dispose()


@app.get("/live")
async def live(_request: Request) -> JSONResponse:
    """The process answers; whether the database does is not a reason to restart it."""
    return json({"live": True})


@app.get("/ready")
async def ready(request: Request) -> JSONResponse:
    """Requests can be served: the database answers, and the users table has the columns of the model."""
    try:
        async with request.app.ctx.new_session() as session:
            await session.scalars(select(User).limit(1))
    except (SQLAlchemyError, OSError) as error:
        return json({"ready": False, "reason": type(error).__name__}, status=503)
    return json({"ready": True})


@app.get("/users")
async def list_users(request: Request) -> JSONResponse:
    async with request.app.ctx.new_session() as session:
        users = await session.scalars(select(User).order_by(User.id).limit(100))
        return json([{"id": user.id, "username": user.username, "email": user.email} for user in users])


@app.post("/users")
async def add_user(request: Request) -> JSONResponse:
    async with request.app.ctx.new_session.begin() as session:
        user = User(username=request.json["username"], email=request.json["email"], password="stand-in-for-a-hash")
        session.add(user)
        await session.flush()
        return json({"id": user.id}, status=201)


if __name__ == "__main__":
    # One process: Kubernetes counts replicas, and restarts what ends.
    app.run(host="0.0.0.0", port=int(os.environ.get("PORT", "8000")), single_process=True, motd=False, access_log=False)
