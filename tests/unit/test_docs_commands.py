"""Each command that the documentation shows exists, and its arguments are understood; integration tests run them."""

import re
import shlex
import subprocess

import pytest
import yaml
from alembic.config import CommandLine

from alembic_gate.cli import _parser
from alembic_gate.settings import VARIABLES
from tests.support.documentation import Block, commands, page, pages
from tests.support.gate import ROOT

COMMANDS = [(str(one), command) for one in pages() for block in one.blocks("sh") for command in commands(block)]


def of(program: str) -> list[tuple[str, str]]:
    found = [(one, command) for one, command in COMMANDS if shlex.split(command)[0] == program]
    assert found, f"no page shows {program}"
    return found


def in_prose(program: str) -> list[str]:
    """Commands in backticks within the text, without placeholders such as `<revision>`."""
    found = [code for one in pages() for code in re.findall(rf"`({program} [^`]+)`", one.prose)]
    return [code for code in found if not re.search(r"[<…|\[]|\bFILE\b", code)]


def test_no_shell_block_shows_a_program_that_no_test_knows():
    known = {"make", "alembic-gate", "alembic", "docker", "python", "export", "kubectl", "helm"}
    assert {shlex.split(command)[0] for _, command in COMMANDS} <= known


@pytest.mark.parametrize(("_page", "command"), of("make"))
def test_make_knows_the_target(_page, command):
    subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, check=True, capture_output=True, text=True)


@pytest.mark.parametrize(
    "command", sorted({command for _, command in of("alembic-gate")} | set(in_prose("alembic-gate")))
)
def test_the_gate_understands_its_arguments(command):
    _parser().parse_args(shlex.split(command)[1:])


@pytest.mark.parametrize("command", sorted({command for _, command in of("alembic")} | set(in_prose("alembic"))))
def test_alembic_understands_its_arguments(command):
    _, verb, *arguments = shlex.split(command)
    if arguments:
        CommandLine().parser.parse_args([verb, *arguments])
    else:  # in prose, a verb alone is the verb's name
        with pytest.raises(SystemExit) as ended:
            CommandLine().parser.parse_args([verb, "--help"])
        assert ended.value.code == 0


@pytest.mark.parametrize(("_page", "command"), of("python"))
def test_modules_that_are_run_exist(_page, command):
    _, flag, module, *_ = shlex.split(command)
    assert flag == "-m"
    assert (ROOT / (module.replace(".", "/") + ".py")).is_file() or (ROOT / module.replace(".", "/")).is_dir()


def test_variables_that_are_shown_are_settings():
    named = set()
    for one in pages():
        named |= set(re.findall(r"\b(?:GATE|MYSQL|DATABASE|ALEMBIC)_[A-Z_]+(?<!_)", one.text))
    others = {"MYSQL_ROOT_PASSWORD", "GATE_PORT", "GATE_SERVICE_HOST", "MYSQL_SSL"}
    assert {name for name in named if name.removesuffix("_FILE") not in VARIABLES} <= others


def test_the_image_that_the_documentation_builds_is_a_stage_of_the_dockerfile():
    stages = set(re.findall(r"^FROM \S+ AS (\w+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE))
    targets = {target for one in pages() for target in re.findall(r"--target (\w+)", one.text)}
    assert targets
    assert targets <= stages


def test_what_is_built_from_the_gate_is_what_the_image_tests_build():
    readme = page("README.md").blocks("dockerfile")[0].text
    assert readme == page("docs/bring-your-own.md").blocks("dockerfile")[0].text
    tested = (ROOT / "tests/image/test_bring_your_own.py").read_text(encoding="utf-8")
    for line in readme.strip().splitlines()[1:]:
        assert line in tested, line


def test_compose_knows_the_services_that_the_documentation_speaks_of():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    conditions = services["app"]["depends_on"].values()
    assert {"condition": "service_completed_successfully"} in conditions
    for _, command in of("docker"):
        words = shlex.split(command)
        if words[1] == "compose":
            assert set(words[3:]) <= {"--build", *services}


def test_yaml_that_is_shown_is_yaml():
    for one in pages():
        for block in one.blocks("yaml"):
            assert list(yaml.safe_load_all(block.text)), f"{one}: {block.text[:40]}"


def test_python_that_is_shown_compiles():
    for one in pages():
        for block in one.blocks("python"):
            compile(block.text, str(one), "exec")


def test_comments_are_no_part_of_a_command():
    assert commands(Block("sh", "# why\nmake run   # a server\nalembic-gate status --json\n\n")) == [
        "make run",
        "alembic-gate status --json",
    ]


def test_command_on_several_lines_is_one_and_what_it_is_fed_is_none():
    text = "helm upgrade shop \\\n  --wait\nkubectl create --filename - <<'END'\nkind: Pod\nEND\nmake run\n"
    assert commands(Block("sh", text)) == [
        "helm upgrade shop --wait",
        "kubectl create --filename - <<'END'",
        "make run",
    ]
