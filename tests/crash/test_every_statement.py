"""Killed at any statement, at any moment of it, the job is finished by the next start."""

import pytest

from tests.crash.history import DETERMINISTIC, SESSION_STATE, History
from tests.crash.lab import Lab
from tests.crash.points import DOWNGRADE, UPGRADE, Route, every_point, spread_out
from tests.crash.rig import run_undisturbed
from tests.crash.unencrypted import Unencrypted
from tests.crash.verdict import Verdict, assert_all, assert_all_converged

SAMPLE = 3
"""Points of each history and direction that a sample has: one for each moment, and 36 for each server."""

both_directions = pytest.mark.parametrize("argv", [UPGRADE, DOWNGRADE], ids=" ".join)
every_history = pytest.mark.parametrize("history", DETERMINISTIC, ids=lambda history: history.name)


@pytest.mark.timeout(1200)
@every_history
def test_next_start_finishes_the_job(lab: Lab, target: Unencrypted, every: bool, history: History) -> None:
    ways = [lab.reference(Route(target, history, argv)) for argv in (UPGRADE, DOWNGRADE)]
    there, back = (every_point(way) if every else spread_out(way, SAMPLE) for way in ways)
    assert_all_converged(lab.try_there_and_back(there, back, "every statement" if every else "sample of statements"))


@pytest.mark.timeout(600)
def test_what_only_the_session_knew_is_never_guessed(lab: Lab, target: Unencrypted, every: bool) -> None:
    reference = lab.reference(Route(target, SESSION_STATE, UPGRADE))
    points = spread_out(reference, len(reference.statements) if every else 2 * SAMPLE)
    assert_all(lab.try_all(points, "lost session state"), {Verdict.CONVERGED, Verdict.REFUSED})


@both_directions
@every_history
def test_undisturbed_gate_leaves_what_plain_alembic_leaves(
    lab: Lab, target: Unencrypted, history: History, argv: tuple[str, ...]
) -> None:
    reference = lab.reference(Route(target, history, argv))
    assert run_undisturbed(lab.plain_rig, reference.route).left == reference.left


@both_directions
def test_job_from_the_fork_server_is_the_job_that_the_entrypoint_starts(
    lab: Lab, target: Unencrypted, argv: tuple[str, ...]
) -> None:
    forked = lab.reference(Route(target, DETERMINISTIC[0], argv))
    fresh = run_undisturbed(lab.entrypoint_rig, forked.route)
    assert [_verb(text) for text in fresh.statements] == [_verb(text) for text in forked.statements]
    points = spread_out(fresh, SAMPLE)
    assert_all_converged(lab.try_one(point, "entrypoint.py itself", lab.entrypoint_rig) for point in points)


def _verb(statement: str) -> str:
    return statement.split()[0].upper()
