"""Runs pods of rendered manifests with podman, as a node of a cluster would: the part of a kubelet that gates need.

Init containers run to their end, one after the other, before the containers start. Whether a pod that failed is tried
again is the business of controllers, not of a node.
"""

import base64
import copy
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Any

import yaml

from tests.support.containers import RUN_NAME, podman
from tests.support.manifests import Manifest, containers_of

POLL_SECONDS = 0.2  # each look is a process of podman's
PLAY_SECONDS = 120
ONLY_IN_A_CLUSTER = ("ports", "readinessProbe", "livenessProbe")

# podman removes an init container that has ended well; a cluster shows it until the pod goes.
KEEP_INIT_CONTAINERS = {"io.podman.annotations.init.container.type": "always"}

Values = Mapping[str, Mapping[str, str]]


class PodOnNode:
    """A pod that podman runs; its containers have the names of the manifest."""

    def __init__(self, name: str, player: Thread) -> None:
        self.name = name
        self._player = player

    def state(self, container: str) -> dict[str, Any]:
        """Return what `podman inspect` says of a container's state; empty while there is no such container."""
        process = podman("container", "inspect", f"{self.name}-{container}", check=False)
        if process.returncode:
            assert "no such container" in process.stderr, process.stderr
            return {}
        return dict(json.loads(process.stdout)[0]["State"])

    def has_started(self, container: str) -> bool:
        """Tell whether the container was ever started."""
        return not str(self.state(container).get("StartedAt", "0001-01-01")).startswith("0001-01-01")

    def log(self, container: str) -> str:
        process = podman("logs", f"{self.name}-{container}", check=False)
        return process.stdout + process.stderr

    def wait_for_exit(self, container: str = "gate", timeout: float = 60) -> int:
        """Return the container's exit code, once there is one."""
        self._wait(lambda: self.state(container).get("Status") in {"exited", "stopped"}, container, timeout)
        return int(self.state(container)["ExitCode"])

    def wait_until_logged(self, text: str, container: str = "gate", timeout: float = 30) -> None:
        self._wait(lambda: text in self.log(container), container, timeout)

    def wait_until_started(self, container: str, timeout: float = 30) -> None:
        self._wait(lambda: self.has_started(container), container, timeout)

    def terminate(self, container: str = "gate") -> None:
        """Tell the container's first process to go, as a kubelet tells each of a pod that is deleted."""
        podman("kill", "--signal=TERM", f"{self.name}-{container}")

    def remove(self) -> None:
        podman("pod", "rm", "--force", "--time=0", self.name, check=False)
        self._player.join(PLAY_SECONDS)

    def _wait(self, condition: Callable[[], bool], container: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"not within {timeout} s: {self.name}-{container} {self.state(container)}\n{self.log(container)}"
                )
            time.sleep(POLL_SECONDS)


class Kubelet:
    """Starts pods, with the images of the manifests replaced by those under test, and removes all it has made."""

    def __init__(self, images: Mapping[str, str]) -> None:
        self._images = images
        self._numbers = itertools.count()
        self._pods: list[PodOnNode] = []
        self._secrets: list[str] = []
        self._volumes: list[str] = []

    def start(
        self,
        pod: Manifest,
        *,
        secrets: Values | None = None,
        config_maps: Values | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> PodOnNode:
        """Start a pod from its spec and return at once; `environment` is added to every container."""
        name = f"{RUN_NAME}-{next(self._numbers)}"
        spec = self._playable(pod, name, environment or {})
        for secret, values in (secrets or {}).items():
            encoded = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
            podman("secret", "create", f"{name}-{secret}", "-", stdin=json.dumps(encoded))
            self._secrets.append(f"{name}-{secret}")
        documents: list[Manifest] = []
        for config_map, texts in (config_maps or {}).items():
            metadata = {"name": f"{name}-{config_map}"}
            documents.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(texts)})
            self._volumes.append(metadata["name"])
        metadata = {"name": name, "labels": {"run": RUN_NAME}, "annotations": KEEP_INIT_CONTAINERS}
        documents.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        player = Thread(target=_play, args=(yaml.safe_dump_all(documents),), name=name)
        player.start()
        self._pods.append(PodOnNode(name, player))
        return self._pods[-1]

    def remove_everything(self) -> None:
        for pod in self._pods:
            pod.remove()
        for kind, names in (("secret", self._secrets), ("volume", self._volumes)):
            if names:
                podman(kind, "rm", *names, check=False)

    def _playable(self, pod: Manifest, name: str, environment: Mapping[str, str]) -> Manifest:
        spec = copy.deepcopy(pod)
        # What fails stays failed, so that its code can be read; when to try again is not a kubelet's decision to make.
        spec["restartPolicy"] = "Never"
        for container in containers_of(spec):
            container |= {"image": self._images[container["image"]], "imagePullPolicy": "Never"}
            for field in ONLY_IN_A_CLUSTER:
                container.pop(field, None)
            kept = [entry for entry in container.get("env", []) if entry["name"] not in environment]
            container["env"] = kept + [{"name": key, "value": value} for key, value in environment.items()]
            for source in container.get("envFrom", []):
                source["secretRef"]["name"] = f"{name}-{source['secretRef']['name']}"
            for entry in container["env"]:
                if "valueFrom" in entry:
                    reference = entry["valueFrom"]["secretKeyRef"]
                    reference["name"] = f"{name}-{reference['name']}"
        for volume in spec.get("volumes", []):
            # podman 4.3 trips over a missing "optional".
            volume["configMap"] |= {"name": f"{name}-{volume['configMap']['name']}", "optional": False}
        return spec


def _play(documents: str) -> None:
    podman("play", "kube", "--network=host", "-", stdin=documents, check=False, timeout=PLAY_SECONDS)


@contextmanager
def kubelet(images: Mapping[str, str]) -> Iterator[Kubelet]:
    """Yield a kubelet, and remove afterwards whatever it has made."""
    node = Kubelet(images)
    try:
        yield node
    finally:
        node.remove_everything()


def values_in(manifests: Sequence[Manifest], kind: str) -> dict[str, dict[str, str]]:
    """Return the contents of the manifests' Secrets or ConfigMaps by their names."""
    field = "stringData" if kind == "Secret" else "data"
    return {each["metadata"]["name"]: each[field] for each in manifests if each["kind"] == kind}
