"""compose.yaml, run for real by Docker Compose: up from nothing, up again, and a migration that fails."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from alembic_gate.exits import ExitCode
from tests.k8s.scenes import wait_until_ready
from tests.support.compose import Project, mysql_service, project, published
from tests.support.gate import ROOT
from tests.support.machine import ensure_compose, require
from tests.support.ports import free_port

FILE = ROOT / "compose.yaml"
READY_SECONDS = 90  # a few on an idle machine

pytestmark = pytest.mark.I6


def of_this_run(gate: str, app: str, port: int) -> dict[str, Any]:
    return {"mysql": mysql_service(), "migrate": {"image": gate}, "app": {"image": app, "ports": published(port, 8000)}}


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def demonstration(node_images: dict[str, str], port: int) -> Iterator[Project]:
    require(ensure_compose)
    gate, app = node_images.values()
    with project(FILE, of_this_run(gate, app, port)) as running:
        yield running


@pytest.fixture
def failing_demonstration(node_images: dict[str, str], failing_image: str, port: int) -> Iterator[Project]:
    require(ensure_compose)
    _, app = node_images.values()
    with project(FILE, of_this_run(failing_image, app, port)) as running:
        yield running


def test_up_shows_the_gate_work_from_nothing_and_again_with_nothing_to_do(demonstration: Project, port: int) -> None:
    first = demonstration.up()

    assert first.returncode == 0, first.stderr + demonstration.log("migrate")
    services = demonstration.services()
    assert (services["migrate"]["State"], services["migrate"]["ExitCode"]) == ("exited", 0)
    assert wait_until_ready(port, lambda: demonstration.log("app"), READY_SECONDS) == {"ready": True}
    # No health check: it is the gate that has waited for the server.
    assert "waiting for" in demonstration.log("migrate")
    assert demonstration.log("migrate").count("applied '") == 1

    second = demonstration.up()

    assert second.returncode == 0, second.stderr
    assert demonstration.log("migrate").count("applied '") == 1
    assert demonstration.log("migrate").count("nothing to do") == 1
    assert demonstration.services()["app"]["ID"] == services["app"]["ID"], "the application ran on"


def test_failing_migration_keeps_the_application_down_and_leaves_its_code(failing_demonstration: Project) -> None:
    up = failing_demonstration.up()

    assert up.returncode != 0
    assert f"exit {ExitCode.REVISION_FAILED:d}" in up.stderr
    services = failing_demonstration.services()
    assert services["app"]["State"] == "created", "created, never started"
    assert (services["migrate"]["State"], services["migrate"]["ExitCode"]) == ("exited", ExitCode.REVISION_FAILED)
    assert "[exit 20, revision failed]" in failing_demonstration.log("migrate")


@pytest.mark.parametrize("service", ["migrate", "app"])
def test_service_can_change_nothing_but_the_database(service: str) -> None:
    described = yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"][service]

    assert described["read_only"] is True
    assert described["cap_drop"] == ["ALL"]
    assert described["security_opt"] == ["no-new-privileges"]


@pytest.mark.parametrize(("service", "dockerfile"), [("migrate", "Dockerfile"), ("app", "examples/app/Dockerfile")])
def test_service_is_built_from_the_files_that_the_other_tests_build(service: str, dockerfile: str) -> None:
    build = yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"][service]["build"]

    assert build in (".", {"context": ".", "dockerfile": dockerfile})
    assert (ROOT / dockerfile).exists()
