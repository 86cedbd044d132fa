"""Case "herd": a hundred starts at once, before a database at head and before one a revision behind (I2, I4)."""

import re
from collections.abc import Callable
from typing import Any

from bench.measure import Run, herd
from bench.stage import Stage
from tests.support.servers import Server

SIZE = 100
HISTORY = ["CREATE TABLE one (id INT)", "CREATE TABLE two (id INT)", "CREATE TABLE three (id INT)"]
PENDING = "CREATE TABLE four (id INT)"
PENDING_DIGEST = "CREATE TABLE `four` ( `id` INTEGER )"

# As the server's digests spell it. Whoever reads only sends nothing of this.
LOCKS_AND_WRITES = re.compile(r"GET_LOCK|LOCK TABLES|FOR UPDATE|^(INSERT|UPDATE|DELETE|REPLACE|CREATE|ALTER|DROP)\b")


def measure(stage: Stage) -> dict[str, Any]:
    """Return what a herd of each kind took, and what the server saw of it."""
    size = 5 if stage.quick else SIZE
    folder, database = stage.new_folder(), stage.database()
    gate = stage.gate_and_alembic[0]

    def start() -> list[Run]:
        return herd(gate.command(folder, database), size)

    gate.write(folder, HISTORY)
    herd(gate.command(folder, database), 1)
    at_head = watched(stage.server, start)
    gate.write(folder, [*HISTORY, PENDING])
    behind = watched(stage.server, start)
    return {"size": size, "at head": at_head, "one revision behind": behind}


def watched(server: Server, start: Callable[[], list[Run]]) -> dict[str, Any]:
    """Start a herd, which must end with nothing but 0, and return its figures beside the server's own."""
    server.query("TRUNCATE performance_schema.events_statements_summary_by_digest")
    server.query("FLUSH STATUS")
    before = server_status(server)
    runs = start()
    after = server_status(server)
    digests = server.query(
        "SELECT digest_text, count_star, schema_name FROM performance_schema.events_statements_summary_by_digest"
        " WHERE digest_text IS NOT NULL ORDER BY count_star DESC, digest_text"
    )
    return {
        "figures": {
            "ended with 0": len(runs),  # else `herd` had raised
            "slowest start, seconds": round(max(run.wall_seconds for run in runs), 2),
            "processor seconds of all starts": round(sum(run.cpu_seconds for run in runs), 2),
            "connections": after["Connections"] - before["Connections"] - 1,  # the last is the one that asks
            "most connections at once": after["Max_used_connections"],
            "locks and writes": sum(int(count) for text, count, _ in digests if LOCKS_AND_WRITES.search(text)),
            "CREATE TABLE of the pending revision": sum(
                int(count) for text, count, _ in digests if text == PENDING_DIGEST
            ),
        },
        # Without a schema are our own questions, from which no lock or write is hidden above.
        "statements": {text: int(count) for text, count, schema in digests if schema},
    }


def server_status(server: Server) -> dict[str, int]:
    """Return the server's global counters."""
    rows = server.query("SHOW GLOBAL STATUS")
    return {name: int(value) for name, value in rows if value.lstrip("-").isdigit()}
