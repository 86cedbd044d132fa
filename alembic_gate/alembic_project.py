"""Ask Alembic itself about the project: its configuration, its scripts, and what its complaints mean.

What can be known without Alembic is in project.py, which is much quicker.
"""

import os
import re
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.script import revision as complaints
from alembic.util import CommandError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from alembic_gate import connect, project, report
from alembic_gate.classify import Kind, classify, is_lost_connection, refusal
from alembic_gate.exits import BadUsage, GraphBroken, RevisionUnknown
from alembic_gate.glance import Sight, judge_graph, names
from alembic_gate.graph import Standing, wanted
from alembic_gate.project import Script, Scripts, checksum
from alembic_gate.settings import Settings

# What an env.py may use; another one is replaced by PyMySQL.
DRIVERS = ("pymysql", "aiomysql", "asyncmy")


def open_project(settings: Settings) -> tuple[Config, ScriptDirectory, Scripts]:
    """Load the project with Alembic, its `sqlalchemy.url` set from our settings; raises BadUsage and GraphBroken."""
    config = alembic_config(settings)
    with _explaining(settings), warnings.catch_warnings(action="ignore", category=UserWarning):
        directory = ScriptDirectory.from_config(config)
        return config, directory, _scripts_of(directory, project.load(settings.config))


def alembic_config(settings: Settings) -> Config:
    """Alembic's configuration with our URL in it; the driver stays the one that the project names, if it names one."""
    if not os.path.isfile(settings.config):
        raise BadUsage(
            f"there is no Alembic configuration at '{settings.config}'",
            meaning="The working directory is not the project's, or the image lacks it",
            advice="Set ALEMBIC_CONFIG to the path of the project's alembic.ini",
        )
    report.keep_our_log()  # whatever its env.py configures
    # As the `alembic` command combines the two files.
    toml = settings.config if os.path.basename(settings.config) == "pyproject.toml" else "pyproject.toml"
    config = Config("alembic.ini" if toml == settings.config else settings.config, toml_file=toml)
    driver = "pymysql"
    with suppress(Exception):
        driver = make_url(config.get_main_option("sqlalchemy.url") or "").get_driver_name()
    url = settings.database.sqlalchemy_url(driver if driver in DRIVERS else "pymysql")
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def _scripts_of(directory: ScriptDirectory, read: Scripts | None) -> Scripts:
    """The project's revisions as Alembic reads them; `read` if those are the same."""
    found = {revision.revision for revision in directory.revision_map._revision_map.values() if revision}
    if read and read.graph.keys() == found:
        return read
    scripts = []
    for script in map(directory.get_revision, found):
        floor = str(getattr(script.module, "gate_floor", None) or "")
        parents, depends_on = tuple(script._versioned_down_revisions), tuple(script._resolved_dependencies)
        scripts.append(Script(script.revision, parents, depends_on, floor, checksum(script.path), script.path))
    return Scripts(scripts)


def relative(target: str) -> bool:
    """Tell whether a target counts steps from where the database is, so that repeating it means something else."""
    return re.search(r"(^|@|\w)[+-]\d+$", target) is not None


def look_by_alembic(settings: Settings, sight: Sight) -> Sight:
    """Ask the project's own env.py for the versions, where it names its own version table; writes nothing."""
    config, directory, _ = open_project(settings)
    versions: set[str] = set()

    def note(heads: tuple[str, ...], _context: Any) -> list[Any]:
        versions.update(heads)
        return []

    with _explaining(settings), EnvironmentContext(config, directory, fn=note, dont_mutate=True):
        directory.run_env()
    return sight._replace(versions=frozenset(versions))


def judge_by_alembic(
    settings: Settings, sight: Sight, target: str, connection: connect.Connection
) -> tuple[Standing, str]:
    """What `glance.judge` says, where it takes Alembic to tell; a relative target always has something to do."""
    if relative(target):
        return Standing.BEHIND, ""
    scripts = open_project(settings)[2]
    revisions = wanted(scripts.graph, scripts.heads, target)
    named = revisions_named(settings) if revisions is None else revisions
    return judge_graph(sight, scripts, named, connection)


def revisions_named(settings: Settings) -> list[str]:
    """The revisions that the target names, by Alembic's own rules; raises BadUsage."""
    directory = open_project(settings)[1]
    with _explaining(settings):
        return [script.revision for script in directory.get_revisions(settings.target) if script]


def print_sql(settings: Settings, current: Collection[str]) -> None:
    """Print the SQL of the pending revisions, as env.py's offline mode makes it."""
    if len(current) > 1:
        raise BadUsage(f"Alembic makes SQL from one revision only, and the database is at {names(current)}")
    config = alembic_config(settings)
    with _explaining(settings):
        command.upgrade(config, ":".join([*current, settings.target]), sql=True)


@contextmanager
def _explaining(settings: Settings) -> Iterator[None]:
    """Raise in place of what the body raises what `explained` says of it."""
    try:
        yield
    except Exception as error:
        raise explained(settings, error) from error


def explained(settings: Settings, error: BaseException) -> BaseException:
    """What went wrong outside of a revision: in the graph, the target or env.py's own connection."""
    if isinstance(error, DBAPIError):
        cause = error.orig or error
        kind, meaning = classify(cause)
        if kind is Kind.UNKNOWN and error.statement and not is_lost_connection(cause):
            return BadUsage(
                f"the server refuses a statement of env.py or of Alembic itself: {meaning}",
                meaning="It is none of a revision's",
                advice="Run `alembic current` with that env.py to see which one",
            )
        return refusal(cause, "env.py's connection: ")
    revision_error = error.__cause__ if isinstance(error.__cause__, complaints.RevisionError) else error
    text = str(error)
    if isinstance(revision_error, complaints.MultipleHeads | complaints.CycleDetected):
        return GraphBroken(text)
    if isinstance(revision_error, complaints.ResolutionError) or "Can't locate revision" in text:
        if getattr(revision_error, "argument", None) == settings.target or f"'{settings.target}'" in text:
            return BadUsage(f"the target is not a revision of this image: {text}")
        return RevisionUnknown(text)
    if isinstance(error, KeyError):
        return GraphBroken(f"a script goes back to {error}, which no script defines")
    return BadUsage(text) if isinstance(error, CommandError) else error
