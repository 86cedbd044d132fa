"""The lease on a real server: what a former holder writes does not commit after a takeover (I2)."""

import pytest

from alembic_gate import lock, settings
from alembic_gate.exits import LockLost
from tests.integration.scenes import PEOPLE
from tests.support.database import Database
from tests.support.servers import Server

pytestmark = pytest.mark.I2


def test_a_transaction_of_a_former_holder_is_refused_before_any_heartbeat_has_noticed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "KEEP_ALIVE_SECONDS", 3600)
    with lock.acquire(settings.read(database.env() | {"GATE_LOCK": "lease"})) as held:
        database.query("CREATE TABLE written (n INT)")
        with held.transaction() as cursor:
            cursor.execute("INSERT INTO written VALUES (1)")

        database.query("UPDATE alembic_gate_lease SET token = %s", "f" * 32)

        with pytest.raises(LockLost, match="another job took it over"), held.transaction() as cursor:
            cursor.execute("INSERT INTO written VALUES (2)")
    assert database.query("SELECT n FROM written") == ((1,),)


@pytest.mark.parametrize("kind", ["session", "lease"])
def test_a_database_may_have_a_name_that_looks_like_a_place_for_a_parameter(server: Server, new_project, kind: str):
    odd = server.create_database("a%s b")
    project = new_project(odd, PEOPLE)
    project.ends(0, GATE_LOCK=kind)
    assert project.versions() == {"a2"}
    project.ends(0, "downgrade", "base", GATE_LOCK=kind)
    assert project.versions() == set()
    odd.drop()
