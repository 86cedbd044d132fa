"""Whatever the chart and the overlays render: valid for old and new Kubernetes, restricted, and without known traps."""

import re
from functools import cache
from pathlib import Path

import kubernetes_validate
import pytest

from alembic_gate.exits import ExitCode
from tests.k8s.restricted import violations
from tests.support.machine import ensure_helm, require
from tests.support.manifests import (
    BASE,
    OVERLAYS,
    VALUE_FILES,
    Manifest,
    containers_of,
    described,
    ensure_kustomize,
    pod_specs,
    rendered_chart,
    rendered_folder,
)

FOLDERS = [BASE, *sorted(path.parent for path in OVERLAYS.glob("*/kustomization.yaml"))]
RENDERINGS = {path.name.removesuffix("-values.yaml"): path for path in VALUE_FILES} | {
    str(path.relative_to(BASE.parent)): path for path in FOLDERS
}
VERSIONS = ["1.31", kubernetes_validate.latest_version()]
A_DAY = 86400


@cache
def rendered(path: Path) -> list[Manifest]:
    if path.is_dir():
        require(ensure_kustomize)
        return rendered_folder(path)
    require(ensure_helm)
    return rendered_chart("--values", path)


@pytest.fixture(params=RENDERINGS)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    """What each value file, the base and each overlay render, in turn."""
    return rendered(RENDERINGS[request.param])


def jobs_of(manifests: list[Manifest]) -> list[Manifest]:
    return [each for each in manifests if each["kind"] == "Job"]


def gates_of(manifests: list[Manifest]) -> list[Manifest]:
    return [each for _, pod in pod_specs(manifests) for each in containers_of(pod) if each["name"] == "gate"]


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(manifests: list[Manifest], version: str) -> None:
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_nothing_is_made_twice(manifests: list[Manifest]) -> None:
    names = described(manifests)

    assert len(names) == len(set(names))


def test_every_pod_keeps_to_the_restricted_standard(manifests: list[Manifest]) -> None:
    assert {name: violations(pod) for name, pod in pod_specs(manifests) if violations(pod)} == {}


def test_no_container_can_write_to_its_image(manifests: list[Manifest]) -> None:
    for name, pod in pod_specs(manifests):
        for container in containers_of(pod):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, (name, container["name"])


def test_every_container_says_what_it_needs(manifests: list[Manifest]) -> None:
    for name, pod in pod_specs(manifests):
        for container in containers_of(pod):
            resources = container["resources"]
            assert {"cpu", "memory"} <= resources.get("requests", {}).keys() | resources["limits"].keys(), name
            assert "memory" in resources["limits"], name


def test_no_pod_carries_a_token_or_the_addresses_of_services(manifests: list[Manifest]) -> None:
    for name, pod in pod_specs(manifests):
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
    for account in manifests:
        assert account["kind"] != "ServiceAccount" or account["automountServiceAccountToken"] is False


def test_reason_of_a_failure_is_kept_with_the_pod(manifests: list[Manifest]) -> None:
    gates = gates_of(manifests)

    assert gates
    assert {gate["terminationMessagePolicy"] for gate in gates} == {"FallbackToLogsOnError"}


def test_nothing_ends_a_migration_because_it_takes_long(manifests: list[Manifest]) -> None:
    for gate in gates_of(manifests):
        assert not gate.keys() & {"livenessProbe", "readinessProbe", "startupProbe", "lifecycle"}


def test_migration_is_not_throttled_unless_somebody_asks_for_it(manifests: list[Manifest]) -> None:
    asked = manifests == rendered(RENDERINGS["everything"])

    assert asked == any("cpu" in gate["resources"]["limits"] for gate in gates_of(manifests))


def test_application_is_not_restarted_because_the_database_is_away(manifests: list[Manifest]) -> None:
    for _, pod in pod_specs(manifests):
        for app in (container for container in containers_of(pod) if container["name"] == "app"):
            assert app["livenessProbe"]["httpGet"]["path"] == "/live"
            assert app["readinessProbe"]["httpGet"]["path"] == "/ready"


