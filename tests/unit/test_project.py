"""Revisions read without Alembic are what Alembic reads, or nothing; a manifest counts only while it fits the disk."""

import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alembic_gate import project
from tests.support.projects import CONFIG, revision_source, write_project

pytestmark = pytest.mark.I1

# -- the literal reader -----------------------------------------------------------------------------------------------

STYLES = {
    "plain": "{name} = {value!r}",
    "double quotes": '{name} = "{value}"',
    "annotated": "{name}: Union[str, Sequence[str], None] = {value!r}  # as the templates write it",
    "tight": "{name}={value!r}",
    "a tuple": "{name} = ({value!r},)",
    "a list": "{name} = [{value!r}]",
    "a tuple over lines": "{name} = (\n    {value!r},\n)",
    "in brackets": "{name} = ({value!r})",
}
TRICKS = {
    "nothing": "",
    "a semicolon": "{line}; x = 1",
    "a condition": "if True:\n    {line}",
    "a second thought": "{line}\n{name} = {value!r} + ''",
    "two names at once": "{name} = other = {value!r}",
    "joined text": "{name} = '' {value!r}",
    "a call": "{name} = str({value!r})",
    "a raw string": "{name} = r{value!r}",
    "an escape": "{name} = '\\x61' + {value!r}",
    "a local variable": "{line}\ndef f():\n    {name} = 'zzz'\n",
    "a docstring that looks like it": '"""\n{name} = "aa"\n"""\n{line}',
    "a docstring after it": '{line}\n"""\n{name} = "aa"\n"""',
    "a comment that looks like it": "# {name} = 'zzz'\n{line}",
    "a comparison": "{line}\n{name} == {value!r}",
    "a longer name": "{line}\n{name}_of = 'zzz'",
    "more of it": "{line}\n{name} += ('zzz',)[:0] if isinstance({name}, tuple) else ''",
    "another file's": "{line}\nfrom os import sep as {name}_",
    "by a walrus": "({name} := {value!r})",
    "by globals": "{line}\nglobals()['x'] = {value!r}",
}


FIRST = "revision = 'aa'\ndown_revision = None\n"
SECOND = "revision = 'bb'\ndown_revision = 'aa'\n"


