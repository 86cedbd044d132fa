"""Decide from the revision graph alone where a database stands. Pure: no file, no server, no Alembic.

A graph is a mapping from a revision's id to the ids that it needs first (its parents and dependencies).
"""

from collections.abc import Collection, Iterable, Mapping
from enum import Enum

from alembic_gate.exits import GraphBroken

Ids = Collection[str]
Graph = Mapping[str, Ids]


class Standing(Enum):
    AT_TARGET = "at target"
    BEHIND = "behind"
    AHEAD = "ahead"
    UNKNOWN = "unknown"
    BELOW_FLOOR = "below the floor"


def closure(graph: Graph, start: Iterable[str]) -> set[str]:
    """All revisions that are applied where `start` is: itself and everything that it needs."""
    seen: set[str] = set()
    todo = list(start)
    while todo:
        revision = todo.pop()
        if revision not in seen:
            seen.add(revision)
            todo.extend(graph.get(revision, ()))
    return seen


def in_order(graph: Graph, revisions: Ids) -> list[str]:
    """Sort revisions so that each comes after what it needs; raises GraphBroken on a cycle."""
    ordered: dict[str, None] = {}
    begun: set[str] = set()
    todo = sorted(revisions, reverse=True)
    while todo:
        revision = todo[-1]
        needs = [need for need in sorted(graph.get(revision, ())) if need in revisions and need not in ordered]
        if revision in ordered or not needs:
            ordered.setdefault(todo.pop())
        elif revision in begun:
            raise GraphBroken(f"revision '{revision}' is among its own ancestors")
        else:
            begun.add(revision)
            todo.extend(needs)
    return list(ordered)


def assert_sound(graph: Graph) -> None:
    """Raise GraphBroken where a parent is missing or the graph has a cycle."""
    for revision, needs in graph.items():
        for need in needs:
            if need not in graph:
                raise GraphBroken(f"revision '{revision}' goes back to '{need}', which no script defines")
    in_order(graph, graph.keys())


def wanted(graph: Graph, heads: Ids, target: str) -> set[str] | None:
    """The revisions that `target` names; None where only Alembic can tell (relative, partial and branch names)."""
    if target == "head" and len(heads) > 1:
        raise GraphBroken(
            f"the scripts have {len(heads)} heads: {', '.join(sorted(heads))}",
            meaning="Two branches were merged in version control, not in the history",
            advice="Run `alembic merge heads`, or set GATE_TARGET=heads if they are meant to stay apart",
        )
    if target in ("head", "heads"):
        return set(heads)
    return {target} if target in graph else None


def standing(
    scripts: Graph, target: Ids, heads: Ids, current: Ids, lineage: Graph, floors: Mapping[str, str]
) -> Standing:
    """Say where a database at `current` stands to `target`.

    `lineage` is what the journal knows of each revision's parents, `floors` the oldest head that a revision lets start.
    Ahead must be proved: every current revision that the scripts lack is in the journal, and each of our heads is
    among its ancestors.
    """
    unknown = set(current) - scripts.keys()
    if not unknown:
        return Standing.AT_TARGET if set(target) <= closure(scripts, current) else Standing.BEHIND
    merged = {**lineage, **scripts}
    applied = closure(merged, current)
    if not unknown <= lineage.keys() or not set(heads) <= applied:
        return Standing.UNKNOWN
    allowed = closure(merged, heads) | {""}
    newer = applied - scripts.keys()
    return Standing.AHEAD if all(floors.get(revision, "") in allowed for revision in newer) else Standing.BELOW_FLOOR
