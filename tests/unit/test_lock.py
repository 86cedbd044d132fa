"""Which lock a server needs, and what a signal does to the connection of the lock (I2)."""

from types import SimpleNamespace
from typing import Any

import pytest

from alembic_gate.exits import Terminated
from alembic_gate.lock import GateLock, kind_for

pytestmark = pytest.mark.I2

GALERA = {"wsrep_on": "ON", "wsrep_provider": "/usr/lib/galera/libgalera_smm.so"}
GROUP = {"group_replication_group_name": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"}


@pytest.mark.parametrize(
    ("variables", "kind"),
    [
        ({}, "session"),
        ({"wsrep_on": "OFF", "wsrep_provider": "none"}, "session"),
        ({"wsrep_on": "ON", "wsrep_provider": "none"}, "session"),
        (GALERA, "lease"),
        ({"group_replication_group_name": "", "group_replication_single_primary_mode": "OFF"}, "session"),
        (GROUP | {"group_replication_single_primary_mode": "ON"}, "session"),
        (GROUP | {"group_replication_single_primary_mode": "OFF"}, "lease"),
    ],
)
def test_a_lease_is_taken_where_several_nodes_take_writes(variables: dict[str, str], kind: str) -> None:
    assert kind_for(SimpleNamespace(rows=lambda _statement: list(variables.items()))) == kind  # type: ignore[arg-type]


class Scripted:
    """A connection that answers, and is interrupted by a signal at one statement."""

    def __init__(self, interrupted_at: str) -> None:
        self.interrupted_at = interrupted_at
        self.said: list[str] = []
        self.closed = False

    def cursor(self) -> "Scripted":
        return self

    def __enter__(self) -> "Scripted":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, statement: str, _parameters: Any = None) -> None:
        assert not self.closed
        self.said.append(statement)
        if self.interrupted_at in statement:
            raise Terminated(15)

    def fetchall(self) -> list[tuple[int]]:
        return [(1,)]

    def close(self) -> None:
        self.closed = True


def test_nothing_more_is_asked_on_a_connection_whose_answer_a_signal_left_behind() -> None:
    connection = Scripted(interrupted_at="alembic_gate_revision")
    database = SimpleNamespace(name="d")
    lock = GateLock(SimpleNamespace(database=database), connection)  # type: ignore[arg-type]
    with pytest.raises(Terminated):
        lock.rows("SELECT revision FROM alembic_gate_revision")

    lock.release()

    assert connection.closed
    assert connection.said[-1] == "SELECT revision FROM alembic_gate_revision"
