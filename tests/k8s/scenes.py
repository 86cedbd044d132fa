"""What tests of played pods set up again and again: a pod of a rendering, and its Secrets filled in."""

import json
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.k8s.kubelet import Values, values_in
from tests.support.database import Database
from tests.support.manifests import Manifest, find

READY_SECONDS = 30


def pod_of(manifests: list[Manifest], kind: str) -> Manifest:
    found: Manifest = find(manifests, kind)["spec"]["template"]["spec"]
    return found


def edited(manifests: list[Manifest], database: Database, **others: Database) -> Values:
    """Return the shipped Secrets as somebody who installs them has edited them: with the same keys."""
    secrets = values_in(manifests, "Secret")
    edits = {"database": database} | {name.replace("_", "-"): other for name, other in others.items()}
    assert secrets.keys() == edits.keys()
    for name, values in secrets.items():
        assert values.keys() == edits[name].parts().keys()
    return {name: edits[name].parts() for name in secrets}


def wait_until_ready(port: int, log: Callable[[], str], seconds: float = READY_SECONDS) -> Any:
    """Return what the application's readiness endpoint says once it answers with 200; else show its log."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as response:
            return json.load(response)
        time.sleep(0.1)
    raise AssertionError(f"not ready within {seconds} s:\n{log()}")
