"""Renders the chart and the overlays by the tools that their users have: Helm and kustomize."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support.machine import CACHE, INSTALL_SECONDS, CannotInstall, ensure_helm, one_at_a_time

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "k8s/chart"
BASE = ROOT / "k8s/base"
OVERLAYS = ROOT / "k8s/overlays"
VALUE_FILES = sorted((CHART / "ci").glob("*-values.yaml"))
OLDEST_KUBERNETES = "1.31.0"
KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.8.1"

Manifest = dict[str, Any]


def ensure_kustomize() -> list[str]:
    """Return the command that builds a folder: kubectl's own kustomize, or one built from the Go module proxy."""
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    program = CACHE / "bin/kustomize"
    with one_at_a_time("kustomize"):
        if not program.exists():
            if not shutil.which("go"):
                raise CannotInstall("kubectl is not on this machine, and there is no Go to build kustomize with")
            built = _run(["go", "install", KUSTOMIZE], environment={"GOBIN": str(program.parent)})
            if built.returncode:
                raise CannotInstall(f"kustomize cannot be built: {built.stderr.strip()[-500:]}")
    return [str(program), "build"]


def helm(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run Helm, which reaches no cluster."""
    return _run([str(ensure_helm()), *map(str, arguments)], environment={"KUBECONFIG": "/nowhere"})


def helm_template(*arguments: str | Path, release: str = "shop") -> "subprocess.CompletedProcess[str]":
    """Run `helm template` on the chart, for the oldest Kubernetes that is still looked after unless told otherwise."""
    return helm("template", release, CHART, "--namespace", "shop", "--kube-version", OLDEST_KUBERNETES, *arguments)


def rendered_chart(*arguments: str | Path, release: str = "shop") -> list[Manifest]:
    """Return what `helm install` would send to a cluster; raises AssertionError with Helm's words where it refuses."""
    done = helm_template(*arguments, release=release)
    assert done.returncode == 0, done.stderr
    return manifests_in(done.stdout)


def with_values(**values: object) -> list[str]:
    """Return Helm's arguments that set these values; a double underscore stands for the dot between keys."""
    return [f"--set-json={name.replace('__', '.')}={json.dumps(value)}" for name, value in values.items()]


def rendered_folder(folder: Path) -> list[Manifest]:
    """Return what `kubectl apply --kustomize` would send to a cluster."""
    done = _run([*ensure_kustomize(), str(folder)])
    assert done.returncode == 0, done.stderr
    return manifests_in(done.stdout)


def manifests_in(text: str) -> list[Manifest]:
    """Return the documents of a YAML stream, without the empty ones."""
    return [document for document in yaml.safe_load_all(text) if document]


def find(manifests: Sequence[Manifest], kind: str, name: str | None = None) -> Manifest:
    """Return the one manifest of that kind, and of that name where one is given."""
    found = [each for each in manifests if each["kind"] == kind and name in {None, each["metadata"]["name"]}]
    assert len(found) == 1, f"{len(found)} of {kind} {name or ''} among {described(manifests)}"
    return found[0]


def kinds(manifests: Sequence[Manifest]) -> set[str]:
    return {each["kind"] for each in manifests}


def described(manifests: Sequence[Manifest]) -> list[str]:
    return sorted(f"{each['kind']}/{each['metadata']['name']}" for each in manifests)


def pod_specs(manifests: Sequence[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield the spec of each pod that the manifests describe, with a name for messages."""
    for manifest in manifests:
        spec = manifest.get("spec", {})
        if manifest["kind"] == "Pod":
            yield f"Pod/{manifest['metadata']['name']}", spec
        elif "template" in spec:
            yield f"{manifest['kind']}/{manifest['metadata']['name']}", spec["template"]["spec"]


def containers_of(pod: Manifest) -> list[Manifest]:
    """Return the containers of a pod's spec, init containers first."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def environment_of(container: Manifest) -> dict[str, Any]:
    """Return the variables that a container names one by one: their values, or where those come from."""
    entries = container.get("env", [])
    variables = {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in entries}
    assert len(variables) == len(entries), f"a variable is named twice in {entries}"
    return variables


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
