"""Starts a real multi-primary replication group of three MySQL servers on loopback."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.ports import free_port
from tests.support.servers import SETTLED_SECONDS, Server, ServerFailed, software, wait_until_settled

NODES = 3
GROUP = "5d8a3c1e-7f42-4b0d-9c66-2a1b7e90d4f3"
MEMBERS = "performance_schema.replication_group_members"
ACCOUNT = "replication"
CHANNEL = "group_replication_recovery"
# What a node has of its own, such as this account, must not be in the history of the group.
PREPARATION = (
    "RESET BINARY LOGS AND GTIDS",
    "SET SESSION sql_log_bin = OFF",
    f"CREATE USER {ACCOUNT}@'%' IDENTIFIED BY '{ACCOUNT}'",
    f"GRANT REPLICATION SLAVE, GROUP_REPLICATION_STREAM ON *.* TO {ACCOUNT}@'%'",
    f"CHANGE REPLICATION SOURCE TO SOURCE_USER = '{ACCOUNT}', SOURCE_PASSWORD = '{ACCOUNT}' FOR CHANNEL '{CHANNEL}'",
)


class ReplicationGroup:
    """Three MySQL servers that are one database; `nodes` are ordinary servers, each with its own port."""

    def __init__(self) -> None:
        self._addresses = [f"127.0.0.1:{free_port()}" for _ in range(NODES)]
        self.nodes = [Server("mysql", options=self._options(number)) for number in range(NODES)]

    def start(self) -> "ReplicationGroup":
        """Start all nodes and return when every one of them takes writes; raises ServerFailed."""
        for number, node in enumerate(self.nodes):
            node.start([f"--report-port={node.port}"])
            with node.admin() as connection, connection.cursor() as cursor:
                for statement in PREPARATION:
                    cursor.execute(statement)
            node.query("SET GLOBAL group_replication_bootstrap_group = %s", number == 0)
            self._join(node)
            node.query("SET GLOBAL group_replication_bootstrap_group = OFF")
        return self

    def rejoin(self, node: Server) -> None:
        """Start a node that was killed, and once the others have given it up let it catch up; raises ServerFailed."""
        node.start([f"--report-port={node.port}"])
        other = next(other for other in self.nodes if other is not node)
        known = f"SELECT COUNT(*) FROM {MEMBERS} WHERE member_port = {node.port}"
        wait_until_settled(lambda: other.query(known) == ((0,),), lambda: f"{node!r} is not given up")
        self._join(node)

    def stop(self) -> None:
        """End all nodes and delete their files."""
        for node in self.nodes:
            node.remove()

    @contextmanager
    def single_primary(self) -> Iterator[None]:
        """Let the first node alone take writes, until another one becomes the primary or the body ends."""
        self.nodes[0].query("SELECT group_replication_switch_to_single_primary_mode(@@server_uuid)")
        try:
            yield
        finally:
            self.nodes[-1].query("SELECT group_replication_switch_to_multi_primary_mode()")

    def make_primary(self, node: Server) -> None:
        """Change the primary as it is done before maintenance; returns when the node takes writes."""
        ((uuid,),) = node.query("SELECT @@server_uuid")
        node.query("SELECT group_replication_set_as_primary(%s)", uuid)

    def wait_until_alike(self) -> None:
        """Return once every node has what was committed on any of them by now; raises ServerFailed."""
        for ((gtids,),) in [node.query("SELECT @@global.gtid_executed") for node in self.nodes]:
            for node in self.nodes:
                if node.query("SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s)", gtids, SETTLED_SECONDS) != ((0,),):
                    raise ServerFailed(f"{node!r} lags:\n{node.log_end()}")

    def _join(self, node: Server) -> None:
        node.query("START GROUP_REPLICATION")
        state = f"SELECT member_state FROM {MEMBERS} WHERE member_id = @@server_uuid"
        joined = (("ONLINE",),)
        wait_until_settled(lambda: node.query(state) == joined, lambda: f"{node!r} does not join:\n{node.log_end()}")

    def _options(self, number: int) -> list[str]:
        folder = software("mysql").root / "usr/lib/mysql/plugin"
        own = ["--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--log-bin", "--report-host=127.0.0.1"]
        group = {
            "group-name": GROUP,
            "start-on-boot": "OFF",
            "local-address": self._addresses[number],
            "group-seeds": ",".join(self._addresses),
            "single-primary-mode": "OFF",
            "enforce-update-everywhere-checks": "ON",
            "recovery-get-public-key": "ON",
            "member-expel-timeout": "0",
        }
        plugin = [f"--plugin-dir={folder}", "--plugin-load-add=group_replication.so", f"--server-id={number + 1}"]
        return [*own, *plugin, *(f"--loose-group-replication-{name}={value}" for name, value in group.items())]
