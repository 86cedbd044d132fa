"""Installs what the tests need on a bare machine, once, and out of the system's way.

Servers are unpacked from Debian's signed packages into a cache and run through their own loader: their version does
not depend on the machine, and no service is left behind. Every `ensure_…` may be called by many processes at once.
To take newer packages, remove the folder of the cache.
"""

import contextlib
import fcntl
import functools
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "alembic-gate"
IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}
GALERA_PROVIDER = "usr/lib/galera/libgalera_smm.so"
HELM = "helm.sh/helm/v3/cmd/helm@v3.22.0"
DBMATE = "dbmate@2.36.0"
INSTALL_SECONDS = 900  # a slow mirror is waited for, a dead one must not hang the run for ever

Installed = TypeVar("Installed")


class CannotInstall(Exception):
    """This machine cannot have what a test needs; the message is the reason."""


def require(ensure: Callable[[], Installed]) -> Installed:
    """Return what `ensure` installs; where that is impossible skip the test, or fail it if this is CI."""
    try:
        return ensure()
    except CannotInstall as reason:
        if IN_CI:
            pytest.fail(f"CI must install everything, but: {reason}", pytrace=False)
        pytest.skip(str(reason))


def ensure_mysql() -> Path:
    """Return the root of an unpacked MySQL server (Debian 12 has none, Debian unstable has the LTS)."""
    return _ensure_tree("mysql", "sid", ["mysql-server-core"])


def ensure_mariadb() -> Path:
    """Return the root of an unpacked MariaDB 10.11 server, with the Galera provider beside it."""
    return _ensure_tree("mariadb", "bookworm", ["mariadb-server-core", "galera-4"])


def ensure_galera() -> Path:
    """Return the root of an unpacked MariaDB 10.11 server that can be a node of a cluster."""
    root = ensure_mariadb()
    if not (root / GALERA_PROVIDER).exists():
        raise CannotInstall(f"{root} was unpacked without galera-4: remove it, and it is made anew")
    return root


def ensure_podman() -> Path:
    """Install podman and what it needs to build and run images as root, and return its path."""
    names = "podman buildah runc conmon netavark aardvark-dns catatonit uidmap iptables mmdebstrap"
    return _ensure_command("podman", names.split())


def ensure_helm() -> Path:
    """Return the path of a Helm 3 binary, built from the Go module proxy where none is on the machine."""
    found = shutil.which("helm")
    if found:
        return Path(found)
    return ensure_go_program("helm", HELM)


def ensure_go_program(name: str, package: str, *options: str) -> Path:
    """Return the path of a program that is built from the Go module proxy; `package` has its version."""
    path = CACHE / "bin" / name
    with one_at_a_time(name):
        if not path.exists():
            if not shutil.which("go"):
                raise CannotInstall(f"{name} is not on this machine, and there is no Go to build it with")
            _run(["env", f"GOBIN={path.parent}", "go", "install", *options, package], f"{name} cannot be built")
    return path


def ensure_dbmate() -> Path:
    """Return the path of dbmate's own binary, which npm installs."""
    folder = CACHE / DBMATE
    with one_at_a_time("dbmate"):
        if not folder.exists():
            if not shutil.which("npm"):
                raise CannotInstall("dbmate comes from npm, and there is no npm on this machine")
            partial = folder.with_suffix(".partial")
            _run(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(partial), DBMATE], "no dbmate from npm")
            partial.rename(folder)
    return next(folder.glob("node_modules/@dbmate/*/bin/dbmate"))


@functools.cache
def ensure_gnu_time() -> Path:
    """Install GNU time, which tells a process's peak of memory, and return its path."""
    return _ensure_command("time", ["time"])


def ensure_compose() -> list[str]:
    """Return the command of Docker Compose, unpacked from Debian's package: a client, which needs no Docker engine."""
    root = _ensure_tree("docker-compose", "trixie", ["docker-compose"])
    return program(root, "usr/libexec/docker/cli-plugins/docker-compose")


def program(root: Path, path: str) -> list[str]:
    """Return the command that runs `path` of the unpacked tree `root` with the tree's own loader and libraries."""
    triple = f"{platform.machine()}-linux-gnu"
    folders = [root / "usr/lib" / triple, root / "lib" / triple, root / "usr/lib/mysql/private"]
    loaders = [loader for folder in folders[:2] for loader in folder.glob("ld-linux-*.so.*")]
    if not loaders:
        raise CannotInstall(f"no loader for {triple} below {root}")
    return [str(loaders[0]), "--library-path", ":".join(map(str, folders)), str(root / path)]


def _ensure_tree(name: str, suite: str, packages: Sequence[str]) -> Path:
    root = CACHE / name
    with one_at_a_time(name):
        if not root.exists():
            _ensure_command("mmdebstrap", ["mmdebstrap", "debian-archive-keyring"])
            partial = CACHE / f"{name}.partial"
            include = ",".join([*packages, "libc-bin"])
            unpack = ["mmdebstrap", "--quiet", "--variant=extract", *_apt_settings(), f"--include={include}"]
            unpack = _as_root([*unpack, suite, str(partial)])
            _run(_as_root(["rm", "-rf", str(partial)]), "what an interrupted download left cannot be removed")
            _run(unpack, f"{packages[0]} cannot be unpacked from Debian {suite}")
            partial.rename(root)
    return root


def _apt_settings() -> list[str]:
    """Carry over what this machine's owner told apt about mirrors; the check of signatures is never among it."""
    kept = ("Acquire::Check-Valid-Until", "Acquire::Check-Date", "Acquire::http::Proxy", "Acquire::https::Proxy")
    dump = subprocess.run(["apt-config", "dump", *kept], capture_output=True, text=True, check=False).stdout
    return [f"--aptopt={line.rstrip(';')}" for line in dump.splitlines() if '""' not in line]


def _ensure_command(command: str, packages: Sequence[str]) -> Path:
    with one_at_a_time("apt"):
        if not shutil.which(command):
            if not shutil.which("apt-get"):
                raise CannotInstall(f"{command} is missing, and this machine has no apt-get to install it with")
            # A third-party source that does not answer must not keep Debian's own packages away.
            subprocess.run(_as_root(["apt-get", "update", "-q=2"]), capture_output=True, check=False)
            options = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-q=2"]
            _run(_as_root([*options, "--no-install-recommends", *packages]), f"{command} cannot be installed by apt")
        found = shutil.which(command)
    if not found:
        raise CannotInstall(f"apt installed {packages[0]}, but {command} is not on the PATH")
    return Path(found)


def _as_root(command: Sequence[str]) -> list[str]:
    if os.geteuid() == 0:
        return list(command)
    if shutil.which("sudo"):
        return ["sudo", "-n", *command]
    raise CannotInstall(f"{command[0]} needs root or sudo")


def _run(command: Sequence[str], otherwise: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotInstall(f"{otherwise}: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-5:]
        raise CannotInstall(f"{otherwise}: {' / '.join(said) or f'exit code {done.returncode}'}")


@contextlib.contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Keep other processes that prepare `name` in the cache waiting."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
