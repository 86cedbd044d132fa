"""Runs the gate with a lease that runs out within seconds, so that a test need not wait for the real one.

A process of its own, as `entrypoint.py` is. `SHORT_LEASE_SECONDS` is the length of the lease; whatever hangs together
with it keeps its proportion.
"""

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

ROOMS = ("alembic_gate.lock", "alembic_gate.lease")
SCALED = ("LEASE_SECONDS", "LEASE_UNCHANGED_SECONDS", "KEEP_ALIVE_SECONDS")


def shorten(seconds: float) -> None:
    """Scale everything that decides how long a lease lasts."""
    modules: list[ModuleType] = [importlib.import_module(room) for room in ROOMS]
    usual: dict[str, Any] = {name: value for module in modules for name, value in vars(module).items()}
    for name in SCALED:
        for module in modules:
            if hasattr(module, name):
                setattr(module, name, usual[name] * seconds / usual["LEASE_SECONDS"])


if __name__ == "__main__":
    shorten(float(os.environ.pop("SHORT_LEASE_SECONDS")))
    from alembic_gate.cli import main

    sys.exit(main())
