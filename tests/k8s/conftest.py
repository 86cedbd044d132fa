"""The images under test and a node to run them on, for tests that play manifests; built once a run."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.k8s.kubelet import Kubelet, kubelet
from tests.support import containers
from tests.support.gate import ROOT
from tests.support.projects import revision_source, write_project

GATE, APP = "alembic-gate:0.1.0", "example-app:0.1.0"

ProjectImage = Callable[[str, list[str]], str]


@pytest.fixture(scope="session")
def build(engine: ModuleType) -> Callable[..., str]:
    """Builds images with an engine that has the base image."""
    build_image: Callable[..., str] = engine.build_image
    return build_image


@pytest.fixture(scope="session")
def app_image(build: Callable[..., str]) -> str:
    """The example application."""
    return build("app", dockerfile=ROOT / "examples/app/Dockerfile")


@pytest.fixture(scope="session")
def node_images(app_image: str) -> dict[str, str]:
    """The images that the shipped manifests name, and those under test that stand for them."""
    return {GATE: containers.gate_image(), APP: app_image}


@pytest.fixture
def node(node_images: dict[str, str]) -> Iterator[Kubelet]:
    """A node that has the images of the shipped manifests."""
    with kubelet(node_images) as running:
        yield running


@pytest.fixture(scope="session")
def project_image(build: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> ProjectImage:
    """A factory of images: `project_image(name, revisions)` is the gate with these scripts instead of the seed's."""

    def build_project(name: str, revisions: list[str]) -> str:
        folder: Path = tmp_path_factory.mktemp(name)
        write_project(folder, revisions)
        dockerfile = (
            f"FROM {containers.bare_gate_image()}\n"
            "COPY alembic.ini ./\n"
            "COPY migrations migrations\n"
            "USER 0\n"
            'RUN ["alembic-gate", "manifest"]\n'
            "USER 65532:65532\n"
        )
        (folder / "Dockerfile").write_text(dockerfile, encoding="utf-8")
        return build(name, context=folder)

    return build_project


@pytest.fixture(scope="session")
def failing_image(project_image: ProjectImage) -> str:
    """A gate whose second revision the server refuses."""
    return project_image(
        "failing",
        [
            revision_source("one", upgrade="op.execute('CREATE TABLE one (id INT PRIMARY KEY)')"),
            revision_source("two", "one", upgrade="op.execute('ALTER TABLE one ADD COLUMN')"),
        ],
    )
