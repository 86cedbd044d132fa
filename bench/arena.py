"""Install the gate and plain Alembic side by side, as users get them: nothing editable, all bytecode compiled."""

import hashlib
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from bench.measure import Command
from tests.support.database import Database
from tests.support.gate import ROOT
from tests.support.machine import CACHE, CannotInstall, one_at_a_time

# The virtual environment's links would hide it: the image starts the interpreter itself.
PYTHON = str(getattr(sys, "_base_executable", sys.executable))

# As the Dockerfile has it.
FLAGS = "-SP"
ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
COMPILE = ["-m", "compileall", "-q", "-j", "2", "--invalidation-mode", "unchecked-hash"]

# What the gate must do at least, without a thought for the cost of imports: the client as it ships.
RAW_CLIENT = """
import pymysql, sys
host, port, user, password, name, *file = sys.argv[1:]
cursor = pymysql.connect(host=host, port=int(port), user=user, password=password, database=name).cursor()
for statement in open(*file) if file else ["SELECT version_num FROM alembic_version"]:
    cursor.execute(statement)
"""


@dataclass(frozen=True)
class Arena:
    """The gate's package in a folder of its own, and one virtual environment with what both need."""

    lib: Path
    venv: Path

    @classmethod
    def build(cls, folder: Path) -> "Arena":
        """Copy the gate as the Dockerfile does, and have the environment with everything of `requirements.txt`."""
        venv = ensure_venv("alembic", ["--require-hashes", "--requirement", str(ROOT / "requirements.txt")])
        lib = folder / "lib"
        shutil.copytree(ROOT / "alembic_gate", lib / "alembic_gate", ignore=shutil.ignore_patterns("__pycache__"))
        subprocess.run([PYTHON, *COMPILE, str(lib)], check=True)
        return cls(lib, venv)

    @property
    def packages(self) -> Path:
        """Where the environment has its packages."""
        return next(self.venv.glob("lib/python*/site-packages"))

    def versions(self) -> dict[str, str]:
        """Return the version of each package."""
        return {each.name: each.version for each in distributions(path=[str(self.packages)]) if each.name != "pip"}

    def interpreter(self, *words: str | Path, env: dict[str, str] | None = None, cwd: Path = Path("/")) -> Command:
        """Start the interpreter as the image does, with the gate and its libraries in reach."""
        path = {"PYTHONPATH": f"{self.lib}:{self.packages}"}
        return Command([PYTHON, FLAGS, *words], {**ENVIRONMENT, **path, **(env or {})}, cwd)

    def gate(self, folder: Path, url: str) -> Command:
        """Start the gate as the image's ENTRYPOINT does."""
        return self.interpreter(ROOT / "entrypoint.py", env={"DATABASE_URL": url}, cwd=folder)

    def gate_by_pip(self, folder: Path, url: str) -> Command:
        """Start the gate in a virtual environment, where `site` runs."""
        env = {"DATABASE_URL": url, "PYTHONPATH": str(self.lib)}
        return Command([self.venv / "bin/python", "-m", "alembic_gate"], env, folder)

    def raw_client(self, database: Database, *statements: Path) -> Command:
        """Start the bare client, which reads the version, or sends the lines of a file."""
        server = database.server
        account = (server.host, str(server.port), database.user, database.password, database.name)
        return self.interpreter("-c", RAW_CLIENT, *account, *statements)

    def alembic(self, folder: Path, url: str) -> Command:
        """Start plain Alembic by its own console script."""
        return Command([self.venv / "bin/alembic", "upgrade", "head"], {"DATABASE_URL": url}, folder)


def ensure_venv(name: str, requirements: list[str]) -> Path:
    """Return a virtual environment with these requirements (pip's words), all of it compiled; raises CannotInstall."""
    content = "".join(Path(word).read_text() if Path(word).is_file() else word for word in requirements)
    key = hashlib.sha256(f"{platform.python_version()} {content}".encode()).hexdigest()[:8]
    venv = CACHE / "bench" / f"{name}-{key}"
    done = venv / ".installed"  # scripts have the path in them, so an unfinished one cannot be moved into place
    with one_at_a_time(f"bench-{name}"):
        if not done.exists():
            shutil.rmtree(venv, ignore_errors=True)
            pip = [str(venv / "bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
            for words in (
                [PYTHON, "-m", "venv", str(venv)],
                # Where venv brings it, its .pth file slows every start.
                [*pip, "uninstall", "--yes", "setuptools"],
                [*pip, "install", *requirements],
                [PYTHON, *COMPILE, str(venv)],
            ):
                ended = subprocess.run(words, capture_output=True, text=True, check=False)
                if ended.returncode:
                    raise CannotInstall(f"{name} cannot be installed by pip: {ended.stderr.strip()[-300:]}")
            done.touch()
    return venv
