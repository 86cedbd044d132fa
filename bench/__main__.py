"""Measure everything, print the targets, write the documents: `python -m bench`; 1 when a target is missed."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from bench import apply, container, herd, host, idle, report, scale
from bench.stage import Stage, stage
from bench.targets import targets
from tests.support.gate import ROOT
from tests.support.machine import CannotInstall

CASES: dict[str, Callable[[Stage], Any]] = {
    "idle": idle.measure,
    "apply": apply.measure,
    "herd": herd.measure,
    "scale": scale.measure,
    "container": container.measure,
}


def main() -> int:
    """Run the cases that were asked for; return 0 when all of their targets are met."""
    options = _parser().parse_args()
    try:
        results = _measure(options.case or list(CASES), 1 if options.quick else options.runs, quick=options.quick)
    except CannotInstall as reason:
        print(f"nothing can be measured here: {reason}", file=sys.stderr)
        return 2
    reached = targets(results)
    print(*reached, sep="\n", flush=True)
    if options.no_write or options.case:
        print(json.dumps(results, indent=1))
    elif not options.quick:
        report.write(results, ROOT)
    return 0 if all(target.met for target in reached) else 1


def _measure(cases: list[str], runs: int, *, quick: bool) -> dict[str, Any]:
    with stage(runs, quick=quick) as ready:
        results: dict[str, Any] = {"host": host.describe(ready), "runs": runs}
        for name in CASES:
            if name in cases:
                began = time.monotonic()
                results[name] = CASES[name](ready)
                print(f"{name}: measured in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        results["tools"] = {tool.name: tool.how for tool in ready.tools}
        results["missing"] = ready.others[1]
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the gate beside its peers.")
    parser.add_argument("--case", action="append", choices=CASES, help="only this one; may be given several times")
    parser.add_argument("--runs", type=int, default=30, metavar="N", help="starts with nothing to do (30)")
    parser.add_argument("--quick", action="store_true", help="one run of the smallest, beside Alembic alone")
    parser.add_argument(
        "--no-write", action="store_true", help="print the figures; else, when all cases have run, write docs/"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
