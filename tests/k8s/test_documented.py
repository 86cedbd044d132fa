"""docs/kubernetes.md does what it says: its blocks are taken out of the page and run, rendered, or played."""

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import Any
from xml.etree import ElementTree

import kubernetes_validate
import pytest
import yaml

from alembic_gate.exits import ExitCode
from tests.k8s.conftest import GATE
from tests.k8s.empty_cluster import empty_cluster
from tests.k8s.kubelet import PodOnNode, kubelet
from tests.k8s.restricted import violations
from tests.k8s.scenes import pod_of, wait_until_ready
from tests.support.database import Database
from tests.support.documentation import HERE_DOCUMENT, commands, page
from tests.support.gate import ROOT
from tests.support.machine import ensure_helm, require
from tests.support.manifests import (
    CHART,
    OVERLAYS,
    Manifest,
    described,
    ensure_kustomize,
    environment_of,
    find,
    helm,
    kinds,
    manifests_in,
    pod_specs,
    rendered_chart,
    rendered_folder,
)
from tests.support.ports import free_port

PAGE = page("docs/kubernetes.md")
BLOCKS = [block for block in PAGE.blocks("sh") if "export REGISTRY=" in block.text]
COMMANDS = [command for block in PAGE.blocks("sh") for command in commands(block)]
PROGRAMS = ("docker", "kubectl", "helm")
# "create" has verbs of its own below it, as have some of those.
VERBS = {
    "apply", "create", "delete", "describe", "generic", "get", "label", "logs", "rollout", "secret", "status", "test",
    "upgrade", "wait",
}  # fmt: skip

# Notes how it was called and what it was fed, and does nothing.
RECORDER = """\
#!{python}
import json, os, sys
call = [os.path.basename(sys.argv[0]), *sys.argv[1:]], sys.stdin.read()
with open({calls!r}, "a") as file:
    print(json.dumps(call), file=file)
"""

on_one_server = pytest.mark.parametrize("server_kind", ["mysql"], indirect=True, scope="session")


