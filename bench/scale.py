"""Case "scale": what one start costs the server, how many it bears at once, and what happens when it is full."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.herd import server_status, watched
from bench.measure import herd, run
from bench.peers import Tool
from bench.stage import Stage
from tests.support.database import Database
from tests.support.gate import ROOT
from tests.support.servers import Server
from tests.support.wire import Wire

AT_ONCE = (10, 50, 100, 200)
LOOKS = 2_000
CLIENTS = 2
TIGHT = 2  # connections for a hundred starts: this machine has no more cores to start them with
NO_OP = ["DO 0"] * 3


def measure(stage: Stage) -> dict[str, Any]:
    """Return the three parts."""
    folder, database = stage.new_folder(), stage.database()
    for tool in stage.gate_and_alembic:
        tool.write(folder / tool.name, NO_OP)
        run(tool.command(folder / tool.name, database))
    at_once, looks, size = ((4,), 40, 5) if stage.quick else (AT_ONCE, LOOKS, 100)
    return {
        "one start": {tool.name: _one_start(tool, folder, database) for tool in stage.gate_and_alembic},
        "at once": {str(each): _at_once(stage.server, database, each, looks) for each in at_once},
        "full server": _full_server(stage, folder / "gate", database, size),
    }


def _one_start(tool: Tool, folder: Path, database: Database) -> dict[str, int]:
    """What passes between one start and the server; the least of several, for packets of TLS may cross on their way."""
    seen = []
    for _ in range(5):
        with Wire(database.server.host, database.server.port) as wire:
            run(tool.command(folder / tool.name, wire.in_front_of(database)))
        seen.append(wire.conversations)
    least = min(seen, key=lambda talks: sum(talk.round_trips for talk in talks))
    return {
        "connections": len(least),
        "round trips": sum(talk.round_trips for talk in least),
        "bytes to the server": sum(len(talk.sent_by("client")) for talk in least),
        "bytes from the server": sum(len(talk.sent_by("server")) for talk in least),
    }


def _at_once(server: Server, database: Database, at_once: int, looks: int) -> dict[str, float]:
    """Keep that many starts before the server all the time, in two processes, and see what it carries."""
    server.query("FLUSH STATUS")
    words = [sys.executable, "-m", "bench.light", database.url, str(at_once // CLIENTS), str(looks // CLIENTS)]
    started, cpu = time.perf_counter(), _cpu_seconds(server.pid)
    clients = [subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(CLIENTS)]
    said = [client.communicate()[0].split() for client in clients]
    assert not any(client.returncode for client in clients)
    seconds, cpu = time.perf_counter() - started, _cpu_seconds(server.pid) - cpu
    done = sum(int(each[0]) for each in said)
    return {
        "starts": done,
        "turned away (1040)": sum(int(each[1]) for each in said),
        "starts a second": round(done / seconds, 1),
        "connected for (median), ms": round(1000 * max(float(each[2]) for each in said), 1),
        "server's processor time a start, ms": round(1000 * cpu / looks, 2),
        "most connections": server_status(server)["Max_used_connections"],
    }


def _full_server(stage: Stage, folder: Path, database: Database, size: int) -> dict[str, Any]:
    """Start a real herd before a server with room for few: 1040 is waited out."""
    server, before = stage.server, server_status(stage.server)
    server.query(f"SET GLOBAL max_connections = {TIGHT}")
    command = stage.gate_and_alembic[0].command(folder, database)
    try:
        seen = watched(server, lambda: herd(command, size))
    finally:
        server.query("SET GLOBAL max_connections = 151")
    refused = "Connection_errors_max_connections"
    return {
        "size": size,
        "max_connections": TIGHT,
        "turned away": server_status(server)[refused] - before[refused],
        **seen,
    }


def _cpu_seconds(pid: int) -> float:
    """Return what a process has used of the processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
