"""The checker of the restricted Pod Security Standard finds what the standard forbids, and nothing else."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.k8s.restricted import violations
from tests.support.manifests import Manifest

GOOD: Manifest = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "initContainers": [
        {"name": "gate", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
    ],
    "containers": [
        {
            "name": "app",
            "ports": [{"containerPort": 8000}],
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "runAsUser": 65532,
                "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
            },
        }
    ],
    "volumes": [{"name": "list", "configMap": {"name": "list"}}, {"name": "scratch", "emptyDir": {}}],
}

FORBIDDEN: dict[str, Callable[[Any], object]] = {
    "host network": lambda pod: pod.update(hostNetwork=True),
    "host processes": lambda pod: pod.update(hostPID=True),
    "a path of the host": lambda pod: pod["volumes"].append({"name": "root", "hostPath": {"path": "/"}}),
    "a port of the host": lambda pod: pod["containers"][0]["ports"][0].update(hostPort=80),
    "privileged": lambda pod: pod["containers"][0]["securityContext"].update(privileged=True),
    "escalation not switched off": lambda pod: pod["initContainers"][0]["securityContext"].pop(
        "allowPrivilegeEscalation"
    ),
    "no security context": lambda pod: pod["initContainers"][0].pop("securityContext"),
    "capabilities kept": lambda pod: pod["containers"][0]["securityContext"]["capabilities"].pop("drop"),
    "a capability added": lambda pod: pod["containers"][0]["securityContext"]["capabilities"]["add"].append("SYS_TIME"),
    "root by number": lambda pod: pod["containers"][0]["securityContext"].update(runAsUser=0),
    "root for all": lambda pod: pod["securityContext"].update(runAsUser=0),
    "root not ruled out": lambda pod: pod["securityContext"].pop("runAsNonRoot"),
    "root not ruled out for one": lambda pod: pod["containers"][0]["securityContext"].update(runAsNonRoot=False),
    "no seccomp profile": lambda pod: pod["securityContext"].pop("seccompProfile"),
    "seccomp off for one": lambda pod: pod["containers"][0]["securityContext"].update(
        seccompProfile={"type": "Unconfined"}
    ),
    "AppArmor off": lambda pod: pod["securityContext"].update(appArmorProfile={"type": "Unconfined"}),
    "an SELinux role": lambda pod: pod["securityContext"].update(seLinuxOptions={"role": "sysadm_r"}),
    "a sysctl": lambda pod: pod["securityContext"].update(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
    "proc unmasked": lambda pod: pod["containers"][0]["securityContext"].update(procMount="Unmasked"),
    "a probe of another host": lambda pod: pod["containers"][0]["readinessProbe"]["httpGet"].update(host="10.0.0.1"),
}


def test_pod_that_keeps_to_the_standard_passes() -> None:
    assert violations(GOOD) == []


@pytest.mark.parametrize("what", FORBIDDEN)
def test_what_the_standard_forbids_is_found(what: str) -> None:
    pod = copy.deepcopy(GOOD)
    FORBIDDEN[what](pod)

    assert violations(pod)