@st.composite
def scripts(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Files as (name, source), of which most are plain and some are not."""
    names = [f"{letter}{letter}" for letter in "abcde"[: draw(st.integers(1, 5))]]
    files = []
    for index, name in enumerate(names):
        lines = [line(draw, "revision", name, at_most="in brackets")]
        earlier = names[:index]
        parents = draw(st.lists(st.sampled_from(earlier), max_size=2, unique=True)) if earlier else []
        lines.append(several(draw, "down_revision", parents))
        if earlier and draw(st.integers(0, 3)) == 0:
            lines.append(line(draw, "depends_on", draw(st.sampled_from([*earlier, "label", earlier[0][:1]]))))
        if draw(st.integers(0, 3)) == 0:
            lines.append(line(draw, "gate_floor", name, at_most="tight"))
        head = draw(
            st.sampled_from(['"""words\n\nRevision ID: x\nRevises: y\n"""', "", "# -*- coding: utf-8 -*-", "\ufeff"])
        )
        end = draw(st.sampled_from(["\n", "\r\n"]))
        lines = [
            head,
            "from typing import Sequence, Union",
            "x = other = None",
            *lines,
            "def upgrade():",
            "    pass",
            "",
        ]
        files.append((f"{draw(st.sampled_from(['', '0_', '第一_']))}{name}.py", end.join("\n".join(lines).split("\n"))))
    odd = draw(st.sampled_from([(), ("__init__.py",), (".#lock.py",), ("notes.txt",), ("zz.py",)]))
    return files + [(name, "revision = 'zz'\n" if name != "zz.py" else "import os\nx = 1\n") for name in odd]


def line(draw: st.DrawFn, name: str, value: str, at_most: str | None = None) -> str:
    styles = list(STYLES)
    style = draw(st.sampled_from(styles[: styles.index(at_most) + 1] if at_most else styles))
    if name in ("revision", "gate_floor") and style.startswith("a "):
        style = "plain"
    written = STYLES[style].format(name=name, value=value)
    trick = TRICKS[draw(st.sampled_from(["nothing", "nothing", *TRICKS]))]
    return trick.format(line=written, name=name, value=value) or written


def several(draw: st.DrawFn, name: str, values: list[str]) -> str:
    if not values:
        return draw(st.sampled_from([f"{name} = None", f"{name}: Union[str, None] = None", f"{name} = ()"]))
    if len(values) == 1:
        return line(draw, name, values[0])
    return f"{name} = {draw(st.sampled_from([tuple, list]))(values)!r}"


def by_alembic(config: Path) -> tuple[dict[str, set[str]], set[str], dict[str, str]]:
    """What Alembic makes of the scripts: graph, heads, floors."""
    directory = ScriptDirectory.from_config(Config(str(config)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(directory.walk_revisions())
    graph = {each.revision: {*each._versioned_down_revisions, *each._resolved_dependencies} for each in found}
    floors = {each.revision: getattr(each.module, "gate_floor", "") for each in found}
    return graph, set(directory.get_heads()), floors


@settings(max_examples=150, deadline=None)
@given(scripts())
@example([("a.py", FIRST), ("b.py", f"'''\ndepends_on = 'aa'\n'''\n{SECOND}")])
@example([("a.py", FIRST), ("b.py", f"{SECOND}\nword = '''\ngate_floor = 'aa'\n'''\n")])
@example([("a.py", FIRST), ("b.py", FIRST)])
def test_the_text_of_scripts_is_read_as_alembic_reads_it_or_not_at_all(files):
    with tempfile.TemporaryDirectory() as folder:
        config = write_project(Path(folder), [])
        for name, source in files:
            (Path(folder) / "migrations/versions" / name).write_text(source, encoding="utf-8", newline="")
        ours = project.load(str(config))
        if ours is None:
            return
        try:
            graph, heads, floors = by_alembic(config)
        except Exception:  # noqa: BLE001 - what Alembic refuses, it refuses again when there is work
            return
        assert {revision: set(needs) for revision, needs in ours.graph.items()} == graph
        assert ours.heads == heads
        assert {script.revision: script.floor for script in ours.by_revision.values()} == floors


def test_scripts_as_the_template_writes_them_are_read_without_alembic(tmp_path):
    """The reader must not get away with reading nothing."""
    config = write_project(tmp_path, {})
    folder = tmp_path / "migrations"
    source = Path(sys.modules["alembic"].__file__).parent / "templates/generic/script.py.mako"
    shutil.copy(source, folder / "script.py.mako")
    for arguments in (["first"], ["第二"], ["side", "--head=base", "--splice", "--branch-label=side"]):
        subprocess.run(
            [sys.executable, "-m", "alembic", "-c", config, "revision", "-m", *arguments], cwd=tmp_path, check=True,
            capture_output=True,
        )  # fmt: skip
    read = project.load(str(config))
    assert read is not None
    graph, heads, _ = by_alembic(config)
    assert {revision: set(needs) for revision, needs in read.graph.items()} == graph
    assert read.heads == heads


@pytest.mark.parametrize(
    "extra",
    [
        "version_locations = %(here)s/migrations/versions",
        "recursive_version_locations = true",
        "sourceless = true",
        "script_location = some.package:migrations",
    ],
)
def test_unusual_places_of_scripts_are_left_to_alembic(tmp_path, extra):
    config = write_project(tmp_path, [revision_source("aa")])
    text = config.read_text()
    if extra.startswith("script_location"):
        text = text.replace("script_location = %(here)s/migrations", extra)
    config.write_text(f"{text}\n{extra if extra not in text else ''}\n")
    assert project.load(str(config)) is None
    assert project.write_manifest(str(config)) is None


def test_a_configuration_that_names_other_defaults_is_understood(tmp_path, monkeypatch):
    write_project(tmp_path, [revision_source("aa")])
    (tmp_path / "other.ini").write_text("[DEFAULT]\nplace = migrations\n[alembic]\nscript_location = %(place)s\n")
    monkeypatch.chdir(tmp_path)
    assert project.load("other.ini").heads == {"aa"}


def test_the_effective_heads_are_the_rows_of_the_version_table(tmp_path):
    config = write_project(
        tmp_path,
        [revision_source("aa"), revision_source("bb"), revision_source("cc", "aa", header='depends_on = "bb"')],
    )
    scripts = project.load(str(config))
    assert scripts.heads == {"bb", "cc"}
    assert scripts.effective_heads == {"cc"}


def test_an_edit_changes_the_checksum_and_is_told_for_applied_revisions_alone(tmp_path):
    config = write_project(tmp_path, [revision_source("aa"), revision_source("bb", "aa")])
    then = {name: script.checksum for name, script in project.load(str(config)).by_revision.items()}
    for name in then:
        path = tmp_path / f"migrations/versions/{name}.py"
        path.write_text(path.read_text() + "\n")
    now = project.load(str(config))
    assert now.changed(then, {"aa", "bb"}) == ["aa", "bb"]
    assert now.changed(then, {"aa"}) == ["aa"]
    assert now.changed({"aa": then["aa"]}, {"aa", "bb"}) == ["aa"]
    assert now.changed({}, {"aa", "bb"}) == []


# -- the manifest -----------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path) -> str:
    """A project of two revisions that has lain there for a while, with its manifest."""
    path = write_project(tmp_path / "project", [revision_source("aa"), revision_source("bb", "aa")])
    long_ago = time.time() - 3600
    for file in (path, *versions(path).iterdir(), versions(path)):
        os.utime(file, (long_ago, long_ago))
    assert project.write_manifest(str(path))
    return str(path)


def versions(config: Path | str) -> Path:
    return Path(config).parent / "migrations/versions"


def facts(scripts: project.Scripts) -> set[tuple]:
    return {tuple(script) for script in scripts.by_revision.values()}


def test_the_manifest_says_what_the_scripts_say(config):
    assert project.known_heads(config) == {"bb"}
    by_manifest = project.load(config)
    (Path(config).parent / project.MANIFEST).unlink()
    assert facts(by_manifest) == facts(project.load(config))
    assert project.known_heads(config) is None


def add(config):
    (versions(config) / "cc.py").write_text(revision_source("cc", "bb"))


def remove(config):
    (versions(config) / "bb.py").unlink()


def edit(config):
    path = versions(config) / "bb.py"
    path.write_text(path.read_text() + "\n")


def edit_in_place_with_the_same_size(config):
    path = versions(config) / "bb.py"
    path.write_text(path.read_text().replace("pass", "None"))


def rename(config):
    (versions(config) / "bb.py").rename(versions(config) / "b2.py")


def edit_another_than_the_head(config):
    path = versions(config) / "aa.py"
    path.write_text(path.read_text() + "\n")


def edit_the_configuration(config):
    Path(config).write_text(Path(config).read_text() + "\n")


@pytest.mark.parametrize(
    "change",
    [add, remove, edit, edit_in_place_with_the_same_size, rename, edit_the_configuration],
    ids=lambda change: change.__name__,
)
def test_a_manifest_that_does_not_fit_the_disk_any_more_is_left_aside(config, change):
    change(config)
    assert project.known_heads(config) is None
    heads = {"add": {"cc"}, "remove": {"aa"}}.get(change.__name__, {"bb"})
    assert project.load(config).heads == heads


def test_a_copy_of_a_project_has_a_manifest_of_its_own_scripts(config, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(Path(config).parent, copy)
    assert project.known_heads(str(copy / "alembic.ini")) == {"bb"}
    (copy / "migrations/versions/cc.py").write_text(revision_source("cc", "bb"))
    assert project.known_heads(str(copy / "alembic.ini")) is None
    assert project.load(str(copy / "alembic.ini")).heads == {"cc"}


def test_another_configuration_in_the_same_folder_is_not_taken_for_the_one_of_the_manifest(config):
    other = Path(config).with_name("another.ini")
    shutil.copytree(versions(config).parent, other.parent / "elsewhere0")
    (other.parent / "elsewhere0/versions/bb.py").unlink()
    other.write_text(Path(config).read_text().replace("migrations", "elsewhere0"))
    os.utime(other, (Path(config).stat().st_mtime,) * 2)
    assert project.known_heads(str(other)) is None
    assert project.load(str(other)).heads == {"aa"}


def test_a_folder_with_something_mounted_inside_is_always_read(config, monkeypatch):
    mounts = f"36 35 98:0 / {versions(config).resolve()}/bb.py rw\n"

    def open_(path, *mode, **options):
        return io.StringIO(mounts) if path == "/proc/self/mountinfo" else Path(path).open(*mode, **options)

    monkeypatch.setattr(project, "open", open_, raising=False)
    assert project.known_heads(config) is None
    assert project.write_manifest(config)
    assert project.known_heads(config) is None
    assert project.load(config).heads == {"bb"}


def test_a_moved_project_keeps_its_manifest(config, tmp_path):
    moved = tmp_path / "elsewhere"
    Path(config).parent.rename(moved)
    assert project.known_heads(str(moved / "alembic.ini")) == {"bb"}


def test_an_edit_that_moves_no_head_is_noticed_where_all_scripts_count(config):
    before = project.load(config).by_revision["aa"].checksum
    edit_another_than_the_head(config)
    assert project.known_heads(config) == {"bb"}
    assert project.load(config).by_revision["aa"].checksum != before


def test_the_lock_of_an_editor_is_no_script(config):
    (versions(config) / ".#bb.py").symlink_to("somebody@somewhere.4711")
    assert project.load(config).heads == {"bb"}
    assert project.write_manifest(config)
    assert project.known_heads(config) == {"bb"}


@pytest.mark.parametrize(
    "text",
    ["", "\n", "alembic-gate manifest 0\t.\t\t\t\n", "\xff", "alembic-gate manifest 2\n", "alembic-gate manifest 2\t"],
)
def test_a_manifest_that_is_none_is_left_aside(config, text):
    (Path(config).parent / project.MANIFEST).write_bytes(text.encode("latin-1"))
    assert project.known_heads(config) is None
    assert project.load(config).heads == {"bb"}


def test_several_heads_are_not_known_from_the_manifest_alone(tmp_path):
    config = str(write_project(tmp_path, [revision_source("aa"), revision_source("bb")]))
    assert project.write_manifest(config)
    assert project.known_heads(config) is None
    assert project.load(config).heads == {"aa", "bb"}


def test_a_manifest_that_cannot_be_finished_leaves_the_old_one(config, monkeypatch):
    before = (Path(config).parent / project.MANIFEST).read_text()
    add(config)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("killed here")))
    with pytest.raises(OSError, match="killed here"):
        project.write_manifest(config)
    assert (Path(config).parent / project.MANIFEST).read_text() == before


def test_the_written_configuration_is_the_one_under_test():
    assert "script_location = %(here)s/migrations" in CONFIG
