"""Know an Alembic project's revisions without loading Alembic: from the manifest, else from the scripts' text.

The manifest is a cache made at image build. It counts only while it matches the files on disk, and it says
nothing about the database (I1).
"""

import hashlib
import os
import re
from collections import namedtuple
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache

MANIFEST = "alembic-gate.manifest"
_FORMAT = "alembic-gate manifest 2"

_SCRIPT_NAME = re.compile(r"(?!\.#|__init__).*\.py$")
_LITERAL = r"(?:'[^'\\\n]*'|\"[^\"\\\n]*\")"
_NAMES = r"(?P<name>revision|down_revision|depends_on|gate_floor)\b"
_ASSIGNMENT = re.compile(
    rf"^{_NAMES}[ \t]*(?::[^=\n]*)?=[ \t]*"
    rf"(?P<value>None|{_LITERAL}|[(\[](?:\s*{_LITERAL}\s*,?)*\s*[)\]])[ \t]*(?:#.*)?$",
    re.MULTILINE,
)
_MENTION = re.compile(rf"^[ \t]*{_NAMES}[^\n=]*=[^=]", re.MULTILINE)
_LONG_STRING = re.compile(r"\"{3}.*?\"{3}|'{3}.*?'{3}", re.DOTALL)
_STRING = re.compile(r"'([^']*)'|\"([^\"]*)\"")

# The manifest's first line: where the scripts are, what configuration and scripts looked like, and the one head.
_Manifest = namedtuple("_Manifest", "folder stamp listing head head_script place")
# One revision as its script states it.
Script = namedtuple("Script", "revision parents depends_on floor checksum path")


class Scripts:
    """All revisions of a project."""

    def __init__(self, scripts: Iterable[Script]) -> None:
        self.by_revision = {script.revision: script for script in scripts}
        self.graph = {script.revision: script.parents + script.depends_on for script in self.by_revision.values()}
        self.heads = frozenset(self.graph.keys() - {p for script in self.by_revision.values() for p in script.parents})

    @property
    def effective_heads(self) -> frozenset[str]:
        """The heads as `alembic_version` stores them: a head that another one depends on has no row."""
        return self.heads - {need for script in self.by_revision.values() for need in script.depends_on}

    def changed(self, checksums: dict[str, str], applied: set[str]) -> list[str]:
        """The applied revisions whose scripts are not what they were when they were applied."""
        known = self.by_revision.keys() & applied & checksums.keys()
        return sorted(revision for revision in known if self.by_revision[revision].checksum != checksums[revision])


def has_own_version_table(config: str) -> bool:
    """Tell whether env.py names a version table of its own, which is then known to Alembic alone."""
    manifest = _manifest(config)
    folder = manifest.folder if manifest else _versions_folder(config)
    try:
        with open(os.path.join(os.path.dirname(folder or ""), "env.py"), "rb") as file:
            return b"version_table" in file.read()
    except OSError:
        return True


def known_heads(config: str) -> frozenset[str] | None:
    """The head from a manifest that matches the disk; None without one, and where there are several.

    Looks at the folder and at the head's script, not at every script: an edit of another one moves no head.
    """
    manifest = _manifest(config)
    if manifest is None or not manifest.head:
        return None
    return frozenset([manifest.head]) if manifest.place == _place(manifest.folder, manifest.head_script) else None


def load(config: str) -> Scripts | None:
    """All revisions, from the manifest or from the scripts' text; None where only Alembic itself can read them."""
    manifest = _manifest(config)
    if manifest is None or manifest.listing != _listing(manifest.folder):
        return _read(config)
    return _load_manifest(_manifest_path(config), manifest)


@lru_cache(maxsize=1)
def _load_manifest(path: str, manifest: _Manifest) -> Scripts:
    scripts = []
    with open(path, encoding="utf-8") as file:
        next(file)
        for line in file:
            revision, parents, depends_on, floor, checksum, name = line.rstrip("\n").split("\t")
            script = os.path.join(manifest.folder, name)
            scripts.append(Script(revision, tuple(parents.split()), tuple(depends_on.split()), floor, checksum, script))
    return Scripts(scripts)


def write_manifest(config: str) -> str | None:
    """Write the manifest beside the Alembic configuration; returns its path, None where only Alembic can read them."""
    scripts, folder = _read(config), _versions_folder(config)
    if scripts is None or folder is None:
        return None
    home = os.path.relpath(folder, os.path.dirname(os.path.abspath(config)))
    heads = list(scripts.effective_heads)
    head = heads[0] if len(heads) == 1 else ""
    head_script = os.path.basename(scripts.by_revision[head].path) if head else ""
    lines = [[_FORMAT, home, _stamp(config), _listing(folder), head, head_script, _place(folder, head_script) or ""]]
    for script in scripts.by_revision.values():
        needs = [" ".join(script.parents), " ".join(script.depends_on)]
        lines.append([script.revision, *needs, script.floor, script.checksum, os.path.basename(script.path)])
    path = _manifest_path(config)
    # killed here, the next start sees the old manifest, or none: the new one takes its name only when it is whole.
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.writelines("\t".join(line) + "\n" for line in lines)
    os.replace(f"{path}.new", path)
    return path


