"""Runs a compose file by Docker Compose itself, against podman's interface for Docker's clients."""

import functools
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.support import cleanup
from tests.support.containers import BASE_IMAGE, ROOT, RUN_NAME, engine_environment, podman
from tests.support.machine import ensure_compose, ensure_mysql

MYSQL_IMAGE = "docker.io/library/mysql:9.7"
SOCKET_SECONDS = 30
UP_SECONDS = 180

Service = dict[str, Any]


class _Override(list[str]):
    """A list that replaces the one of the compose file instead of being added to it."""


yaml.SafeDumper.add_representer(
    _Override, lambda dumper, items: dumper.represent_sequence("!override", items, flow_style=True)
)


class Project:
    """A compose file under a name of its own, with what an installation changes in an override file."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = environment

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of Docker Compose and return how it ended."""
        return subprocess.run(
            [*self._command, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=UP_SECONDS,
            check=False,
        )

    def up(self) -> "subprocess.CompletedProcess[str]":
        """Start everything; returns once all conditions are met, or one cannot be."""
        return self.run("up", "--detach", "--no-build")

    def services(self) -> dict[str, Service]:
        """Return what `docker compose ps --all` tells about each service."""
        done = self.run("ps", "--all", "--format=json")
        assert done.returncode == 0, done.stderr
        found: list[Service] = [json.loads(line) for line in done.stdout.splitlines()]
        return {service["Service"]: service for service in found}

    def log(self, service: str) -> str:
        return self.run("logs", "--no-log-prefix", service).stdout

    def down(self) -> None:
        self.run("down", "--volumes", "--timeout=5")


@contextmanager
def project(file: Path, overrides: Mapping[str, Service]) -> Iterator[Project]:
    """Yield the compose file as a project, with these changes to its services; everything is taken down afterwards."""
    with tempfile.TemporaryDirectory() as folder, _docker_socket(Path(folder)) as socket:
        override = Path(folder) / "override.yaml"
        override.write_text(yaml.safe_dump({"services": dict(overrides)}), encoding="utf-8")
        name = f"{RUN_NAME}-{Path(folder).name}".lower().replace("_", "-")
        command = [*ensure_compose(), "--ansi=never", f"--project-name={name}", f"--file={file}", f"--file={override}"]
        running = Project(command, engine_environment() | {"DOCKER_HOST": f"unix://{socket}"})
        try:
            yield running
        finally:
            running.down()


def published(port: int, inside: int) -> list[str]:
    """Return `ports` that replace those of the compose file."""
    return _Override([f"127.0.0.1:{port}:{inside}"])


@functools.cache
def mysql_service() -> Service:
    """Return what to change so that MySQL runs: nothing where a registry has its image, else an unpacked server."""
    if podman("image", "exists", MYSQL_IMAGE, check=False).returncode == 0:
        return {"image": MYSQL_IMAGE}
    if podman("pull", "--quiet", MYSQL_IMAGE, check=False, timeout=300).returncode == 0:
        return {"image": MYSQL_IMAGE}
    return {
        "image": BASE_IMAGE,
        "entrypoint": ["python3", "/entrypoint.py"],
        "volumes": [
            f"{ensure_mysql()}:/opt/mysql:ro",
            f"{ROOT / 'tests/support/mysql_entrypoint.py'}:/entrypoint.py:ro",
        ],
    }


@contextmanager
def _docker_socket(folder: Path) -> Iterator[Path]:
    socket = folder / "podman.sock"
    service = subprocess.Popen(
        ["podman", "system", "service", "--time=0", f"unix://{socket}"],
        env=engine_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    cleanup.end_with_us(service.pid)
    try:
        deadline = time.monotonic() + SOCKET_SECONDS
        while not socket.exists():
            assert service.poll() is None, "podman offers no socket"
            assert time.monotonic() < deadline, f"no socket within {SOCKET_SECONDS} s"
            time.sleep(0.05)
        yield socket
    finally:
        service.terminate()
        service.wait()
        cleanup.has_ended(service.pid)
