"""The shipped Deployment, run by podman from its very manifest: the application starts only behind exit 0."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k8s.scenes import wait_until_ready
from tests.support import containers
from tests.support.containers import ROOT, RUN_NAME, play_kube
from tests.support.database import Database
from tests.support.ports import free_port

BASE = ROOT / "k8s/base"
READY_SECONDS = 20

# A manifest, and the values of each Secret that it names.
Shipped = tuple[str, dict[str, dict[str, str]]]

pytestmark = pytest.mark.I6


def shipped(database: Database, gate: str, app: str, port: int) -> Shipped:
    """Return the shipped Deployment and Secrets, with only what an installation fills in changed."""
    deployment, secret = (_load(BASE / name) for name in ("deployment.yaml", "secret.yaml"))
    deployment["metadata"]["name"] = RUN_NAME
    deployment["spec"]["replicas"] = 1
    values = secret["stringData"] | {
        "MYSQL_HOST": database.server.host,
        "MYSQL_PORT": str(database.server.port),
        "MYSQL_DATABASE": database.name,
        "MYSQL_USER": database.user,
        "MYSQL_PASSWORD": database.password,
    }
    pod = deployment["spec"]["template"]["spec"]
    # A Deployment always restarts what failed. So does podman, without a pause, and then there is no exit code to read.
    pod["restartPolicy"] = "Never"
    secret_name = f"{RUN_NAME}-{secret['metadata']['name']}"
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["envFrom"] == [{"secretRef": {"name": secret["metadata"]["name"]}}]
        container["envFrom"] = [{"secretRef": {"name": secret_name}}]
    # Without this podman forgets an init container that has ended with 0.
    deployment["metadata"]["annotations"] = {"io.podman.annotations.init.container.type": "always"}
    for container, image in ((pod["initContainers"][0], gate), (pod["containers"][0], app)):
        container |= {"image": image, "imagePullPolicy": "Never"}
    # All of this machine's pods share its network, so each needs a port of its own, and publishes none. The probes are
    # kubelet's; the tests ask the readiness endpoint themselves.
    (application,) = pod["containers"]
    application |= {"env": [{"name": "PORT", "value": str(port)}]}
    for only_in_a_cluster in ("ports", "readinessProbe", "livenessProbe"):
        del application[only_in_a_cluster]
    return yaml.safe_dump(deployment), {secret_name: values}


def _load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def test_application_starts_once_the_gate_has_ended_with_0(app_image: str, database: Database) -> None:
    port = free_port()

    with play_kube(*shipped(database, containers.gate_image(), app_image, port)) as (process, pods):
        assert process.returncode == 0, process.stderr
        (pod,) = pods
        ready = wait_until_ready(port, lambda: pod.logs("app"), READY_SECONDS)
        states = pod.containers()

    assert ready == {"ready": True}
    assert states["gate"]["ExitCode"] == 0
    assert states["app"]["Running"]
    assert str(states["gate"]["FinishedAt"]) <= str(states["app"]["StartedAt"])


def test_application_is_never_started_when_a_revision_fails(
    app_image: str, failing_image: str, database: Database
) -> None:
    with play_kube(*shipped(database, failing_image, app_image, free_port())) as (process, pods):
        (pod,) = pods
        states = pod.containers()
        log = pod.logs("gate")

    assert process.returncode != 0
    assert states["gate"]["ExitCode"] == 20, log
    assert_never_started(states["app"])


@pytest.mark.I5
def test_application_is_never_started_when_the_server_refuses_the_password(app_image: str, database: Database) -> None:
    database.password = "wrong-and-secret"

    with play_kube(*shipped(database, containers.gate_image(), app_image, free_port())) as (process, pods):
        (pod,) = pods
        states = pod.containers()
        log = pod.logs("gate")

    assert process.returncode != 0
    assert states["gate"]["ExitCode"] == 11, log
    assert "wrong-and-secret" not in log
    assert_never_started(states["app"])


def assert_never_started(state: dict[str, object]) -> None:
    assert state["Status"] in {"created", "configured"}
    assert str(state["StartedAt"]).startswith("0001-01-01"), state
