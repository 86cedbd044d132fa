"""Know an Alembic project's revisions without loading Alembic: from the manifest, else from the scripts' text.

The manifest is a cache made at image build. It counts only while it matches the files on disk, and it says nothing about
the database (I1).
"""

import hashlib
import os
import re

MANIFEST = "alembic-gate.manifest"
_FORMAT = "alembic-gate manifest 1"

_SCRIPT_NAME = re.compile(r"(?!\.#|__init__).*\.py$")
_LITERAL = r"(?:'[^'\\\n]*'|\"[^\"\\\n]*\")"
_ASSIGNMENT = re.compile(
    r"^(?P<name>revision|down_revision|depends_on|gate_floor)[ \t]*(?::[^=\n]*)?=[ \t]*"
    rf"(?P<value>None|{_LITERAL}|[(\[](?:\s*{_LITERAL}\s*,?)*\s*[)\]])[ \t]*(?:#.*)?$",
    re.MULTILINE,
)
_MENTION = re.compile(r"^[ \t]*(?:revision|down_revision|depends_on|gate_floor)\b[^\n=]*=[^=]", re.MULTILINE)
_STRING = re.compile(r"'([^']*)'|\"([^\"]*)\"")


class Script:
    """One revision as its script states it."""

    __slots__ = ("checksum", "depends_on", "floor", "parents", "path", "revision")

    def __init__(
        self, revision: str, parents: tuple[str, ...], depends_on: tuple[str, ...], floor: str, checksum: str, path: str
    ) -> None:
        self.revision = revision
        self.parents = parents
        self.depends_on = depends_on
        self.floor = floor
        self.checksum = checksum
        self.path = path

    @property
    def needs(self) -> tuple[str, ...]:
        return self.parents + self.depends_on


class Scripts:
    """All revisions of a project."""

    def __init__(self, scripts: list[Script]) -> None:
        self.by_revision = {script.revision: script for script in scripts}
        self.graph = {script.revision: script.needs for script in scripts}
        parents = {parent for script in scripts for parent in script.parents}
        self.heads = frozenset(self.graph.keys() - parents)

    @property
    def effective_heads(self) -> frozenset[str]:
        """The heads as `alembic_version` stores them: a head that another one depends on has no row."""
        return self.heads - {need for script in self.by_revision.values() for need in script.depends_on}

    def changed(self, checksums: dict[str, str], applied: set[str]) -> list[str]:
        """The applied revisions whose scripts are not what they were when they were applied."""
        known = self.by_revision.keys() & applied & checksums.keys()
        return sorted(revision for revision in known if self.by_revision[revision].checksum != checksums[revision])


def known_heads(config: str) -> frozenset[str] | None:
    """The effective heads from a manifest that matches the disk, when there is exactly one head; None otherwise."""
    header = _manifest_header(config)
    return frozenset([header[3]]) if header and header[3] and " " not in header[3] else None


def load(config: str) -> Scripts | None:
    """All revisions, from the manifest or from the scripts' text; None where only Alembic itself can read them."""
    header = _manifest_header(config)
    if header is None:
        return _read(config)
    scripts = []
    with open(_manifest_path(config), encoding="utf-8") as file:
        next(file)
        for line in file:
            revision, parents, depends_on, floor, checksum, name = line.rstrip("\n").split("\t")
            path = os.path.join(header[0], name)
            scripts.append(Script(revision, tuple(parents.split()), tuple(depends_on.split()), floor, checksum, path))
    return Scripts(scripts)


def write_manifest(config: str) -> str | None:
    """Write the manifest beside the Alembic configuration; returns its path, None where only Alembic can read them."""
    scripts = _read(config)
    folder = _versions_folder(config)
    if scripts is None or folder is None:
        return None
    lines = ["\t".join([_FORMAT, folder, _stamp(config), _listing(folder), " ".join(sorted(scripts.effective_heads))])]
    for script in scripts.by_revision.values():
        parents, depends_on = " ".join(script.parents), " ".join(script.depends_on)
        name = os.path.basename(script.path)
        lines.append("\t".join([script.revision, parents, depends_on, script.floor, script.checksum, name]))
    path = _manifest_path(config)
    # killed here, the next start sees the old manifest, or none: the new one takes its name only when it is whole.
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    os.replace(f"{path}.new", path)
    return path