def checksum(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _manifest_path(config: str) -> str:
    return os.path.join(os.path.dirname(os.path.abspath(config)), MANIFEST)


def _manifest(config: str) -> _Manifest | None:
    """The manifest's first line, if it belongs to this configuration."""
    try:
        with open(_manifest_path(config), encoding="utf-8") as file:
            form, home, *header = file.readline().rstrip("\n").split("\t")
        folder = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(config)), home))
        manifest = _Manifest(folder, *header)
        return manifest if form == _FORMAT and manifest.stamp == _stamp(config) and os.path.isdir(folder) else None
    except (OSError, ValueError, TypeError):
        return None


def _stamp(path: str) -> str:
    """Name, size and time of a file; whole seconds, because image layers keep no more."""
    status = os.stat(path)
    return f"{os.path.basename(path)} {status.st_size} {int(status.st_mtime)}"


def _place(folder: str, head_script: str) -> str | None:
    """What changes when a script is added, taken away or renamed, or the head's is edited; None for what may differ."""
    inside = os.path.realpath(folder).replace(" ", "\\040") + "/"
    with suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        if f" {inside}" in file.read():
            return None
    try:
        head = _stamp(os.path.join(folder, head_script)) if head_script else ""
    except OSError:
        return None
    return f"{len(os.listdir(folder))} {int(os.stat(folder).st_mtime)} {head}"


def _listing(folder: str) -> str:
    """A digest of the names, sizes and times of all scripts: one `stat` each is the price of noticing an edit."""
    names = sorted(filter(_SCRIPT_NAME.match, os.listdir(folder)))
    found = "\n".join(_stamp(os.path.join(folder, name)) for name in names)
    return hashlib.sha256(found.encode("utf-8", "surrogateescape")).hexdigest()


def _versions_folder(config: str) -> str | None:
    """Where Alembic finds the scripts; None for what is left to Alembic (packages, several or recursive locations)."""
    import configparser

    if os.path.exists("pyproject.toml"):
        with open("pyproject.toml", "rb") as file:
            if b"[tool.alembic]" in file.read():
                return None
    parser = configparser.ConfigParser({"here": os.path.dirname(os.path.abspath(config)).replace("%", "%%")})
    try:
        parser.read([config], encoding="utf-8")
        section = dict(parser.items("alembic"))
    except (configparser.Error, UnicodeDecodeError):
        return None
    location = section.get("script_location", "")
    unusual = ("version_locations", "recursive_version_locations", "sourceless")
    if not location or ":" in location or any(section.get(name, "false") != "false" for name in unusual):
        return None
    folder = os.path.join(os.path.abspath(location), "versions")
    return folder if os.path.isdir(folder) else None


def _read(config: str) -> Scripts | None:
    folder = _versions_folder(config)
    return _read_folder(folder, _listing(folder)) if folder else None


@lru_cache(maxsize=1)
def _read_folder(folder: str, _as_listed: str) -> Scripts | None:
    """The scripts in a folder; read once while the listing is the same, as a run looks more than once."""
    names = sorted(filter(_SCRIPT_NAME.match, os.listdir(folder)))
    scripts = [_read_script(os.path.join(folder, name)) for name in names]
    read = [script for script in scripts if script]
    known = {script.revision for script in read}
    # A dependency may name a branch label or part of an id; Alembic resolves those, and says what it thinks of twins.
    all_plain = len(known) == len(scripts) and all(need in known for script in read for need in script.depends_on)
    return Scripts(read) if all_plain else None


def _read_script(path: str) -> Script | None:
    """Read the identifiers of a script without running it; None unless they are plain literals, each given once."""
    with open(path, "rb") as file:
        content = file.read()
    text = content.decode("utf-8", "replace")
    found = _ASSIGNMENT.findall(text)
    outside_of_strings = _ASSIGNMENT.findall(_LONG_STRING.sub("''", text))
    named = {name: tuple(one or other for one, other in _STRING.findall(value)) for name, value in found}
    plain = not any(re.search(r"[\s\ufffd]", item) for items in named.values() for item in items)
    once = found == outside_of_strings and len(found) == len(named) == len(_MENTION.findall(text))
    if not plain or not once or len(named.get("revision", ())) != 1:
        return None
    parents, depends_on = named.get("down_revision", ()), named.get("depends_on", ())
    floor = "".join(named.get("gate_floor", ()))
    return Script(named["revision"][0], parents, depends_on, floor, hashlib.sha256(content).hexdigest(), path)
