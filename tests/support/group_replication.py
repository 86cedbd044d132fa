"""Starts a real multi-primary replication group of three MySQL servers on loopback."""

import time

from tests.support.ports import free_port
from tests.support.servers import POLL_SECONDS, Server, ServerFailed, software

NODES = 3
SETTLED_SECONDS = 60
GROUP = "5d8a3c1e-7f42-4b0d-9c66-2a1b7e90d4f3"
ACCOUNT = "replication"
# The rest of the group must not wait five seconds before it gives up a node that was killed.
EXPEL_SECONDS = 0


class ReplicationGroup:
    """Three MySQL servers that are one database; `nodes` are ordinary servers, each with its own port."""

    def __init__(self) -> None:
        self._addresses = [f"127.0.0.1:{free_port()}" for _ in range(NODES)]
        self.nodes = [Server("mysql", options=self._options(number)) for number in range(NODES)]

    def start(self) -> "ReplicationGroup":
        """Start all nodes and return when every one of them takes writes; raises ServerFailed."""
        first, *others = self.nodes
        for node in self.nodes:
            node.start([f"--report-port={node.port}"], wait=False)
        for node in self.nodes:
            node.wait_until_ready()
            self._prepare(node)
        first.query("SET GLOBAL group_replication_bootstrap_group = ON")
        self._join(first)
        first.query("SET GLOBAL group_replication_bootstrap_group = OFF")
        for node in others:
            self._join(node)
        return self

    def rejoin(self, node: Server) -> None:
        """Start a node that was killed; return when it has caught up."""
        node.start([f"--report-port={node.port}"])
        self._join(node)

    def stop(self) -> None:
        """End all nodes and delete their files."""
        for node in self.nodes:
            node.remove()

    def wait_until_alike(self) -> None:
        """Return once every node has what was committed on any of them by now."""
        committed = [node.query("SELECT @@global.gtid_executed")[0][0] for node in self.nodes]
        for node in self.nodes:
            for gtids in committed:
                if node.query("SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s)", gtids, SETTLED_SECONDS) != ((0,),):
                    raise ServerFailed(f"{node!r} lags:\n{node.log_end()}")

    def _prepare(self, node: Server) -> None:
        # What a node has of its own, such as its time zones, must not be in the group's history.
        connection = node.admin()
        with connection, connection.cursor() as cursor:
            cursor.execute("RESET BINARY LOGS AND GTIDS")
            cursor.execute("SET SESSION sql_log_bin = OFF")
            cursor.execute(f"CREATE USER {ACCOUNT}@'%' IDENTIFIED BY '{ACCOUNT}'")
            cursor.execute(f"GRANT REPLICATION SLAVE, GROUP_REPLICATION_STREAM ON *.* TO {ACCOUNT}@'%'")
            cursor.execute(
                f"CHANGE REPLICATION SOURCE TO SOURCE_USER = '{ACCOUNT}', SOURCE_PASSWORD = '{ACCOUNT}'"
                " FOR CHANNEL 'group_replication_recovery'"
            )

    def _join(self, node: Server) -> None:
        node.query("START GROUP_REPLICATION")
        question = (
            "SELECT member_state FROM performance_schema.replication_group_members WHERE member_id = @@server_uuid"
        )
        deadline = time.monotonic() + SETTLED_SECONDS
        while node.query(question) != (("ONLINE",),):
            if time.monotonic() > deadline:
                raise ServerFailed(f"{node!r} does not join within {SETTLED_SECONDS} s:\n{node.log_end()}")
            time.sleep(POLL_SECONDS)

    def _options(self, number: int) -> list[str]:
        settings = {
            "group_name": GROUP,
            "start_on_boot": "OFF",
            "local_address": self._addresses[number],
            "group_seeds": ",".join(self._addresses),
            "single_primary_mode": "OFF",
            "enforce_update_everywhere_checks": "ON",
            "recovery_get_public_key": "ON",
            "member_expel_timeout": EXPEL_SECONDS,
        }
        plugins = software("mysql").root / "usr/lib/mysql/plugin"
        return [
            f"--server-id={number + 1}",
            "--gtid-mode=ON",
            "--enforce-gtid-consistency=ON",
            "--log-bin",
            "--report-host=127.0.0.1",
            f"--plugin-dir={plugins}",
            "--plugin-load-add=group_replication.so",
            *(f"--loose-group-replication-{name.replace('_', '-')}={value}" for name, value in settings.items()),
        ]
