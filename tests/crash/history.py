"""The histories that are killed: Alembic projects under `histories/`, and what has to be known about each."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent / "histories"

BEFORE_ANY_REVISION = (
    "CREATE TABLE tally (name VARCHAR(20) PRIMARY KEY, n INT NOT NULL)",
    "INSERT INTO tally VALUES ('first', 1), ('last', 1)",
)
"""What every database holds before the first revision, and still after the last downgrade: a place to count runs in."""


@dataclass(frozen=True)
class History:
    """One Alembic project; `versions` is where its revisions lie.

    `generated` names columns (by table) whose values come from AUTO_INCREMENT or point to such. InnoDB does not take a
    number back when its transaction is rolled back, so that an honest repetition leaves a gap there: these columns are
    compared by rank, everything else by value.
    """

    name: str
    versions: Path
    may_refuse: bool = False
    generated: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def lay_out(self, directory: Path) -> Path:
        """Copy the history to `directory` as a project of its own and return its alembic.ini."""
        project = directory / self.name
        if not project.exists():
            shutil.copytree(HERE / "shared", project)
            shutil.copytree(self.versions, project / "versions", ignore=shutil.ignore_patterns("__pycache__"))
        return project / "alembic.ini"


def _shipped(name: str, *, may_refuse: bool = False, **generated: tuple[str, ...]) -> History:
    return History(name, HERE / name / "versions", may_refuse, generated)


DETERMINISTIC = (
    _shipped("counters"),
    _shipped("backfill"),
    _shipped("conditional"),
    _shipped("objects"),
    _shipped("sessions", team=("id",), member=("id", "team_id", "captain_of")),
    _shipped("branches"),
)
SESSION_STATE = _shipped("session_state", may_refuse=True, parent=("id",), child=("parent_id",))
NONDETERMINISTIC = _shipped("nondeterministic", may_refuse=True, tenant=("token",))
SLOW_ALTER = _shipped("slow_alter")
