"""An Alembic project of somebody else's in an image built FROM this one, by COPY alone."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.containers import ROOT, build_image, run_container
from tests.support.database import Database
from tests.support.projects import ENV_PY, revision_source, write_project
from tests.support.servers import Kind, Server

OPTUNA = ROOT / "tests/image/optuna"
CREATE = "op.execute('CREATE TABLE {} (id INT PRIMARY KEY)')"


@pytest.fixture(scope="module")
def optuna_image(image: str) -> str:
    """Optuna's published history, from the package it is published in, in a child of the default image."""
    return build_image("optuna", context=OPTUNA, arguments={"GATE": image})


def child_of(parent: str, folder: Path, name: str) -> str:
    """Build what the documentation says: FROM, COPY, and the manifest made anew."""
    (folder / "Dockerfile").write_text(
        f"FROM {parent}\n"
        "COPY alembic.ini ./\n"
        "COPY migrations migrations\n"
        "USER 0\n"
        'RUN ["alembic-gate", "manifest"]\n'
        "USER 65532:65532\n"
    )
    return build_image(name, context=folder)


@pytest.fixture(scope="module")
def mended_optuna_image(optuna_image: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same with one line added where MariaDB refuses the published script: it keeps no index on part of a key."""
    folder = tmp_path_factory.mktemp("mended")
    (folder / "Dockerfile").write_text(
        f"FROM {optuna_image}\n"
        "USER 0\n"
        'RUN sed -i \'s/^\\( *\\)batch_op.drop_column("step")/'
        '\\1batch_op.drop_constraint("trial_id", type_="unique")\\n&/\''
        " alembic/versions/v2.4.0.a.py && alembic-gate manifest\n"
        "USER 65532:65532\n"
    )
    return build_image("optuna-mended", context=folder)


@pytest.fixture
def databases(servers_of_this_run: Callable[[Kind], Server]) -> Iterator[Callable[[Kind], Database]]:
    """Fresh databases on the server of one kind, as many as asked for."""
    made = []

    def make(kind: Kind) -> Database:
        made.append(servers_of_this_run(kind).create_database())
        return made[-1]

    yield make
    for database in made:
        database.drop()


def run_plain_alembic(image: str, database: Database) -> "subprocess.CompletedProcess[str]":
    """Run `alembic upgrade head` in Optuna's image, whose configuration then needs the URL written into it."""
    with_its_url = (
        'sed "s|^sqlalchemy.url.*|sqlalchemy.url = $URL|" alembic.ini > /tmp/alembic.ini'
        " && alembic --config /tmp/alembic.ini upgrade head"
    )
    env = {"URL": database.url.replace("%", "%%")}
    return run_container(image, "-c", with_its_url, entrypoint="sh", env=env, options=["--tmpfs=/tmp"])


@pytest.mark.I1
@pytest.mark.I7
def test_optunas_history_ends_as_under_plain_alembic(optuna_image: str, databases: Callable[[Kind], Database]) -> None:
    database, plain = databases("mysql"), databases("mysql")

    first = run_container(optuna_image, env=database.env())

    assert first.returncode == 0, first.stderr
    assert database.query("SELECT version_num FROM alembic_version") == (("v3.2.0.a",),)
    for verb in ("status", "upgrade"):
        again = run_container(optuna_image, verb, env=database.env())
        assert again.returncode == 0, again.stderr
    assert run_plain_alembic(optuna_image, plain).returncode == 0
    assert database.schema() == plain.schema()


@pytest.mark.I3
def test_optunas_history_breaks_on_mariadb_and_goes_on_where_it_was_mended(
    optuna_image: str, mended_optuna_image: str, databases: Callable[[Kind], Database]
) -> None:
    database, plain, undisturbed = databases("mariadb"), databases("mariadb"), databases("mariadb")
    refused = "Key column 'step' doesn't exist"
    assert refused in run_plain_alembic(optuna_image, plain).stderr

    broken = run_container(optuna_image, env=database.env())
    assert broken.returncode == 20, broken.stderr
    assert refused in broken.stderr
    assert database.query("SELECT version_num FROM alembic_version") == (("v1.3.0.a",),)

    mended = run_container(mended_optuna_image, env=database.env())

    assert mended.returncode == 0, mended.stderr
    assert database.query("SELECT version_num FROM alembic_version") == (("v3.2.0.a",),)
    assert run_container(mended_optuna_image, env=undisturbed.env()).returncode == 0
    assert database.schema() == undisturbed.schema()


def test_a_child_of_the_bare_image_runs_what_it_copies_and_nothing_else(
    bare_image: str, database: Database, tmp_path: Path
) -> None:
    write_project(tmp_path, [revision_source("one", upgrade=CREATE.format("one"))])

    process = run_container(child_of(bare_image, tmp_path, "own"), env=database.env())

    assert process.returncode == 0, process.stderr
    assert database.query("SELECT version_num FROM alembic_version") == (("one",),)
    assert database.query("SHOW TABLES LIKE 'roles'") == ()


def test_autogenerate_in_an_image_leaves_the_gates_tables_alone(
    bare_image: str, database: Database, tmp_path: Path
) -> None:
    knows_no_table = "connection=connection, target_metadata=__import__('sqlalchemy').MetaData()"
    env_py = ENV_PY.replace("connection=connection", knows_no_table)
    write_project(tmp_path, [revision_source("one")], env_py=env_py, url=database.url)
    own = child_of(bare_image, tmp_path, "autogenerate")
    assert run_container(own, env=database.env() | {"GATE_LOCK": "lease"}).returncode == 0
    assert database.query("SHOW TABLES LIKE 'alembic_gate_lease'")

    checked = run_container(own, "check", entrypoint="alembic")

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_revision_added_to_the_default_image_follows_the_seeds(
    image: str, database: Database, tmp_path: Path
) -> None:
    seed = next((ROOT / "migrations/versions").glob("*.py")).name.split("_")[0]
    write_project(tmp_path, [revision_source("two", seed, upgrade=CREATE.format("two"))])

    process = run_container(child_of(image, tmp_path, "extended"), env=database.env())

    assert process.returncode == 0, process.stderr
    assert database.query("SELECT version_num FROM alembic_version") == (("two",),)
    assert database.query("SELECT COUNT(*) FROM roles") == ((0,),)


KNOWN_HEADS = "from alembic_gate import project; print(*project.known_heads('alembic.ini') or ['none'])"


@pytest.mark.I4
def test_manifest_fits_until_a_script_is_copied_beside_it_mounted_over_it_or_edited(
    bare_image: str, tmp_path: Path
) -> None:
    write_project(tmp_path, [revision_source("one"), revision_source("two", "one")])
    own = child_of(bare_image, tmp_path, "manifest")
    first, later = tmp_path / "migrations/versions/one.py", tmp_path / "later"
    later.mkdir()
    shutil.copy(first, later / "one.py")
    (later / "three.py").write_text(revision_source("three", "two"))
    scripts = "/app/migrations/versions"
    other = tmp_path / "other"
    write_project(other, [revision_source("one"), revision_source("deux", "one")])

    def known_heads(image: str, **options: Any) -> str:
        return run_container(image, "-c", KNOWN_HEADS, entrypoint="python", **options).stdout.strip()

    def with_lines(name: str, *lines: str) -> str:
        (later / "Dockerfile").write_text("\n".join([f"FROM {own}", "USER 0", *lines, "USER 65532:65532", ""]))
        return build_image(f"manifest-{name}", context=later)

    assert known_heads(own) == "two"
    assert known_heads(own, mounts={first: f"{scripts}/one.py"}) == "none"
    assert known_heads(own, mounts={other / "migrations": "/app/migrations"}) == "none"
    assert known_heads(with_lines("added", f"COPY three.py {scripts}/")) == "none"
    assert known_heads(with_lines("copied-over", f"COPY one.py {scripts}/")) == "none"
    assert known_heads(with_lines("edited", f"RUN sed -i 's/two/deux/' {scripts}/two.py")) == "none"
    assert known_heads(with_lines("made-anew", f"COPY three.py {scripts}/", "RUN alembic-gate manifest")) == "three"


@pytest.mark.I6
def test_history_copied_beside_the_seeds_is_refused_as_two_heads(
    image: str, database: Database, tmp_path: Path
) -> None:
    write_project(tmp_path, [revision_source("one")])

    process = run_container(child_of(image, tmp_path, "two-heads"), env=database.env())

    assert process.returncode == 24, process.stderr
    assert "one" in process.stderr
    assert database.query("SHOW TABLES LIKE 'roles'") == ()


def test_edited_script_mounted_over_the_image_is_noticed(bare_image: str, database: Database, tmp_path: Path) -> None:
    write_project(tmp_path, [revision_source("one", upgrade=CREATE.format("one"))])
    own = child_of(bare_image, tmp_path, "mounted")
    second = tmp_path / "two.py"
    second.write_text(revision_source("two", "one", upgrade=CREATE.format("two")))

    process = run_container(own, env=database.env(), mounts={second: "/app/migrations/versions/two.py"})

    assert process.returncode == 0, process.stderr
    assert database.query("SELECT version_num FROM alembic_version") == (("two",),)