@dataclass(frozen=True)
class Call:
    """A program that the copied block has started."""

    words: list[str]
    fed: str

    def option(self, name: str) -> str:
        return self.words[self.words.index(name) + 1]


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[Call]:
    """What the one block to copy starts, run by a shell from the repository's root, word for word."""
    (block,) = BLOCKS
    folder = tmp_path_factory.mktemp("programs")
    noted = folder / "calls"
    for name in PROGRAMS:
        (folder / name).write_text(RECORDER.format(python=sys.executable, calls=str(noted)), encoding="utf-8")
        (folder / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    shell = ["bash", "-euo", "pipefail", "-c", block.text]
    subprocess.run(shell, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, check=True, timeout=60)
    return [Call(*json.loads(line)) for line in noted.read_text(encoding="utf-8").splitlines()]


def the(calls: list[Call], *words: str) -> Call:
    (found,) = (call for call in calls if call.words[: len(words)] == list(words))
    return found


def values_of_the_secret(calls: list[Call]) -> dict[str, str]:
    return dict(line.split("=", 1) for line in the(calls, "kubectl", "create", "secret").fed.splitlines())


@pytest.fixture(scope="module")
def release(calls: list[Call]) -> list[Manifest]:
    """What Helm would install for the block's own command, hooks included, in a cluster that holds nothing."""
    require(ensure_helm)
    words = [str(CHART) if word == "k8s/chart" else word for word in the(calls, "helm").words[1:]]
    assert str(CHART) in words
    # The API server there has no schemas; test_every_rendering.py has.
    plan = ["--dry-run=client", "--output=json", "--disable-openapi-validation"]
    with empty_cluster() as url:
        done = helm(*words, *plan, f"--kube-apiserver={url}")
    assert done.returncode == 0, done.stderr
    planned = json.loads(done.stdout)
    hooks = [yaml.safe_load(hook["manifest"]) for hook in planned["hooks"]]
    assert [hook["kind"] for hook in hooks if "pre-install" in hook["metadata"]["annotations"]["helm.sh/hook"]]
    return hooks + manifests_in(planned["manifest"])


def seconds(duration: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([ms])", duration).groups()  # type: ignore[union-attr]
    return int(number) * {"m": 60, "s": 1}[unit]


# -- the one block to copy --------------------------------------------------------------------------------------------


def test_images_that_the_block_builds_are_pushed_and_run(calls: list[Call], release: list[Manifest]) -> None:
    built = {call.option("--tag") for call in calls if call.words[:2] == ["docker", "build"]}
    pushed = {call.words[2] for call in calls if call.words[:2] == ["docker", "push"]}
    run = {container["image"] for _, pod in pod_specs(release) for container in pod["containers"]}

    assert built == pushed == run
    assert {call.words[-1] for call in calls if call.words[:2] == ["docker", "build"]} == {"."}
    (dockerfile,) = (call.option("--file") for call in calls if "--file" in call.words)
    assert dockerfile == "examples/app/Dockerfile"
    assert (ROOT / dockerfile).is_file()


def test_namespace_of_the_block_admits_what_helm_installs(calls: list[Call], release: list[Manifest]) -> None:
    name = the(calls, "kubectl", "create", "namespace").words[-1]
    labelled = the(calls, "kubectl", "label", "namespace")

    assert labelled.words[3:] == [name, "pod-security.kubernetes.io/enforce=restricted"]
    assert {name} == {call.option("--namespace") for call in calls if "--namespace" in call.words}
    assert {where: violations(pod) for where, pod in pod_specs(release) if violations(pod)} == {}


def test_secret_of_the_block_is_the_one_that_every_container_reads(calls: list[Call], release: list[Manifest]) -> None:
    secret = the(calls, "kubectl", "create", "secret").words[4]

    containers = [each for _, pod in pod_specs(release) for each in pod.get("initContainers", []) + pod["containers"]]
    assert len(containers) == 4, "the Job's, the pods' two, the chart test's"
    for container in containers:
        assert container["envFrom"] == [{"secretRef": {"name": secret}}]
    assert "Secret" not in kinds(release)


@pytest.mark.I5
def test_kubectl_takes_the_lines_of_the_secret_as_they_are(calls: list[Call]) -> None:
    password = "p@ss \"w'rd%{{ nothing }}#ü\\=$HOME "
    call = the(calls, "kubectl", "create", "secret")
    assert not any("MYSQL" in word for word in call.words), "anybody on the machine sees a program's arguments"
    fed = re.sub(r"^MYSQL_PASSWORD=.*$", lambda _: f"MYSQL_PASSWORD={password}", call.fed, flags=re.MULTILINE)
    command = [kubectl(), *call.words[1:], "--dry-run=client", "--output=json"]
    done = subprocess.run(command, input=fed, capture_output=True, text=True, check=True, timeout=60)

    made = {name: base64.b64decode(value).decode() for name, value in json.loads(done.stdout)["data"].items()}
    assert made == values_of_the_secret(calls) | {"MYSQL_PASSWORD": password}


def test_helm_waits_longer_than_the_job_and_its_pod_may_take(calls: list[Call], release: list[Manifest]) -> None:
    spec = find(release, "Job")["spec"]
    patience = seconds(the(calls, "helm").option("--timeout"))

    grace = spec["template"]["spec"]["terminationGracePeriodSeconds"]
    assert spec["activeDeadlineSeconds"] + grace < patience
    assert "--wait" in the(calls, "helm").words


@pytest.fixture
def secrets(calls: list[Call], database: Database) -> dict[str, dict[str, str]]:
    """The block's Secret, with only the values edited."""
    values = database.parts()
    assert values_of_the_secret(calls).keys() == values.keys()
    return {the(calls, "kubectl", "create", "secret").words[4]: values}


@pytest.fixture
def pulled(calls: list[Call], node_images: dict[str, str]) -> dict[str, str]:
    """The images that the block has pushed, and those under test that stand for them: the gate's, the application's."""
    pushed = [call.words[2] for call in calls if call.words[:2] == ["docker", "push"]]
    return dict(zip(pushed, node_images.values(), strict=True))


@on_one_server
@pytest.mark.I6
def test_release_of_the_block_upgrades_and_then_starts_the_application(
    release: list[Manifest], secrets: dict[str, dict[str, str]], pulled: dict[str, str]
) -> None:
    port = free_port()

    with kubelet(pulled) as node:
        hook = node.start(pod_of(release, "Job"), secrets=secrets)
        assert hook.wait_for_exit() == 0, hook.log("gate")
        assert_logged_as_documented(hook)

        pod = node.start(pod_of(release, "Deployment"), secrets=secrets, environment={"PORT": str(port)})
        assert pod.wait_for_exit() == 0, pod.log("gate")
        assert wait_until_ready(port, lambda: pod.log("app")) == {"ready": True}

        (test,) = (spec for name, spec in pod_specs(release) if name.startswith("Pod/"))
        asked = node.start(test, secrets=secrets)
        assert asked.wait_for_exit() == 0, asked.log("gate")


@on_one_server
@pytest.mark.I6
def test_failing_revision_ends_the_release_of_the_block_before_the_application(
    release: list[Manifest], secrets: dict[str, dict[str, str]], pulled: dict[str, str], failing_image: str
) -> None:
    gate, app = pulled
    (fatal, _) = find(release, "Job")["spec"]["podFailurePolicy"]["rules"]

    with kubelet(pulled | {gate: failing_image}) as node:
        hook = node.start(pod_of(release, "Job"), secrets=secrets)
        code = hook.wait_for_exit()
        # Helm sends nothing more after that. Whoever starts the pods all the same sees them wait, and give up.
        pod = node.start(pod_of(release, "Deployment"), secrets=secrets, environment={"GATE_WAIT_TIMEOUT_SECONDS": "1"})

        assert code == ExitCode.REVISION_FAILED, hook.log("gate")
        assert documented_codes()[code] == "fails at once"
        assert code in fatal["onExitCodes"]["values"]
        assert fatal["action"] == "FailJob"
        assert pod.wait_for_exit() == ExitCode.NOT_AT_TARGET, pod.log("gate")
        assert not pod.has_started("app"), app


def assert_logged_as_documented(pod: PodOnNode) -> None:
    """Compare what the page shows of the log with a real one: all but times."""
    timeless = {"time": "", "seconds": 0}

    def lines(text: str) -> list[dict[str, Any]]:
        found = [json.loads(line) | timeless for line in text.splitlines() if '"level": "info"' in line]
        return [line | {"message": re.sub(r"\d+\.\d\d s", "… s", line["message"])} for line in found]

    (shown,) = PAGE.blocks("json")
    assert lines(pod.log("gate")) == lines(shown.text)


# -- the other blocks -------------------------------------------------------------------------------------------------


def test_values_that_are_shown_are_those_of_the_charts_files() -> None:
    shown = [yaml.safe_load(block.text) for block in PAGE.blocks("yaml")]
    by_kind = {each["kind"]: each["spec"] for each in shown if "kind" in each}

    assert by_kind["Application"]["source"]["helm"]["valuesObject"] == values_in_file("argocd")
    assert by_kind["Application"]["source"]["path"] == str(CHART.relative_to(ROOT))
    assert by_kind["HelmRelease"]["values"] == values_in_file("hook")
    assert values_in_file("job-and-wait") in shown
    assert {"databases": values_in_file("many-databases")["databases"]} in shown


def values_in_file(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CHART / f"ci/{name}-values.yaml").read_text(encoding="utf-8"))
    return found


def test_flux_waits_longer_than_the_job_and_its_pod_may_take() -> None:
    (release,) = (block.text for block in PAGE.blocks("yaml") if "kind: HelmRelease" in block.text)
    spec = find(rendered_chart("--values", CHART / "ci/hook-values.yaml"), "Job")["spec"]

    grace = spec["template"]["spec"]["terminationGracePeriodSeconds"]
    assert spec["activeDeadlineSeconds"] + grace < seconds(yaml.safe_load(release)["spec"]["timeout"])


def test_init_container_to_copy_is_that_of_the_overlay() -> None:
    require(ensure_kustomize)
    (shown,) = (block.text for block in PAGE.blocks("yaml") if block.text.startswith("initContainers:"))
    expected = pod_of(rendered_folder(OVERLAYS / "job-and-wait"), "Deployment")["initContainers"]

    (container,) = yaml.safe_load(shown)["initContainers"]
    (source,) = container["envFrom"]
    container |= {"image": GATE}
    source["secretRef"]["name"] = source["secretRef"]["name"].removeprefix("shop-")
    assert [container] == expected


@cache
def overlays() -> list[Manifest]:
    require(ensure_kustomize)
    return [each for folder in OVERLAYS.iterdir() for each in rendered_folder(folder)]


def pod_by_hand() -> Manifest:
    fed = [found["body"] for block in PAGE.blocks("sh") for found in HERE_DOCUMENT.finditer(block.text)]
    (text,) = (each for each in fed if "kind: Pod" in each)
    pod: Manifest = yaml.safe_load(text)
    return pod


def test_whatever_a_command_names_exists(release: list[Manifest]) -> None:
    named = 0
    for command in COMMANDS:
        program, *words = shlex.split(command)
        if program not in {"kubectl", "helm"}:
            continue
        manifests = [*release, pod_by_hand()] if "shop" in words else overlays()
        for kind, name in re.findall(r"\b(job|deployment|pod)[/ ]([a-z][a-z-]+)", command):
            assert f"{kind}/{name}" in {each.lower() for each in described(manifests)}, command
            named += 1
        for folder in re.findall(r"--kustomize (\S+)", command):
            assert (ROOT / folder / "kustomization.yaml").is_file()
        for label in re.findall(r"--selector (app\S+)", command):
            assert tuple(label.split("=")) in find(manifests, "Job")["spec"]["template"]["metadata"]["labels"].items()
    assert named >= 12


def kubectl() -> str:
    found = shutil.which("kubectl")
    if not found:
        pytest.skip("kubectl is not on this machine, and no package registry has it")
    return found


@pytest.mark.parametrize("command", sorted({c for c in COMMANDS if c.startswith(("kubectl ", "helm "))}))
def test_program_knows_the_options_of_a_command(command: str) -> None:
    program, *words = shlex.split(command)
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    if words[0] == "--namespace":
        words = words[2:]
    verb = list(takewhile(lambda word: word in VERBS, words))
    assert verb, "a verb that this test does not know"
    run = [str(require(ensure_helm))] if program == "helm" else [kubectl()]
    pages = [[*verb, "--help"], *([["options"]] if program == "kubectl" else [])]
    known = "".join(
        subprocess.run([*run, *words_], capture_output=True, text=True, check=True, timeout=60).stdout
        for words_ in pages
    )

    assert given <= set(re.findall(r"--[a-z-]+", known))


def test_pod_for_a_verb_by_hand_is_one_that_a_restricted_namespace_admits() -> None:
    pod = pod_by_hand()

    kubernetes_validate.validate(pod, "1.31", strict=True)
    assert violations(pod["spec"]) == []
    assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert "serviceAccountName" not in pod["spec"], "that of a hook is gone by then"


@on_one_server
@pytest.mark.I6
def test_verb_by_hand_says_where_the_database_stands(
    secrets: dict[str, dict[str, str]], node_images: dict[str, str]
) -> None:
    pod = pod_by_hand()["spec"]

    with kubelet({pod["containers"][0]["image"]: node_images[GATE]}) as node:
        asked = node.start(pod, secrets=secrets)
        assert asked.wait_for_exit() == ExitCode.NOT_AT_TARGET, asked.log("gate")
        assert "pending:" in asked.log("gate")


# -- the tables -------------------------------------------------------------------------------------------------------


def documented_codes() -> dict[int, str]:
    """What the page says that the Job makes of each code."""
    return {int(row["code"]): row["the Job"] for row in PAGE.table("code")}


@pytest.mark.I6
def test_job_does_with_each_code_what_the_table_says() -> None:
    rules = find(rendered_chart("--values", CHART / "ci/hook-values.yaml"), "Job")["spec"]["podFailurePolicy"]["rules"]
    fatal = set(rules[0]["onExitCodes"]["values"])

    assert documented_codes() == {
        int(code): "fails at once" if code in fatal else "is tried again" for code in ExitCode if code
    }
    names = {int(row["code"]): row["name"] for row in PAGE.table("code")}
    assert names == {int(code): code.name.lower().replace("_", " ") for code in ExitCode if code}


def test_time_outs_are_those_of_the_chart_and_each_is_longer_than_those_within() -> None:
    job = find(rendered_chart("--values", CHART / "ci/hook-values.yaml"), "Job")["spec"]
    pod = job["template"]["spec"]
    rows = {row["what"].strip("`"): int(row["seconds"]) for row in PAGE.table("what")}
    waiting, turn, deadline, grace, patience = rows.values()

    assert rows["settings.gateLockTimeoutSeconds"] == int(
        environment_of(pod["containers"][0])["GATE_LOCK_TIMEOUT_SECONDS"]
    )
    assert rows["job.activeDeadlineSeconds"] == job["activeDeadlineSeconds"]
    assert rows["job.terminationGracePeriodSeconds"] == pod["terminationGracePeriodSeconds"]
    assert waiting + turn < deadline
    assert deadline + grace < patience
    assert f"**`job.backoffLimit`** ({job['backoffLimit']})" in PAGE.text


def test_picture_is_well_formed_and_is_drawn_for_light_and_dark() -> None:
    (target,) = re.findall(r"!\[[^\]]+\]\(([^)]+\.svg)\)", PAGE.text)
    path = PAGE.path.parent / target
    picture = ElementTree.parse(path).getroot()

    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    said = {each.tag.partition("}")[2] for each in picture}
    assert {"title", "desc"} <= said, "for those who cannot see it"
    assert "prefers-color-scheme: dark" in path.read_text(encoding="utf-8")
    style = picture.find("{*}style")
    assert style is not None
    styled = set(re.findall(r"^ *\.([a-z]+)", style.text or "", re.MULTILINE))
    assert {name for each in picture.iter() for name in each.get("class", "").split()} <= styled
