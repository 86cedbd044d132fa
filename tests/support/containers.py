"""A container engine for the tests alone: builds images, runs them as a cluster would, and removes what it made.

Its storage lies in the cache directory, so the machine's own podman neither sees nor loses anything. What stays there
after a run is the base image.
"""

import base64
import fcntl
import functools
import json
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.machine import CACHE, CannotInstall, ensure_podman

ROOT = Path(__file__).resolve().parents[2]
BASE_IMAGE = "docker.io/library/python:3.13-slim"
STORAGE = CACHE / "podman"

# Whatever this test run makes carries this name, and nothing else is ever removed.
RUN_NAME = f"alembic-gate-test-{uuid.uuid4().hex[:8]}"

# runc, file locks and cgroupfs work where crun, systemd and raised limits are refused: in a container, say.
CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]

[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
tmp_dir = "{runtime_dir}"
"""
STORAGE_CONF = """\
[storage]
driver = "overlay"
graphroot = "{graph_root}"
runroot = "{runtime_dir}/storage"
"""

# As in the official image there is a Python below /usr/local with its own pip, and no bytecode anywhere.
STAND_IN = (
    "mmdebstrap",
    "--quiet",
    "--variant=essential",
    "--include=apt,ca-certificates,python3,python3-venv",
    '--customize-hook=chroot "$1" python3 -m venv /usr/local',
    '--customize-hook=find "$1/usr" -name __pycache__ -prune -exec rm -r {} +',
    "trixie",
)


def podman(
    *arguments: str | Path, timeout: float = 120, check: bool = True, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run podman on the tests' own storage; on failure the error shows what podman said."""
    process = subprocess.run(
        ["podman", *map(str, arguments)],
        env=engine_environment(),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if check and process.returncode:
        raise AssertionError(f"podman {' '.join(map(str, arguments))}: {process.returncode}\n{process.stderr}")
    return process


@functools.cache
def engine_environment() -> dict[str, str]:
    """Write the engine's configuration and return the environment that points podman to it."""
    ensure_podman()
    if os.geteuid() != 0:
        raise CannotInstall("the container tests run podman as root: start them as root")
    STORAGE.mkdir(parents=True, exist_ok=True)
    # Below /run, since podman recognises a restart of the machine by these files being gone.
    runtime_dir = Path("/run/alembic-gate") / uuid.uuid5(uuid.NAMESPACE_URL, str(STORAGE)).hex[:8]
    files = {
        STORAGE / "containers.conf": CONTAINERS_CONF.format(runtime_dir=runtime_dir),
        STORAGE / "storage.conf": STORAGE_CONF.format(runtime_dir=runtime_dir, graph_root=STORAGE / "storage"),
    }
    for path, text in files.items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {
        "CONTAINERS_CONF": str(STORAGE / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(STORAGE / "storage.conf"),
    }


@functools.cache
def ensure_base_image() -> str:
    """Have the image that the Dockerfile starts from: the official one where a registry answers, else a stand-in."""
    environment = engine_environment()
    with (STORAGE / "base-image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if podman("image", "exists", BASE_IMAGE, check=False).returncode == 0:
            return BASE_IMAGE
        if podman("pull", "--quiet", BASE_IMAGE, check=False, timeout=300).returncode == 0:
            return BASE_IMAGE
        if not shutil.which("mmdebstrap"):
            raise CannotInstall("no image registry answers, and there is no mmdebstrap to make a stand-in with")
        with tempfile.TemporaryDirectory() as directory:
            archive = Path(directory) / "python.tar"
            subprocess.run([*STAND_IN, archive], check=True, capture_output=True, env=environment, timeout=600)
            podman("import", "--change", "ENV PATH=/usr/local/bin:/usr/bin:/bin", archive, BASE_IMAGE, timeout=300)
    return BASE_IMAGE


def build_image(
    name: str,
    *,
    context: Path = ROOT,
    dockerfile: Path | None = None,
    target: str | None = None,
    arguments: Mapping[str, str] | None = None,
) -> str:
    """Build an image and return its tag; it is gone when `engine` ends."""
    ensure_base_image()
    tag = f"localhost/{RUN_NAME}/{name}:test"
    with _pip_configuration() as configuration:
        podman(
            "build",
            "--quiet",
            "--pull=never",
            "--network=host",
            "--volume=/etc/ssl/certs:/etc/ssl/certs:ro",
            f"--secret=id=pip,src={configuration}",
            f"--tag={tag}",
            *([f"--file={dockerfile}"] if dockerfile else []),
            *([f"--target={target}"] if target else []),
            *(f"--build-arg={key}={value}" for key, value in (arguments or {}).items()),
            context,
            timeout=600,
        )
    return tag


@contextmanager
def _pip_configuration() -> Iterator[Path]:
    """Yield a pip.conf that says what this machine's pip is told by its environment: its index, its certificates."""
    options = {
        "cert": os.environ.get("PIP_CERT"),
        "index-url": os.environ.get("PIP_INDEX_URL"),
        "timeout": os.environ.get("PIP_DEFAULT_TIMEOUT"),
    }
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write("[global]\n" + "".join(f"{key} = {value}\n" for key, value in options.items() if value))
        file.flush()
        yield Path(file.name)


@functools.cache
def gate_image() -> str:
    """Build the repository's default image once a run: the gate with the seed's models and migrations."""
    return build_image("gate")


@functools.cache
def bare_gate_image() -> str:
    """Build the image without a project once a run: what other projects build FROM."""
    return build_image("bare-gate", target="gate")


def size_above_base(image: str) -> int:
    """Return the uncompressed bytes of the layers that an image adds to its base."""
    base, whole = (int(podman("image", "inspect", "--format={{.Size}}", name).stdout) for name in (BASE_IMAGE, image))
    return whole - base


@dataclass(frozen=True)
class Container:
    """A container that was started, and may have ended."""

    id: str

    def wait(self, timeout: float = 60) -> int:
        """Return the exit code, once there is one."""
        return int(podman("wait", self.id, timeout=timeout).stdout)

    def kill(self, signal: str) -> None:
        podman("kill", f"--signal={signal}", self.id)

    def logs(self) -> str:
        process = podman("logs", self.id)
        return process.stdout + process.stderr

    def wait_until_logged(self, text: str, timeout: float = 30) -> None:
        deadline = time.monotonic() + timeout
        while text not in self.logs():
            if time.monotonic() > deadline:
                raise AssertionError(f"{text!r} was not logged within {timeout} s:\n{self.logs()}")
            time.sleep(0.05)

    def remove(self) -> None:
        podman("rm", "--force", "--time=0", self.id)


def _as_a_cluster_would(
    image: str,
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    mounts: Mapping[Path, str],
    entrypoint: str | None,
    options: Sequence[str],
) -> list[str]:
    return [
        f"--label=run={RUN_NAME}",
        "--pull=never",
        "--network=host",
        "--read-only",
        "--read-only-tmpfs=false",
        "--cap-drop=all",
        "--security-opt=no-new-privileges",
        *(f"--env={key}={value}" for key, value in env.items()),
        *(f"--volume={source}:{target}" for source, target in mounts.items()),
        *([f"--entrypoint={entrypoint}"] if entrypoint else []),
        *options,
        image,
        *arguments,
    ]


def run_container(
    image: str,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    mounts: Mapping[Path, str] | None = None,
    entrypoint: str | None = None,
    options: Sequence[str] = (),
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run a container to its end: the image's own user, read-only, without capabilities, on the host's network."""
    command = _as_a_cluster_would(
        image, arguments, env=env or {}, mounts=mounts or {}, entrypoint=entrypoint, options=options
    )
    return podman("run", "--rm", *command, check=False, timeout=timeout)


def start_container(
    image: str,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    mounts: Mapping[Path, str] | None = None,
    entrypoint: str | None = None,
    options: Sequence[str] = (),
) -> Container:
    """Start a container as `run_container` does, and return while it runs."""
    command = _as_a_cluster_would(
        image, arguments, env=env or {}, mounts=mounts or {}, entrypoint=entrypoint, options=options
    )
    return Container(podman("run", "--detach", *command).stdout.strip())


@dataclass(frozen=True)
class PlayedPod:
    """A pod that `podman play kube` made from a manifest."""

    name: str

    def containers(self) -> dict[str, dict[str, object]]:
        """Return what `podman inspect` says of each container's state, by the container's name in the manifest."""
        listed = podman("ps", "--all", f"--filter=pod={self.name}", "--format={{.ID}}").stdout.split()
        inspected = json.loads(podman("inspect", *listed).stdout) if listed else []
        return {
            entry["Name"].removeprefix(f"{self.name}-"): entry["State"]
            for entry in inspected
            if not entry.get("IsInfra")
        }

    def logs(self, container: str) -> str:
        process = podman("logs", f"{self.name}-{container}", check=False)
        return process.stdout + process.stderr


@contextmanager
def play_kube(
    manifest: str, secrets: Mapping[str, Mapping[str, str]], *, timeout: float = 180
) -> Iterator[tuple[subprocess.CompletedProcess[str], list[PlayedPod]]]:
    """Play a manifest and yield how podman ended, with the pods; they are taken down afterwards.

    Its pods and the secrets are to be named after `RUN_NAME`, so that runs do not meet. podman runs init containers to
    their end before it starts the others, and fails when one of them does. Secrets are given apart, because podman 4.3
    cannot read what it stores of a manifest's own.
    """
    before = _pods_of_this_run()
    try:
        for name, values in secrets.items():
            encoded = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
            podman("secret", "create", name, "-", stdin=json.dumps(encoded))
        process = podman("play", "kube", "--network=host", "-", stdin=manifest, check=False, timeout=timeout)
        yield process, [PlayedPod(name) for name in sorted(_pods_of_this_run() - before)]
    finally:
        for name in _pods_of_this_run() - before:
            podman("pod", "rm", "--force", "--time=0", name)
        podman("secret", "rm", *secrets, check=False)


def _pods_of_this_run() -> set[str]:
    return {name for name in podman("pod", "ls", "--format={{.Name}}").stdout.split() if name.startswith(RUN_NAME)}


@contextmanager
def engine() -> Iterator[None]:
    """Have the engine and the base image, and afterwards remove whatever this test run made; nobody else's."""
    engine_environment()
    with (STORAGE / "in-use.lock").open("w") as in_use:
        fcntl.flock(in_use, fcntl.LOCK_SH)
        try:
            ensure_base_image()
            yield
        finally:
            _remove_what_this_run_made()
            # Layers of unfinished stages carry no name; they can be anybody's, so the last run to end removes them.
            with suppress(BlockingIOError):
                fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
                podman("image", "prune", "--force")


def _remove_what_this_run_made() -> None:
    containers = podman("ps", "--all", "--quiet", f"--filter=label=run={RUN_NAME}").stdout.split()
    if containers:
        podman("rm", "--force", "--time=0", *containers)
    tags = podman("images", "--format={{.Repository}}:{{.Tag}}").stdout.split()
    made = [tag for tag in tags if f"/{RUN_NAME}/" in tag]
    if made:
        podman("rmi", "--force", *made)
