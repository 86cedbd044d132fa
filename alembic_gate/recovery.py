"""Decide what an interrupted revision needs. Pure: from the journal's row, the versions, the scripts and a fingerprint.

The rule of all of it (I3): go on only where exactly one continuation fits what is known; otherwise refuse and say why.
"""

from collections.abc import Collection
from enum import Enum

from alembic_gate.fingerprint import Verdict
from alembic_gate.graph import Graph, closure


class Action(Enum):
    RESUME = "run the revision again, answering what is committed from the journal"
    CLOSE = "somebody else has completed it"
    REFUSE = "a person must look"


class Next(Enum):
    """What to do about the statement after the committed ones."""

    RUN = "run it"
    PASS = "it was done"
    REFUSE = "a person must look"


def decide_revision(revision: str, direction: str, scripts: Graph, current: Collection[str]) -> tuple[Action, str]:
    """Say what to do about an open row, and why when it is refused.

    The row closes in the transaction that moves `alembic_version`, so an open row means that the version is where it
    was before; unless somebody moved it by other means.
    """
    applied = closure(scripts, current)
    if revision not in scripts:
        return Action.REFUSE, "no script of this image defines it"
    children = sorted(child for child, needs in scripts.items() if revision in needs and child in applied)
    if direction == "downgrade":
        if revision not in applied:
            return Action.CLOSE, ""
        if children:
            return Action.REFUSE, f"its downgrade was interrupted, but '{children[0]}', which needs it, is applied"
        return Action.RESUME, ""
    if revision in applied:
        return Action.CLOSE, ""
    missing = sorted(set(scripts[revision]) - applied)
    if missing:
        return Action.REFUSE, f"it builds on '{missing[0]}', which is not applied any more"
    return Action.RESUME, ""


def decide_statement(state: str, noted: str | None, now: str, verdict: Verdict) -> tuple[Next, str]:
    """Say what to do about the statement in flight: `noted` in the journal, `now` in the script.

    Not done means run what the script says now, which may have been mended. Done counts only for the very same text.
    """
    if noted is None or verdict is Verdict.NOT_DONE:
        return Next.RUN, ""
    if verdict is Verdict.UNSURE:
        return Next.REFUSE, "what it touches does not show whether it was done, or it was done in part"
    if state == "failed":
        return Next.REFUSE, "it failed, but what it touches has changed since"
    if noted != now:
        return Next.REFUSE, "it was done, but the script says something else there now"
    return Next.PASS, ""
