"""The Helm chart, rendered by Helm: hooks in the right order, credentials, refusals, both patterns, many databases."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from alembic_gate.settings import VARIABLES
from tests.support.machine import ensure_helm, require
from tests.support.manifests import (
    CHART,
    VALUE_FILES,
    Manifest,
    containers_of,
    described,
    environment_of,
    find,
    helm,
    helm_template,
    kinds,
    manifests_in,
    pod_specs,
    rendered_chart,
    with_values,
)

EXISTING = with_values(credentials__existingSecret="shop-database")
OWN = with_values(credentials__databaseUrl="mysql://shop:secret-word@db:3307/shop")
PLAIN_JOB = with_values(hook__enabled=False)
HELM_PATIENCE_SECONDS = 300
DNS = {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}


@pytest.fixture(scope="module", autouse=True)
def real_helm() -> Path:
    return require(ensure_helm)


def values_of(name: str) -> tuple[str, Path]:
    return "--values", CHART / f"ci/{name}-values.yaml"


def annotations(manifest: Manifest) -> dict[str, str]:
    found: dict[str, str] = manifest["metadata"].get("annotations", {})
    return found


def gate_of(manifest: Manifest) -> Manifest:
    (gate,) = (each for _, pod in pod_specs([manifest]) for each in containers_of(pod) if each["name"] == "gate")
    return gate


def refusal(*arguments: str) -> str:
    done = helm_template(*arguments)
    assert done.returncode != 0, done.stdout
    return done.stderr


# --- Helm itself is content ---


@pytest.mark.parametrize("values", [None, *VALUE_FILES], ids=lambda path: path.stem if path else "defaults")
def test_helm_finds_no_fault_with_the_chart(values: Path | None) -> None:
    done = helm("lint", "--strict", CHART, *(["--values", values] if values else []))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout + done.stderr


def test_chart_can_be_packaged_without_its_examples(tmp_path: Path) -> None:
    done = helm("package", CHART, "--destination", tmp_path)

    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("*.tgz")
    assert (
        helm("show", "values", archive).stdout.rstrip() == (CHART / "values.yaml").read_text(encoding="utf-8").rstrip()
    )


# --- hooks ---


def test_job_runs_before_an_install_or_upgrade_goes_on() -> None:
    job = find(rendered_chart(*EXISTING), "Job")

    assert annotations(job)["helm.sh/hook"] == "pre-install,pre-upgrade"


@pytest.mark.parametrize("weight", [0, -5, 20])
def test_what_a_hook_needs_exists_before_it(weight: int) -> None:
    values = with_values(hook__weight=weight, databases__names=["a"])
    manifests = rendered_chart(*with_values(credentials__mysqlUser="u", settings__mysqlHost="db"), *values)
    job = find(manifests, "Job")
    before = [each for each in manifests if each is not job]

    assert kinds(before) == {"ConfigMap", "NetworkPolicy", "Secret", "ServiceAccount"}
    assert int(annotations(job)["helm.sh/hook-weight"]) == weight
    for manifest in before:
        assert int(annotations(manifest)["helm.sh/hook-weight"]) < weight
        assert set(annotations(job)["helm.sh/hook"].split(",")) < set(annotations(manifest)["helm.sh/hook"].split(","))


@pytest.mark.parametrize("weight", [0, 20])
def test_chart_test_finds_what_it_needs_too(weight: int) -> None:
    manifests = rendered_chart(*OWN, *with_values(hook__weight=weight))
    pod = find(manifests, "Pod")
    account = find(manifests, "ServiceAccount", pod["spec"]["serviceAccountName"])
    secret = find(manifests, "Secret", gate_of(pod)["envFrom"][0]["secretRef"]["name"])

    assert annotations(pod)["helm.sh/hook"] == "test"
    assert gate_of(pod)["args"] == ["status"]
    for needed in (account, secret, find(manifests, "NetworkPolicy")):
        assert "test" in annotations(needed)["helm.sh/hook"].split(",")
        assert int(annotations(needed)["helm.sh/hook-weight"]) < int(annotations(pod)["helm.sh/hook-weight"])


def test_failed_job_is_kept_with_its_log() -> None:
    job = find(rendered_chart(*EXISTING), "Job")

    assert annotations(job)["helm.sh/hook-delete-policy"] == "before-hook-creation"
    assert "/hook/deletePolicy" in refusal(
        *EXISTING, *with_values(hook__deletePolicy="before-hook-creation,hook-failed")
    )
    job = find(rendered_chart(*EXISTING, *with_values(hook__deletePolicy="before-hook-creation,hook-succeeded")), "Job")
    assert annotations(job)["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"


@pytest.mark.I5
def test_secret_of_a_hook_does_not_outlive_it_and_the_application_has_its_own() -> None:
    manifests = rendered_chart(*OWN, *with_values(app__enabled=True))
    of_the_hook = find(manifests, "Secret", "shop-alembic-gate")
    of_the_application = find(manifests, "Secret", "shop-alembic-gate-app")

    # Helm removes a release's resources with it, but never what its hooks made.
    assert annotations(of_the_hook)["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
    assert annotations(of_the_application) == {}
    assert of_the_hook["stringData"] == of_the_application["stringData"]


def test_helm_waits_longer_than_the_job_may_take_and_the_job_longer_than_the_gate() -> None:
    job = find(rendered_chart(*EXISTING), "Job")
    environment = environment_of(gate_of(job))
    seconds = {name: float(environment.get(name, VARIABLES[name])) for name in VARIABLES if name.endswith("_SECONDS")}
    waiting = seconds["GATE_WAIT_TIMEOUT_SECONDS"] + seconds["GATE_LOCK_TIMEOUT_SECONDS"]

    assert waiting < job["spec"]["activeDeadlineSeconds"] < HELM_PATIENCE_SECONDS


# --- without hooks ---


def test_without_hooks_nothing_but_the_chart_test_is_one() -> None:
    manifests = rendered_chart(*OWN, *PLAIN_JOB)

    hooked = [each["kind"] for each in manifests if "helm.sh/hook" in annotations(each)]
    assert hooked == ["Pod"]


@pytest.mark.parametrize(
    "change",
    [
        with_values(image__tag="2"),
        with_values(settings__gateTarget="heads"),
        with_values(credentials__databaseUrl="mysql://shop:other@db:3307/shop"),
        with_values(databases__names=["a"]),
    ],
)
def test_ordinary_job_gets_another_name_when_it_changes_since_a_job_cannot_be_changed(change: list[str]) -> None:
    names = [
        find(rendered_chart(*OWN, *PLAIN_JOB, *values), "Job")["metadata"]["name"]
        for values in ([], with_values(app__enabled=True, commonLabels={"team": "shop"}), change)
    ]

    assert names[0] == names[1] != names[2]


def test_job_that_argo_cd_replaces_keeps_its_name() -> None:
    manifests = rendered_chart(*values_of("argocd"))
    job = find(manifests, "Job")
    needed = [each for each in manifests if each["kind"] in {"ServiceAccount", "NetworkPolicy"}]

    assert job["metadata"]["name"] == "shop-alembic-gate"
    assert len(needed) == 2
    assert annotations(job)["argocd.argoproj.io/hook"] == "PreSync"
    for manifest in needed:
        assert annotations(manifest)["argocd.argoproj.io/hook"] == "PreSync"
        wave = int(annotations(manifest)["argocd.argoproj.io/sync-wave"])
        assert wave < int(annotations(job)["argocd.argoproj.io/sync-wave"])


def test_finished_job_can_be_kept_for_gitops_tools_that_would_make_it_again() -> None:
    assert "ttlSecondsAfterFinished" in find(rendered_chart(*EXISTING), "Job")["spec"]
    assert "ttlSecondsAfterFinished" not in find(rendered_chart(*values_of("flux")), "Job")["spec"]


# --- credentials and settings ---


def test_existing_secret_is_used_whole_and_none_is_made() -> None:
    manifests = rendered_chart(*EXISTING)

    assert "Secret" not in kinds(manifests)
    assert gate_of(find(manifests, "Job"))["envFrom"] == [{"secretRef": {"name": "shop-database"}}]


def test_keys_of_somebody_elses_secret_become_our_variables() -> None:
    gate = gate_of(find(rendered_chart(*values_of("operator-secret")), "Job"))
    environment = environment_of(gate)

    assert "envFrom" not in gate
    assert environment["MYSQL_USER"] == {"secretKeyRef": {"name": "mysql-cluster-user", "key": "username"}}
    assert environment["MYSQL_PASSWORD"] == {"secretKeyRef": {"name": "mysql-cluster-user", "key": "password"}}
    assert environment["MYSQL_HOST"] == "mysql.example.internal"
    assert environment["MYSQL_PORT"] == "3307"


def test_key_of_the_secret_has_precedence_over_the_setting() -> None:
    keys = with_values(credentials__existingSecretKeys__mysqlHost="endpoint", settings__mysqlHost="other")
    environment = environment_of(gate_of(find(rendered_chart(*EXISTING, *keys), "Job")))

    assert environment["MYSQL_HOST"] == {"secretKeyRef": {"name": "shop-database", "key": "endpoint"}}


@pytest.mark.I5
def test_password_goes_through_the_secret_alone_however_odd_it_is() -> None:
    manifests = rendered_chart(*values_of("everything"))
    password = "p@ss\"w'rd%{{ nothing }}#ü"

    secret = find(manifests, "Secret", "shop")
    assert secret["stringData"] == {"MYSQL_USER": "shop", "MYSQL_PASSWORD": password}
    assert password not in json.dumps([each for each in manifests if each["kind"] != "Secret"], ensure_ascii=False)


def test_every_setting_becomes_the_variable_of_its_name() -> None:
    given = yaml.safe_load(Path(values_of("everything")[1]).read_text(encoding="utf-8"))["settings"]
    environment = environment_of(gate_of(find(rendered_chart(*values_of("everything")), "Job")))

    words = {name: "".join(f"_{c}" if c.isupper() else c for c in name).upper() for name in given}
    assert {words[name]: str(value) for name, value in given.items()}.items() <= environment.items()


def test_empty_setting_leaves_the_gates_own_default() -> None:
    environment = environment_of(gate_of(find(rendered_chart(*EXISTING), "Job")))

    assert environment == {"GATE_LOCK_TIMEOUT_SECONDS": "180", "GATE_LOG_FORMAT": "json"}


def test_certificates_are_mounted_where_the_settings_name_them() -> None:
    manifests = rendered_chart(*values_of("operator-secret"))
    (pod,) = (pod for name, pod in pod_specs(manifests) if name.startswith("Job/"))

    (mount,) = pod["containers"][0]["volumeMounts"]
    assert mount == {"name": "tls", "mountPath": "/etc/alembic-gate/tls", "readOnly": True}
    assert pod["volumes"] == [{"name": "tls", "projected": {"sources": [{"configMap": {"name": "mysql-cluster-ca"}}]}}]
    assert environment_of(pod["containers"][0])["MYSQL_SSL_CA"].startswith(mount["mountPath"])


# --- refusals: what could only fail in the cluster fails at once ---


@pytest.mark.parametrize(
    "values",
    [
        {"unknown": 1},
        {"settings__gateTimeout": 5},
        {"image__name": "gate"},
        {"app__gate__mode": "wait"},
        {"credentials__existingSecretKeys__password": "p"},
        {"resources__requets": {"cpu": 1}},
    ],
    ids=lambda values: next(iter(values)),
)
def test_unknown_value_is_refused_by_its_name(values: dict[str, Any]) -> None:
    (name,) = values

    assert name.split("__")[-1] in refusal(*EXISTING, *with_values(**values))


@pytest.mark.parametrize(
    "values",
    [
        {"settings__gateLock": "both"},
        {"settings__mysqlSslMode": "required"},
        {"settings__gateWaitTimeoutSeconds": "1m"},
        {"settings__mysqlSslCa": "ca.crt"},
        {"job__activeDeadlineSeconds": 0},
        {"job__ttlSecondsAfterFinished": 0},
        {"image__pullPolicy": "always"},
        {"image__digest": "latest"},
        {"runAsUser": 0},
        {"app__gate__verb": "downgrade"},
        {"databases__names": ["mysql://u:p@h/d"]},
        {"databases__names": ["a", "a"]},
        {"databases__shares": 0},
    ],
    ids=str,
)
def test_value_of_the_wrong_shape_is_refused(values: dict[str, Any]) -> None:
    (name,) = values

    assert name.split("__")[0] in refusal(*EXISTING, *with_values(**values))


def test_there_is_no_default_database() -> None:
    assert "credentials.existingSecret" in refusal()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*EXISTING, *OWN], "credentials.existingSecret"),
        ([*OWN, *with_values(settings__mysqlHost="db")], "mysqlHost"),
        ([*OWN, *with_values(credentials__mysqlUser="u")], "mysqlUser"),
        ([*EXISTING, *with_values(databases__names=["a"], databases__existingSecret="b")], "databases.existingSecret"),
    ],
    ids=["two secrets", "url and parts", "url and user", "two lists"],
)
def test_contradiction_is_refused(arguments: list[str], said: str) -> None:
    message = refusal(*arguments)

    assert said in message
    assert "Set" in message
    assert "secret-word" not in message


def test_kubernetes_that_lacks_what_the_job_needs_is_refused() -> None:
    assert "1.29" in refusal(*EXISTING, "--kube-version", "1.28.0")


# --- both patterns ---


def test_pattern_one_upgrades_in_every_pod_without_a_job() -> None:
    manifests = rendered_chart(*values_of("every-pod-upgrades"))
    deployment = find(manifests, "Deployment")

    assert "Job" not in kinds(manifests)
    assert gate_of(deployment)["args"] == ["upgrade"]
    assert gate_of(deployment)["image"] == "registry.example.com/shop/gate:1.2.3"


def test_pattern_two_gives_each_its_own_account() -> None:
    manifests = rendered_chart(*values_of("job-and-wait"))
    pod = find(manifests, "Deployment")["spec"]["template"]["spec"]

    def secret_of(container: Manifest) -> str:
        (source,) = container["envFrom"]
        return str(source["secretRef"]["name"])

    assert secret_of(gate_of(find(manifests, "Job"))) == "shop-database-owner"
    assert secret_of(pod["initContainers"][0]) == "shop-database-reader"
    assert secret_of(pod["containers"][0]) == "shop-database-app"
    assert pod["initContainers"][0]["args"] == ["wait"]


def test_pods_wait_at_least_as_long_as_the_job_may_take() -> None:
    manifests = rendered_chart(*EXISTING, *with_values(app__enabled=True))
    deployment = find(manifests, "Deployment")
    waiting = float(environment_of(gate_of(deployment))["GATE_WAIT_TIMEOUT_SECONDS"])

    assert find(manifests, "Job")["spec"]["activeDeadlineSeconds"] <= waiting
    assert waiting < deployment["spec"]["progressDeadlineSeconds"]


def test_rollout_may_take_longer_than_its_pods_may_wait_however_long_that_is() -> None:
    patient = with_values(app__enabled=True, app__gate__waitTimeoutSeconds=3600)
    every_pod_upgrades = with_values(app__enabled=True, app__gate__verb="upgrade", job__enabled=False)

    assert find(rendered_chart(*EXISTING, *patient), "Deployment")["spec"]["progressDeadlineSeconds"] == 3900
    assert "progressDeadlineSeconds" not in find(rendered_chart(*EXISTING, *every_pod_upgrades), "Deployment")["spec"]


def test_pods_start_anew_when_credentials_of_the_values_change() -> None:
    templates = [
        find(rendered_chart(*OWN, *with_values(app__enabled=True, **more)), "Deployment")["spec"]["template"]
        for more in ({}, {"credentials__databaseUrl": "mysql://shop:other@db:3307/shop"})
    ]

    assert templates[0] != templates[1]


def test_gate_is_reached_by_no_service_and_the_application_by_its_own() -> None:
    manifests = rendered_chart(*EXISTING, *with_values(app__enabled=True))
    selector = find(manifests, "Service")["spec"]["selector"].items()

    assert selector <= find(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    assert not selector <= find(manifests, "Job")["spec"]["template"]["metadata"]["labels"].items()


# --- many databases ---


def test_names_become_lines_of_a_file_that_each_share_reads() -> None:
    manifests = rendered_chart(*values_of("many-databases"))
    job = find(manifests, "Job")
    (pod,) = (pod for name, pod in pod_specs([job]))
    listed = find(manifests, "ConfigMap")

    assert listed["data"]["databases.txt"].splitlines() == [f"tenant_{letter}" for letter in "abcdefg"]
    assert pod["volumes"] == [{"name": "databases", "configMap": {"name": listed["metadata"]["name"]}}]
    path = "/etc/alembic-gate/databases/databases.txt"
    assert gate_of(job)["args"] == ["upgrade", "--databases", path, "--parallel", "2"]
    assert path.startswith(gate_of(job)["volumeMounts"][0]["mountPath"])
    assert (job["spec"]["completionMode"], job["spec"]["completions"], job["spec"]["parallelism"]) == ("Indexed", 4, 3)


def test_list_with_passwords_is_a_secret() -> None:
    manifests = rendered_chart(*values_of("many-servers"))
    job = find(manifests, "Job")

    assert "ConfigMap" not in kinds(manifests)
    assert job["spec"]["template"]["spec"]["volumes"] == [
        {"name": "databases", "secret": {"secretName": "shop-tenants"}}
    ]
    assert gate_of(job)["args"][2] == "/etc/alembic-gate/databases/urls"


def test_more_pods_than_shares_are_not_asked_for() -> None:
    many = with_values(databases__names=["a", "b"], databases__shares=2, databases__pods=5)

    assert find(rendered_chart(*EXISTING, *many), "Job")["spec"]["parallelism"] == 2


# --- the network ---


@pytest.mark.parametrize(
    ("values", "port"),
    [
        ([*EXISTING], 3306),
        ([*OWN], 3307),
        (with_values(credentials__databaseUrl="mysql://u:p@db/shop"), 3306),
        (with_values(credentials__databaseUrl="mysql://u:p%40:1@[::1]:3308/shop?charset=utf8mb4"), 3308),
        ([*EXISTING, *with_values(settings__mysqlPort=3309)], 3309),
        ([*OWN, *with_values(networkPolicy__databasePort=6446)], 6446),
    ],
    ids=["default", "url", "url without a port", "url with IPv6", "setting", "own"],
)
def test_network_policy_lets_the_port_of_the_database_through(values: list[str], port: int) -> None:
    policy = find(rendered_chart(*values), "NetworkPolicy")

    assert policy["spec"]["egress"] == [{"ports": [{"protocol": "TCP", "port": port}]}, DNS]


def test_network_policy_can_name_where_database_and_dns_are() -> None:
    database, dns = find(rendered_chart(*values_of("operator-secret")), "NetworkPolicy")["spec"]["egress"]

    assert database["to"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "mysql"}}}]
    assert dns["to"][0]["podSelector"] == {"matchLabels": {"k8s-app": "kube-dns"}}


def test_network_policy_leaves_the_application_alone() -> None:
    manifests = rendered_chart(*EXISTING, *with_values(app__enabled=True))
    selected = find(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items()

    assert not selected <= find(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"].items()


# --- names and users ---


def test_cluster_may_assign_the_user() -> None:
    for _, pod in pod_specs(rendered_chart(*values_of("openshift"))):
        assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_names_fit_even_for_a_long_release() -> None:
    manifests = rendered_chart(*OWN, *PLAIN_JOB, *with_values(app__enabled=True), release="r" * 53)

    assert all(len(name.partition("/")[2]) <= 63 for name in described(manifests))


def test_service_account_can_be_somebody_elses() -> None:
    manifests = rendered_chart(*EXISTING, *with_values(serviceAccount={"create": False, "name": "theirs"}))

    assert "ServiceAccount" not in kinds(manifests)
    assert find(manifests, "Job")["spec"]["template"]["spec"]["serviceAccountName"] == "theirs"


def test_label_says_which_version_it_is_whatever_the_tag() -> None:
    for tag, said in (
        ("", "0.1.0"),
        ("1.2.3", "1.2.3"),
        (f"1.2.3-{'a' * 80}_", f"1.2.3-{'a' * 57}"),
        ("2026_", "2026"),
    ):
        labels = find(rendered_chart(*EXISTING, *with_values(image__tag=tag)), "Job")["metadata"]["labels"]
        assert labels["app.kubernetes.io/version"] == said


def test_chart_runs_as_part_of_another(tmp_path: Path) -> None:
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: shop\nversion: 1.0.0\n", encoding="utf-8")
    shutil.copytree(CHART, tmp_path / "charts" / CHART.name)
    values = [word.replace("--set-json=", "--set-json=alembic-gate.") for word in EXISTING]
    done = helm("template", "shop", tmp_path, "--kube-version", "1.31", *values, "--set", "global.team=shop")

    assert done.returncode == 0, done.stderr
    assert annotations(find(manifests_in(done.stdout), "Job"))["helm.sh/hook"] == "pre-install,pre-upgrade"


# --- what Helm says afterwards ---


@pytest.fixture
def notes(tmp_path: Path) -> Callable[..., str]:
    """What NOTES.txt says, as a ConfigMap of a copy: `helm template` leaves it out, `helm install` wants a cluster."""
    chart = shutil.copytree(CHART, tmp_path / "chart")
    said = (chart / "templates" / "NOTES.txt").read_text(encoding="utf-8")
    (chart / "templates" / "said.yaml").write_text(
        '{{- define "said" -}}\n' + said + "{{- end -}}\n"
        'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: said\ndata:\n  notes: {{ include "said" . | quote }}\n',
        encoding="utf-8",
    )

    def said_for(*arguments: str) -> str:
        show = ("--kube-version", "1.31", "--namespace", "shop", "--show-only", "templates/said.yaml")
        done = helm("template", "shop", chart, *show, *arguments)
        assert done.returncode == 0, done.stderr
        return str(yaml.safe_load(done.stdout)["data"]["notes"])

    return said_for


def test_notes_say_where_the_log_is_and_how_to_ask_again(notes: Callable[..., str]) -> None:
    said = notes(*EXISTING)

    assert "kubectl --namespace shop logs job/shop-alembic-gate\n" in said
    assert "helm --namespace shop test shop --logs" in said
    assert "--timeout" not in said


def test_notes_warn_when_helm_would_lose_patience_before_the_job(notes: Callable[..., str]) -> None:
    assert "--timeout 3680s" in notes(*EXISTING, *with_values(job__activeDeadlineSeconds=3600))


def test_notes_of_an_ordinary_job_say_how_to_wait_for_it(notes: Callable[..., str]) -> None:
    said = notes(*EXISTING, *PLAIN_JOB)

    assert "wait --for=condition=complete --timeout=280s job/shop-alembic-gate-" in said


def test_notes_without_a_job_say_so(notes: Callable[..., str]) -> None:
    assert "no Job" in notes(*EXISTING, *with_values(job__enabled=False))
