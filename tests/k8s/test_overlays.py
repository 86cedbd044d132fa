"""The kustomize overlays: one pattern each, made from the base by patches alone."""

from pathlib import Path

import pytest
import yaml

from tests.support.machine import require
from tests.support.manifests import (
    OVERLAYS,
    Manifest,
    containers_of,
    described,
    ensure_kustomize,
    environment_of,
    find,
    kinds,
    pod_specs,
    rendered_folder,
)


@pytest.fixture(scope="module", autouse=True)
def real_kustomize() -> list[str]:
    return require(ensure_kustomize)


def overlay(name: str) -> list[Manifest]:
    return rendered_folder(OVERLAYS / name)


def gate_of(manifest: Manifest) -> Manifest:
    ((_, pod),) = pod_specs([manifest])
    return containers_of(pod)[0]


@pytest.mark.parametrize("path", sorted(OVERLAYS.glob("*/kustomization.yaml")), ids=lambda path: path.parent.name)
def test_overlay_repeats_nothing_of_the_base(path: Path) -> None:
    overlay = yaml.safe_load(path.read_text(encoding="utf-8"))
    own = [path.parent / name for name in overlay["resources"] if not name.startswith("../")]

    assert overlay.keys() <= {"apiVersion", "kind", "resources", "patches", "configMapGenerator"}
    assert [yaml.safe_load(each.read_text(encoding="utf-8"))["kind"] for each in own] in ([], ["Secret"])


def test_init_container_upgrades_in_every_pod_and_there_is_no_job() -> None:
    manifests = overlay("init-container")

    assert kinds(manifests) == {"Deployment", "Secret", "Service", "ServiceAccount"}
    assert gate_of(find(manifests, "Deployment"))["args"] == ["upgrade"]


def test_job_alone_comes_with_what_it_needs_and_no_application() -> None:
    assert kinds(overlay("job")) == {"Job", "NetworkPolicy", "Secret", "ServiceAccount"}


def test_pods_wait_with_an_account_of_their_own_while_the_job_upgrades() -> None:
    manifests = overlay("job-and-wait")
    job, deployment = find(manifests, "Job"), find(manifests, "Deployment")
    (source,) = gate_of(deployment)["envFrom"]

    assert gate_of(job)["args"] == ["upgrade"]
    assert gate_of(deployment)["args"] == ["wait"]
    assert source["secretRef"]["name"] == "database-reader"
    assert find(manifests, "Secret", "database-reader")["stringData"].keys() == (
        find(manifests, "Secret", "database")["stringData"].keys()
    )


def test_pods_and_their_rollout_wait_as_long_as_the_job_may_take() -> None:
    manifests = overlay("job-and-wait")
    deployment = find(manifests, "Deployment")
    waiting = float(environment_of(gate_of(deployment))["GATE_WAIT_TIMEOUT_SECONDS"])

    assert find(manifests, "Job")["spec"]["activeDeadlineSeconds"] <= waiting
    assert waiting < deployment["spec"]["progressDeadlineSeconds"]


def test_every_share_of_many_databases_reads_the_same_list() -> None:
    manifests = overlay("many-databases")
    job, listed = find(manifests, "Job"), find(manifests, "ConfigMap")
    gate = gate_of(job)
    ((_, pod),) = pod_specs([job])

    # A changed list has another name: a Job that runs already keeps the one it began with.
    assert listed["metadata"]["name"].startswith("databases-")
    assert pod["volumes"] == [{"name": "databases", "configMap": {"name": listed["metadata"]["name"]}}]
    path = Path(gate["args"][gate["args"].index("--databases") + 1])
    assert str(path.parent) == gate["volumeMounts"][0]["mountPath"]
    assert path.name in listed["data"]
    assert job["spec"]["completionMode"] == "Indexed"


def test_every_overlay_is_named_in_the_documentation() -> None:
    text = (OVERLAYS.parents[1] / "docs/kubernetes.md").read_text(encoding="utf-8")

    for folder in sorted(OVERLAYS.iterdir()):
        assert f"k8s/overlays/{folder.name}" in text, described(overlay(folder.name))
