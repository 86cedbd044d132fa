"""What the image is made of: small, compiled, for a numeric user, and without the tools that built it."""

import json
import re
from typing import Any

import pytest

from tests.support.containers import podman, run_container, size_above_base
from tests.support.database import Database
from tests.support.figures import keep

LARGEST_BYTES = 50_000_000


@pytest.fixture(scope="module")
def configuration(image: str) -> dict[str, Any]:
    """The image's configuration, as a runtime reads it."""
    (inspected,) = json.loads(podman("image", "inspect", image).stdout)
    found: dict[str, Any] = inspected["Config"]
    return found


def test_layers_above_the_base_stay_below_fifty_megabytes(image: str) -> None:
    size = size_above_base(image)
    keep("image", {"bytes_above_base": size, "limit_bytes": LARGEST_BYTES})
    print(f"image: {size / 1e6:.1f} MB above its base, at most {LARGEST_BYTES / 1e6:.0f}")

    assert size <= LARGEST_BYTES


def test_user_is_numeric_so_that_run_as_non_root_can_be_verified(configuration: dict[str, Any]) -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", configuration["User"])


def test_entrypoint_is_the_process_itself_and_no_shell(configuration: dict[str, Any]) -> None:
    assert configuration["Entrypoint"] == ["/opt/alembic-gate/entrypoint.py"]
    assert configuration.get("Cmd") is None
    assert configuration["WorkingDir"] == "/app"


def test_environment_is_the_interpreters_and_names_no_database(configuration: dict[str, Any]) -> None:
    environment = dict(entry.split("=", 1) for entry in configuration["Env"])

    assert environment.items() >= {("PYTHONHASHSEED", "0"), ("PYTHONUNBUFFERED", "1"), ("PYTHONDONTWRITEBYTECODE", "1")}
    assert not [name for name in environment if name.startswith(("MYSQL_", "DATABASE_", "GATE_", "PIP_"))]


def test_labels_say_what_the_image_is(configuration: dict[str, Any]) -> None:
    names = {name.removeprefix("org.opencontainers.image.") for name in configuration["Labels"]}

    assert names >= {"title", "description", "licenses", "version", "revision", "created", "source"}


@pytest.mark.parametrize("tool", ["pip", "pip3", "gcc", "cc", "ld", "strip", "apt-key"])
def test_tool_of_the_build_is_not_there(image: str, tool: str) -> None:
    process = run_container(image, "-c", f"command -v {tool}", entrypoint="sh")

    assert process.returncode != 0
    assert process.stdout == ""


@pytest.mark.parametrize("module", ["pip", "ensurepip", "setuptools", "wheel"])
def test_module_that_installs_others_is_not_there(image: str, module: str) -> None:
    process = run_container(image, "-c", f"import {module}", entrypoint="python")

    assert process.returncode == 1
    assert "ModuleNotFoundError" in process.stderr


def test_nothing_but_what_is_named_enters_the_image(image: str) -> None:
    listed = run_container(image, "-c", "cd /app && find . -type f ! -name '*.pyc'", entrypoint="sh").stdout.split()

    kinds = {re.sub(r"versions/\w+\.py$", "versions/….py", path) for path in listed}
    assert kinds == {
        "./alembic-gate.manifest",
        "./alembic.ini",
        "./migrations/env.py",
        "./migrations/script.py.mako",
        "./migrations/versions/….py",
        "./model/__init__.py",
        "./model/base.py",
        "./model/role.py",
        "./model/user.py",
    }


def test_its_user_can_change_nothing_in_it(image: str) -> None:
    search = "find /app /opt /usr -xdev ( -writable -o -user 65532 ) -not -type l"

    process = run_container(image, *search.split()[1:], entrypoint="find", options=["--read-only=false"])

    assert process.returncode == 0, process.stderr
    assert process.stdout == ""


@pytest.mark.parametrize("verb", ["upgrade", "status"])
def test_no_module_is_compiled_when_it_starts(image: str, database: Database, verb: str) -> None:
    run_container(image, env=database.env())
    if verb == "upgrade":
        database.query("DROP TABLE alembic_gate_revision, alembic_version, roles, user")

    process = run_container(image, verb, env=database.env() | {"PYTHONVERBOSE": "1"})

    assert process.returncode == 0, process.stderr
    # Python says "code object from '….py'" for what it had to compile, and '….pyc' for what it only read.
    assert re.findall(r"^# code object from '?(.*\.py)'?$", process.stderr, re.MULTILINE) == []
    assert "entrypoint" in process.stderr or ".pyc" in process.stderr


def test_scripts_start_the_interpreter_without_site(image: str) -> None:
    first_line = run_container(image, "-1", "/opt/alembic-gate/entrypoint.py", entrypoint="head").stdout

    assert first_line == "#!/usr/local/bin/python -SP\n"
