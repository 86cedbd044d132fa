"""An API server of a cluster that holds nothing: as much as Helm asks before it says what an installation would do.

It names its version and its kinds, and has no object of any of them.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

KINDS = {
    "v1": {"Secret": "secrets", "Service": "services", "ServiceAccount": "serviceaccounts", "ConfigMap": "configmaps"},
    "apps/v1": {"Deployment": "deployments"},
    "batch/v1": {"Job": "jobs"},
    "networking.k8s.io/v1": {"NetworkPolicy": "networkpolicies"},
}
GROUPS = [
    {"name": name.partition("/")[0], "versions": [version], "preferredVersion": version}
    for name in KINDS
    if "/" in name
    for version in [{"groupVersion": name, "version": "v1"}]
]
VERBS = ["create", "delete", "get", "list", "patch"]
ANSWERS: dict[str, dict[str, Any]] = {
    "/version": {"major": "1", "minor": "31", "gitVersion": "v1.31.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": GROUPS},
} | {
    f"/api{'s' if '/' in group else ''}/{group}": {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group,
        "resources": [
            {"name": name, "singularName": kind.lower(), "kind": kind, "namespaced": True, "verbs": VERBS}
            for kind, name in kinds.items()
        ],
    }
    for group, kinds in KINDS.items()
}
NONE = {"kind": "SecretList", "apiVersion": "v1", "metadata": {}, "items": []}
NOT_FOUND = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        answer = ANSWERS.get(path) or (NONE if "labelSelector" in query else NOT_FOUND)
        body = json.dumps(answer).encode()
        self.send_response(404 if answer is NOT_FOUND else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing of requests."""


@contextmanager
def empty_cluster() -> Iterator[str]:
    """Yield the URL of the API server, on loopback, while it answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    thread = Thread(target=server.serve_forever, name="empty-cluster")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
