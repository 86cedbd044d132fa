"""Recovery itself may be killed: two kills in a row end where none would have."""

import pytest

from tests.crash.history import DETERMINISTIC, History
from tests.crash.lab import Lab
from tests.crash.points import DOWNGRADE, UPGRADE, Point, Reference, Route, spread_out, spread_out_strikes
from tests.crash.unencrypted import Unencrypted
from tests.crash.verdict import assert_all_converged
from tests.support.proxy import Moment, Strike

BY_NAME = {history.name: history for history in DETERMINISTIC}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("argv", [UPGRADE, DOWNGRADE], ids=" ".join)
@pytest.mark.parametrize("history", DETERMINISTIC, ids=lambda history: history.name)
def test_two_kills_in_a_row(
    lab: Lab, target: Unencrypted, every: bool, history: History, argv: tuple[str, ...]
) -> None:
    reference = lab.reference(Route(target, history, argv))
    firsts = spread_out(reference, 4 if every else 1)
    points = [point for one in firsts for point in struck_again(lab, reference, one.strikes[0], 3 if every else 1)]
    assert_all_converged(lab.try_all(points, "two kills in a row"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "argv", "statement"),
    [
        ("backfill", UPGRADE, "ALTER TABLE person DROP COLUMN full_name"),
        ("backfill", DOWNGRADE, "ALTER TABLE person DROP COLUMN first_name"),
        ("conditional", UPGRADE, "EXECUTE decided"),
    ],
)
def test_recovery_killed_at_every_statement_of_its_own(
    lab: Lab, target: Unencrypted, every: bool, name: str, argv: tuple[str, ...], statement: str
) -> None:
    reference = lab.reference(Route(target, BY_NAME[name], argv))
    first = Strike(reference.statements.index(statement) + 1, Moment.JUST_AFTER)
    points = struck_again(lab, reference, first, None if every else 2)
    assert_all_converged(lab.try_all(points, "kills during recovery"))


def struck_again(lab: Lab, reference: Reference, first: Strike, count: int | None) -> list[Point]:
    """Return points that strike the start after the first strike as well: at `count` of its statements, or at each."""
    statements = len(lab.statements_after(reference, first))
    return [Point(reference, (first, second)) for second in spread_out_strikes(statements, count or statements)]


@pytest.mark.timeout(600)
def test_job_that_is_killed_six_times_still_gets_there(lab: Lab, target: Unencrypted) -> None:
    reference = lab.reference(Route(target, BY_NAME["sessions"], UPGRADE))
    point = Point(reference, tuple(spread_out_strikes(len(reference.statements), 6)))
    assert_all_converged([lab.try_one(point, "six kills in a row")])
