"""Pods of the shipped overlays, run for real: what the gate's exit code lets start, and what it keeps down."""

import time
from collections.abc import Callable, Iterator

import pytest

from alembic_gate.exits import ExitCode
from tests.k8s.conftest import GATE, ProjectImage
from tests.k8s.kubelet import Kubelet, kubelet, values_in
from tests.k8s.scenes import READY_SECONDS, edited, pod_of, wait_until_ready
from tests.support.database import Database
from tests.support.machine import require
from tests.support.manifests import OVERLAYS, Manifest, ensure_kustomize, find, rendered_folder
from tests.support.ports import free_port
from tests.support.projects import revision_source
from tests.support.servers import Kind, Server

NewServer = Callable[..., Server]

# Where the server's kind makes no difference to what is tested.
on_one_server = pytest.mark.parametrize("server_kind", ["mysql"], indirect=True, scope="session")


def overlay(name: str) -> list[Manifest]:
    require(ensure_kustomize)
    return rendered_folder(OVERLAYS / name)


@pytest.fixture
def reader(database: Database) -> Iterator[Database]:
    """The same database through an account that may only read."""
    account = Database(database.server, database.name)
    account.user = f"r_{database.name}"
    for host in ("%", "localhost"):
        database.server.query("CREATE USER %s@%s IDENTIFIED BY %s", account.user, host, account.password)
        database.server.query(f"GRANT SELECT ON `{database.name}`.* TO %s@%s", account.user, host)
    yield account
    for host in ("%", "localhost"):
        database.server.query("DROP USER %s@%s", account.user, host)


@on_one_server
@pytest.mark.I6
def test_pods_that_wait_start_the_application_when_the_job_has_ended(
    node: Kubelet, database: Database, reader: Database
) -> None:
    manifests = overlay("job-and-wait")
    secrets = edited(manifests, database, database_reader=reader)
    port = free_port()

    waiting = node.start(pod_of(manifests, "Deployment"), secrets=secrets, environment={"PORT": str(port)})
    waiting.wait_until_logged("waiting for")
    assert not waiting.has_started("app")
    job = node.start(pod_of(manifests, "Job"), secrets=secrets)

    assert job.wait_for_exit() == 0, job.log("gate")
    assert waiting.wait_for_exit() == 0, waiting.log("gate")
    assert wait_until_ready(port, lambda: waiting.log("app")) == {"ready": True}
    assert str(job.state("gate")["FinishedAt"]) < str(waiting.state("app")["StartedAt"])


@on_one_server
@pytest.mark.I6
def test_job_that_fails_keeps_the_pods_that_wait_down(
    node_images: dict[str, str], failing_image: str, database: Database, reader: Database
) -> None:
    manifests = overlay("job-and-wait")
    secrets = edited(manifests, database, database_reader=reader)
    (fatal, _) = find(manifests, "Job")["spec"]["podFailurePolicy"]["rules"]

    with kubelet(node_images | {GATE: failing_image}) as node:
        job = node.start(pod_of(manifests, "Job"), secrets=secrets)
        code = job.wait_for_exit()
        patience = {"GATE_WAIT_TIMEOUT_SECONDS": "1"}
        waiting = node.start(pod_of(manifests, "Deployment"), secrets=secrets, environment=patience)

        assert code == ExitCode.REVISION_FAILED, job.log("gate")
        assert code in fatal["onExitCodes"]["values"]
        assert waiting.wait_for_exit() == ExitCode.NOT_AT_TARGET, waiting.log("gate")
        assert not waiting.has_started("app")


@on_one_server
@pytest.mark.I6
def test_application_waits_for_a_slow_database(node: Kubelet, server_kind: Kind, new_server: NewServer) -> None:
    server = new_server(server_kind)
    database = server.create_database()
    server.stop()
    manifests = overlay("init-container")
    port = free_port()

    pod = node.start(
        pod_of(manifests, "Deployment"), secrets=edited(manifests, database), environment={"PORT": str(port)}
    )
    pod.wait_until_logged("waiting for")
    assert not pod.has_started("app")
    server.start()

    assert pod.wait_for_exit() == 0, pod.log("gate")
    assert wait_until_ready(port, lambda: pod.log("app")) == {"ready": True}


