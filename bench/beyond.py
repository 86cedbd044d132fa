"""Calculate what was not measured: thousands of pods before one server, from what one start costs it."""

from collections.abc import Mapping
from typing import Any

from bench.measure import middle, seconds

PODS, CORES, ROOM = 5_000, 2, 151  # the last is MySQL's default for max_connections
WITHIN_SECONDS = (300, 60, 10, 1)
HEAD = ("pods start within", "starts a second", "cores of the server", "connections at once, at most")

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def calculate(results: Mapping[str, Any]) -> dict[str, str | Table]:
    """Return what the page on scale says beyond the measurements."""
    # Where many are turned away the average would be too good.
    served = [each for each in results["scale"]["at once"].values() if not each["turned away (1040)"]]
    milliseconds = max(each["server's processor time a start, ms"] for each in served)
    container = results["container"].get("wall_seconds")
    held = middle(container, "gate") if container else middle(results["idle"]["3"]["gate"])
    return {
        "pods": f"{PODS:,}",
        "cores": str(CORES),
        "room": str(ROOM),
        "one_milliseconds": f"{milliseconds:.2g}",
        "all_seconds": seconds(PODS * milliseconds / 1000),
        "capacity": f"{CORES * 1000 / milliseconds:,.0f}",
        "drained": seconds(PODS * milliseconds / 1000 / CORES),
        "held": seconds(held),
        "held_where": "with a tenth of a core" if container else "on this machine",
        "beyond": (HEAD, [_arrival(within, milliseconds, held) for within in WITHIN_SECONDS]),
    }


def _arrival(within: int, milliseconds: float, held: float) -> tuple[str, ...]:
    rate = PODS / within
    busy, wanted = rate * milliseconds / 1000, rate * held
    drained = seconds(PODS * milliseconds / 1000 / CORES)
    return (
        f"{within} s",
        f"{rate:,.0f}",
        f"{busy:.2f}" if busy < CORES else f"all {CORES}, for {drained}",
        f"{wanted:,.0f}" if wanted < ROOM else f"{wanted:,.0f}, of which {ROOM} are served first",
    )