def checksum(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _manifest_path(config: str) -> str:
    return os.path.join(os.path.dirname(os.path.abspath(config)), MANIFEST)


def _manifest_header(config: str) -> list[str] | None:
    """The manifest's header fields (folder, stamp, listing, heads), if it matches the disk."""
    try:
        with open(_manifest_path(config), encoding="utf-8") as file:
            form, *header = file.readline().rstrip("\n").split("\t")
        if form != _FORMAT or header[1] != _stamp(config) or header[2] != _listing(header[0]):
            return None
        return header
    except (OSError, IndexError, UnicodeDecodeError):
        return None


def _stamp(path: str) -> str:
    """Size and time of a file; whole seconds, because image layers keep no more."""
    status = os.stat(path)
    return f"{status.st_size} {int(status.st_mtime)}"


def _listing(folder: str) -> str:
    """A digest of the names, sizes and times of all scripts: one `stat` each is the price of noticing an edit."""
    with os.scandir(folder) as entries:
        found = [
            f"{entry.name} {(status := entry.stat()).st_size} {int(status.st_mtime)}"
            for entry in entries
            if entry.name.endswith(".py")
        ]
    found.sort()
    return hashlib.sha256("\n".join(found).encode("utf-8", "surrogateescape")).hexdigest()


def _versions_folder(config: str) -> str | None:
    """Where Alembic finds the scripts; None for what is left to Alembic (packages, several or recursive locations)."""
    import configparser

    parser = configparser.ConfigParser({"here": os.path.dirname(os.path.abspath(config)).replace("%", "%%")})
    try:
        parser.read([config], encoding="utf-8")
        section = dict(parser.items("alembic"))
    except (configparser.Error, UnicodeDecodeError):
        return None
    location = section.get("script_location", "")
    unusual = ("version_locations", "recursive_version_locations", "sourceless")
    if not location or (":" in location and not os.path.isabs(location)):
        return None
    if any(section.get(name, "false") != "false" for name in unusual):
        return None
    folder = os.path.join(os.path.abspath(location), "versions")
    return folder if os.path.isdir(folder) else None


def _read(config: str) -> Scripts | None:
    folder = _versions_folder(config)
    if folder is None:
        return None
    scripts = []
    for name in sorted(os.listdir(folder)):
        if _SCRIPT_NAME.match(name):
            script = _read_script(os.path.join(folder, name))
            if script is None:
                return None
            scripts.append(script)
    if len({script.revision for script in scripts}) != len(scripts):
        return None
    known = {script.revision for script in scripts}
    # A dependency may name a branch label or part of an id; Alembic resolves those.
    if any(need not in known for script in scripts for need in script.depends_on):
        return None
    return Scripts(scripts)


def _read_script(path: str) -> Script | None:
    """Read the identifiers of a script without running it; None unless they are plain literals, each given once."""
    with open(path, "rb") as file:
        content = file.read()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    found = [(match["name"], match["value"]) for match in _ASSIGNMENT.finditer(text)]
    values = dict(found)
    if len(found) != len(values) or len(found) != len(_MENTION.findall(text)) or "revision" not in values:
        return None
    named = {name: tuple(one or other for one, other in _STRING.findall(value)) for name, value in values.items()}
    if len(named["revision"]) != 1 or any(re.search(r"[\s]", item) for items in named.values() for item in items):
        return None
    return Script(
        revision=named["revision"][0],
        parents=named.get("down_revision", ()),
        depends_on=named.get("depends_on", ()),
        floor="".join(named.get("gate_floor", ())),
        checksum=hashlib.sha256(content).hexdigest(),
        path=path,
    )
