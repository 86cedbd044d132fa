"""Name the machine and the software that figures come from."""

import os
import platform
from pathlib import Path

from bench.stage import Stage


def describe(stage: Stage) -> dict[str, str]:
    """Return what somebody needs who wants to compare; figures without it say nothing."""
    packages = stage.arena.versions()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    where = "in memory" if stage.server.folder.is_relative_to("/dev/shm") else "on disk"
    return {
        "processor": f"{_cpu_model()}, {os.cpu_count()} cores",
        "memory": f"{memory:.1f} GiB",
        "system": f"{_distribution()}, Linux {platform.release()}, {platform.machine()}",
        "load when it began": f"{os.getloadavg()[0]:.2f}",
        "Python": platform.python_version(),
        "packages": ", ".join(f"{name} {version}" for name, version in sorted(packages.items(), key=str)),
        "server": f"MySQL {stage.server.software.version} on this machine, over TCP and TLS, data {where}, "
        "no flush to disk at commit",
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return platform.processor() or platform.machine()


def _distribution() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