@pytest.fixture(scope="module")
def counting_image(project_image: ProjectImage) -> str:
    """A gate whose second revision counts around an ALTER: a statement that is repeated or left out shows."""
    count = "UPDATE busy SET n = n + 1"
    first = ["CREATE TABLE busy (n INT)", "INSERT INTO busy VALUES (0)"]
    second = [count, "CREATE TABLE log (id INT)", count, "ALTER TABLE busy ADD COLUMN name VARCHAR(32)", count]
    revisions = {"one": first, "two": second}
    sources = [
        revision_source(name, before, upgrade="\n".join(f"op.execute({sql!r})" for sql in revisions[name]))
        for name, before in (("one", None), ("two", "one"))
    ]
    return project_image("counting", sources)


@pytest.mark.I3
def test_new_pod_finishes_what_a_terminated_one_began(
    node_images: dict[str, str], counting_image: str, database: Database
) -> None:
    manifests = overlay("job")
    spec, secrets = pod_of(manifests, "Job"), edited(manifests, database)

    with kubelet(node_images | {GATE: counting_image}) as node, database.connect() as application:
        prepared = node.start(spec, secrets=secrets, environment={"GATE_TARGET": "one"})
        assert prepared.wait_for_exit() == 0, prepared.log("gate")

        # Whoever has read a table in an open transaction keeps an ALTER of it waiting.
        application.cursor().execute("SELECT * FROM busy")
        terminated = node.start(spec, secrets=secrets)
        wait_until_an_alter_waits(database)
        terminated.terminate()
        assert terminated.wait_for_exit() == ExitCode.SIGTERM, terminated.log("gate")
        assert database.query("SELECT version_num FROM alembic_version") == (("one",),)
        application.rollback()

        assert database.query("SELECT n FROM busy") == ((2,),)
        replaced = node.start(spec, secrets=secrets)
        assert replaced.wait_for_exit() == 0, replaced.log("gate")

    assert database.query("SELECT * FROM busy") == ((3, None),)
    assert database.query("SELECT version_num FROM alembic_version") == (("two",),)


def wait_until_an_alter_waits(database: Database) -> None:
    deadline = time.monotonic() + READY_SECONDS
    running = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = %s AND info LIKE 'ALTER TABLE%%'"
    while database.server.query(running, database.name) == ((0,),):
        assert time.monotonic() < deadline, "no ALTER has begun"
        time.sleep(0.05)


@pytest.fixture
def tenants(database: Database) -> Iterator[list[Database]]:
    """Five databases that one account may use."""
    found = [database.server.create_database("tenant") for _ in range(5)]
    for tenant in found:
        for host in ("%", "localhost"):
            database.server.query(f"GRANT ALL ON `{tenant.name}`.* TO %s@%s", database.user, host)
    yield found
    for tenant in found:
        tenant.drop()


@on_one_server
@pytest.mark.I1
def test_pods_of_an_indexed_job_share_the_databases(node: Kubelet, database: Database, tenants: list[Database]) -> None:
    manifests = overlay("many-databases")
    job = find(manifests, "Job")
    lines = ["# tenants", "", *(tenant.name for tenant in tenants)]
    ((name, listed),) = values_in(manifests, "ConfigMap").items()
    lists = {name: dict.fromkeys(listed, "\n".join(lines) + "\n")}

    pods = [
        node.start(
            pod_of(manifests, "Job"),
            secrets=edited(manifests, database),
            config_maps=lists,
            environment={"JOB_COMPLETION_INDEX": str(index)},
        )
        for index in range(job["spec"]["completions"])
    ]

    assert [pod.wait_for_exit() for pod in pods] == [0, 0], [pod.log("gate") for pod in pods]
    for number, tenant in enumerate(tenants):
        assert tenant.query("SELECT COUNT(*) FROM alembic_version") == ((1,),)
        upgraded_by = [index for index, pod in enumerate(pods) if f"{tenant.name}: exit 0" in pod.log("gate")]
        assert upgraded_by == [number % 2]