def test_finished_job_goes_by_itself_but_not_before_somebody_has_looked(manifests: list[Manifest]) -> None:
    # "everything" has another value than the default wherever there is one.
    for job in jobs_of(manifests) if manifests != rendered(RENDERINGS["everything"]) else ():
        assert job["spec"].get("ttlSecondsAfterFinished", A_DAY) >= A_DAY


def test_image_that_a_node_may_keep_says_which_it_is(manifests: list[Manifest]) -> None:
    for gate in gates_of(manifests):
        assert re.search(r"(:(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})$", gate["image"])


def test_there_is_time_to_end_a_statement_in_the_server(manifests: list[Manifest]) -> None:
    for name, pod in pod_specs(manifests):
        if any(container["args"][0] == "upgrade" for container in containers_of(pod) if container["name"] == "gate"):
            assert pod["terminationGracePeriodSeconds"] >= 60, name


@pytest.mark.I6
def test_codes_that_no_retry_can_mend_end_the_job_and_the_others_are_tried_again(manifests: list[Manifest]) -> None:
    hopeless = {int(code) for code in ExitCode if code and not code.retry_helps}

    for job in jobs_of(manifests):
        fatal, disrupted = job["spec"]["podFailurePolicy"]["rules"]
        assert set(fatal["onExitCodes"]["values"]) == hopeless
        assert fatal["onExitCodes"]["operator"] == "In"
        assert fatal["onExitCodes"]["containerName"] in {
            container["name"] for container in job["spec"]["template"]["spec"]["containers"]
        }
        assert disrupted == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


def test_share_that_fails_does_not_stop_the_others(manifests: list[Manifest]) -> None:
    for job in jobs_of(manifests):
        spec = job["spec"]
        indexed = spec.get("completionMode") == "Indexed"
        assert spec["podFailurePolicy"]["rules"][0]["action"] == ("FailIndex" if indexed else "FailJob")
        assert ("backoffLimitPerIndex" if indexed else "backoffLimit") in spec
        assert ("backoffLimit" if indexed else "backoffLimitPerIndex") not in spec


@pytest.mark.I2
def test_new_pod_of_a_job_starts_only_when_the_old_one_has_ended(manifests: list[Manifest]) -> None:
    for job in jobs_of(manifests):
        assert job["spec"]["podReplacementPolicy"] == "Failed"
        # A policy for failed pods needs pods that stay failed.
        assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_job_has_an_end(manifests: list[Manifest]) -> None:
    for job in jobs_of(manifests):
        assert job["spec"]["activeDeadlineSeconds"] > 0


def test_many_databases_are_shared_out_by_the_number_of_completions(manifests: list[Manifest]) -> None:
    for job in jobs_of(manifests):
        (gate,) = job["spec"]["template"]["spec"]["containers"]
        told = [entry["value"] for entry in gate["env"] if entry["name"] == "JOB_COMPLETIONS"]
        assert told == ([str(job["spec"]["completions"])] if "completions" in job["spec"] else [])


def test_every_job_reaches_the_database_and_dns_alone(manifests: list[Manifest]) -> None:
    policies = [each["spec"] for each in manifests if each["kind"] == "NetworkPolicy"]

    for job in jobs_of(manifests):
        labels = job["spec"]["template"]["metadata"]["labels"].items()
        (policy,) = (each for each in policies if each["podSelector"]["matchLabels"].items() <= labels)
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        assert "ingress" not in policy
        ports = [[(port["protocol"], port["port"]) for port in rule["ports"]] for rule in policy["egress"]]
        assert len(ports) == 2
        assert ports[0][0][0] == "TCP"
        assert len(ports[0]) == 1
        assert ports[1] == [("UDP", 53), ("TCP", 53)]
