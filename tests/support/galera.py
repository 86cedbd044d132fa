"""Starts a real Galera cluster of three nodes on loopback, cuts a node off and heals it."""

import os
from pathlib import Path

from tests.support import machine
from tests.support.ports import free_port
from tests.support.servers import Server, Software, wait_until_settled

NODES = 3


class GaleraCluster:
    """Three MariaDB servers that are one database; `nodes` are ordinary servers, each with its own port."""

    def __init__(self) -> None:
        program = Software("mariadb", machine.ensure_galera(), "usr/sbin/mariadbd")
        self._addresses = [f"127.0.0.1:{free_port()}" for _ in range(NODES)]
        self.nodes = [Server("mariadb", program=program, options=self._options(program, i)) for i in range(NODES)]

    def start(self) -> "GaleraCluster":
        """Start all nodes and return when every one of them takes writes; raises ServerFailed."""
        self._start(self.nodes[0], "")
        for node in self.nodes[1:]:
            self.rejoin(node)
        return self

    def rejoin(self, node: Server) -> None:
        """Start a node that was stopped or killed; return when it has caught up."""
        self._start(node, ",".join(self._addresses))

    def stop(self) -> None:
        """End all nodes, the founder last, and delete their files."""
        for node in reversed(self.nodes):
            node.remove()

    def cut_off(self, node: Server) -> None:
        """Let the network around `node` fail; return when it refuses work and the others have closed ranks."""
        node.query("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'")
        others = [other for other in self.nodes if other is not node]
        wait_until_settled(
            lambda: status(node, "wsrep_ready") == "OFF", lambda: "the node that was cut off still takes work"
        )
        expected = {str(len(others))}
        wait_until_settled(
            lambda: {status(other, "wsrep_cluster_size") for other in others} == expected, lambda: "no new quorum"
        )

    def heal(self, node: Server) -> None:
        """Undo `cut_off`; return when the node has caught up."""
        node.query("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'")
        self.wait_until_synced(node)

    def wait_until_synced(self, node: Server) -> None:
        """Return once the node takes work and has everything that the others have; raises ServerFailed."""
        wait_until_settled(
            lambda: (
                status(node, "wsrep_ready") == "ON"
                and status(node, "wsrep_local_state_comment") == "Synced"
                and status(node, "wsrep_cluster_status") == "Primary"
            ),
            lambda: f"{node!r} does not join:\n{node.log_end()}",
        )

    def wait_until_alike(self) -> None:
        """Return once every node has what was committed on any of them by now."""
        for node in self.nodes:
            with node.admin() as connection, connection.cursor() as cursor:
                cursor.execute("SET SESSION wsrep_sync_wait = 15")
                cursor.execute("SELECT 1 FROM mysql.user LIMIT 1")

    def _start(self, node: Server, members: str) -> None:
        transfers = {"PATH": f"{Path(__file__).parent}:{os.environ['PATH']}"}  # where wsrep_sst_copy is
        node.start([f"--wsrep-cluster-address=gcomm://{members}"], environment=transfers)
        self.wait_until_synced(node)

    def _options(self, program: Software, number: int) -> list[str]:
        address = self._addresses[number]
        provider = [f"gmcast.listen_addr=tcp://{address}", f"ist.recv_addr=127.0.0.1:{free_port()}", "gcache.size=32M"]
        return [
            "--wsrep-on=ON",
            f"--wsrep-provider={program.root / machine.GALERA_PROVIDER}",
            f"--wsrep-provider-options={';'.join(provider)}",
            f"--wsrep-node-address={address}",
            "--wsrep-sst-method=copy",
            f"--wsrep-sst-receive-address=127.0.0.1:{free_port()}",
            "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2",
        ]


def status(node: Server, name: str) -> str:
    """Return one of the node's status variables."""
    ((_, value),) = node.query("SHOW GLOBAL STATUS LIKE %s", name)
    return str(value)
