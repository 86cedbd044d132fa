"""Prints how a job fares that is killed at every statement: `python -m tests.crash.measure [--plain]`.

`--plain` makes plain `alembic upgrade head` the job: the figure that the gate is compared with.
"""

import argparse
import tempfile
import time
from pathlib import Path

from tests.crash.history import DETERMINISTIC
from tests.crash.lab import Lab
from tests.crash.points import DOWNGRADE, UPGRADE, Route, every_point
from tests.crash.unencrypted import Unencrypted
from tests.crash.verdict import Tally, Verdict
from tests.support.servers import KINDS, Server


def main() -> None:
    """Try every statement and every moment of every history, on both servers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plain", action="store_true", help="measure plain Alembic instead of the gate")
    parser.add_argument("--server", action="append", choices=KINDS, help="only this server")
    parser.add_argument("--history", action="append", help="only this history")
    parser.add_argument("--show", action="store_true", help="print every point that did not converge")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        lab = Lab(Path(directory), "plain" if options.plain else "gate")
        for kind in options.server or KINDS:
            server = Server(kind).start()
            measure(lab, Unencrypted(server), options)
            server.remove()
        lab.close()
    print("\n".join(line for line in lab.figures() if line.startswith(ALL)))


ALL = "every statement"


def measure(lab: Lab, server: Unencrypted, options: argparse.Namespace) -> None:
    """Print a line for each history."""
    for history in DETERMINISTIC:
        if options.history and history.name not in options.history:
            continue
        began = time.monotonic()
        there, back = (every_point(lab.reference(Route(server, history, argv))) for argv in (UPGRADE, DOWNGRADE))
        tally = Tally()
        for outcome in lab.try_there_and_back(there, back, ALL):
            tally.add(outcome)
            if options.show and outcome.verdict is not Verdict.CONVERGED:
                print(outcome)
        for line in tally.lines():
            print(f"{history.name}, {time.monotonic() - began:.0f} s, {line}", flush=True)


if __name__ == "__main__":
    main()
