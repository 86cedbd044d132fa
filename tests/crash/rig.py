"""Runs jobs one after another against databases of their own, left alone or struck."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tests.crash.compare import what_is_left
from tests.crash.history import BEFORE_ANY_REVISION
from tests.crash.jobs import Ended, Job, Starter
from tests.crash.points import UPGRADE, Reference, Route
from tests.support.database import Database
from tests.support.proxy import Proxy, Strike

BARE_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8"}

IMPATIENT = {"GATE_WAIT_TIMEOUT_SECONDS": "1"}
"""For a job whose server dies and stays dead: by default it waits a minute for it."""


class Rig:
    """One lane of work."""

    def __init__(self, starter: Starter, directory: Path) -> None:
        self._starter = starter
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def close(self) -> None:
        """Let go of the starter."""
        self._starter.close()

    def start(self, database: Database, route: Route) -> Job:
        """Start a job against the server itself; the next one may be started once this one was waited for."""
        return self._start(database, route, database.server.port, {})

    def run(
        self, database: Database, route: Route, strike: Strike | None = None, *, server_pid: int | None = None
    ) -> tuple[Ended, Proxy]:
        """Run a job through a proxy that strikes it (or the server, if that is given), or only counts."""
        with Proxy(database.server.host, database.server.port, strike) as proxy:
            job = self._start(database, route, proxy.port, IMPATIENT if server_pid else {})
            proxy.aim(server_pid or job.pid)
            ended = job.wait()
        return ended, proxy

    def _start(self, database: Database, route: Route, port: int, settings: Mapping[str, str]) -> Job:
        address = f"{database.server.host}:{database.server.port}"
        assert address in database.url, f"'{database.url}' does not name its server as '{address}'"
        env = {
            **BARE_ENVIRONMENT,
            **settings,
            "DATABASE_URL": database.url.replace(address, f"{database.server.host}:{port}"),
            "ALEMBIC_CONFIG": str(route.history.lay_out(self._directory)),
        }
        return self._starter.start(route.argv, env, self._directory)


def fresh_database(rig: Rig, route: Route) -> Database:
    """Create a database in which the route can begin: for a downgrade, an undisturbed upgrade lies behind it."""
    database = route.server.create_database()
    with database.connect(autocommit=True) as connection, connection.cursor() as cursor:
        for statement in BEFORE_ANY_REVISION:
            cursor.execute(statement)
    if route.argv != UPGRADE:
        ended = rig.start(database, replace(route, argv=UPGRADE)).wait()
        assert ended.code == 0, f"{route}: the undisturbed upgrade ended with {ended.code}\n{ended.output}"
    return database


def run_undisturbed(rig: Rig, route: Route) -> Reference:
    """Run the route through a proxy that only counts, and note what it left."""
    database = fresh_database(rig, route)
    ended, proxy = rig.run(database, route)
    assert ended.code == 0, f"{route}: the undisturbed run ended with {ended.code}\n{ended.output}"
    left = what_is_left(database, route.history)
    database.drop()
    return Reference(route, tuple(proxy.statements), left)


def run_again_counted(rig: Rig, reference: Reference, strike: Strike) -> tuple[str, ...]:
    """Strike a run, and return the statements of the undisturbed one that follows."""
    database = fresh_database(rig, reference.route)
    rig.run(database, reference.route, strike)
    ended, proxy = rig.run(database, reference.route)
    assert ended.code == 0, f"{reference.route} after {strike}: ended with {ended.code}\n{ended.output}"
    database.drop()
    return tuple(proxy.statements)
