"""Checks pods against the restricted Pod Security Standard, from the standard's own list of controls.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from typing import Any

from tests.support.manifests import Manifest, containers_of

VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
CAPABILITIES = {"NET_BIND_SERVICE"}
SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}  # fmt: skip
SECCOMP = {"RuntimeDefault", "Localhost"}
APPARMOR = {None, "RuntimeDefault", "Localhost"}
SELINUX_TYPES = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}


def violations(pod: Manifest) -> list[str]:
    """Return what the admission controller would say against a pod's spec; nothing where it fits the standard."""
    shared = pod.get("securityContext") or {}
    found = [f"{field} must not be true" for field in ("hostNetwork", "hostPID", "hostIPC") if pod.get(field)]
    found += [
        f"volume {volume['name']} is a {kind}"
        for volume in pod.get("volumes") or []
        for kind in volume.keys() - {"name"}
        if kind not in VOLUMES
    ]
    found += [f"sysctl {each['name']}" for each in shared.get("sysctls") or [] if each["name"] not in SYSCTLS]
    found += _identity("the pod", shared)
    for container in containers_of(pod) + (pod.get("ephemeralContainers") or []):
        found += _violations_of_container(container, shared)
    return found


def _violations_of_container(container: Manifest, shared: Manifest) -> list[str]:
    name = f"container {container['name']}"
    own = container.get("securityContext") or {}
    found = _identity(name, own)

    def effective(field: str) -> Any:
        return own.get(field, shared.get(field))

    capabilities = own.get("capabilities") or {}
    wrong = {
        "privileged": own.get("privileged"),
        "allowPrivilegeEscalation is not false": own.get("allowPrivilegeEscalation") is not False,
        "runAsNonRoot is not true": effective("runAsNonRoot") is not True,
        "seccompProfile": (effective("seccompProfile") or {}).get("type") not in SECCOMP,
        "capabilities.drop lacks ALL": "ALL" not in (capabilities.get("drop") or []),
        "capabilities.add": not set(capabilities.get("add") or []) <= CAPABILITIES,
        "procMount": own.get("procMount") not in {None, "Default"},
        "hostPort": any(port.get("hostPort") for port in container.get("ports") or []),
        "probe or hook with a host": _names_a_host(container),
    }
    return found + [f"{name}: {what}" for what, is_wrong in wrong.items() if is_wrong]


def _identity(whose: str, context: Manifest) -> list[str]:
    selinux = context.get("seLinuxOptions") or {}
    wrong = {
        "runAsUser is 0": context.get("runAsUser") == 0,
        "runAsNonRoot is false": context.get("runAsNonRoot") is False,
        "seccompProfile": (context.get("seccompProfile") or {"type": "RuntimeDefault"}).get("type") not in SECCOMP,
        "appArmorProfile": (context.get("appArmorProfile") or {}).get("type") not in APPARMOR,
        "seLinuxOptions": selinux.get("type") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"),
        "windowsOptions.hostProcess": (context.get("windowsOptions") or {}).get("hostProcess"),
    }
    return [f"{whose}: {what}" for what, is_wrong in wrong.items() if is_wrong]


def _names_a_host(container: Manifest) -> bool:
    lifecycle = container.get("lifecycle") or {}
    handlers = [container.get(probe) for probe in ("livenessProbe", "readinessProbe", "startupProbe")]
    handlers += [lifecycle.get(moment) for moment in ("postStart", "preStop")]
    actions = [handler.get(kind) for handler in handlers if handler for kind in ("httpGet", "tcpSocket")]
    return any(action.get("host") for action in actions if action)
