"""A revision that says something else each time is refused once it can't be replayed, and settled by a person."""

from dataclasses import replace

import pytest

from tests.crash.compare import what_is_left
from tests.crash.history import NONDETERMINISTIC
from tests.crash.jobs import Ended
from tests.crash.lab import Lab
from tests.crash.points import UPGRADE, Point, Reference, Route, every_point
from tests.crash.rig import Rig, fresh_database
from tests.crash.unencrypted import Unencrypted
from tests.crash.verdict import REFUSED_CODE, Verdict, assert_all, assert_all_converged
from tests.support.database import Database
from tests.support.proxy import Moment, Strike

COMMITS_THE_UUID = "ALTER TABLE tenant"
LAST_OF_THE_REVISION = "UPDATE tenant SET name"
LABEL = "nondeterministic"


@pytest.mark.timeout(600)
def test_refused_as_soon_as_a_ddl_has_committed_what_nobody_can_say_again(
    lab: Lab, target: Unencrypted, every: bool
) -> None:
    reference = lab.reference(Route(target, NONDETERMINISTIC, UPGRADE))
    first, last = position(reference, COMMITS_THE_UUID), position(reference, LAST_OF_THE_REVISION)
    points = [point for point in every_point(reference) if every or point.strikes[0].n in (2, first, last)]
    repeatable = [point for point in points if before(point, first, Moment.JUST_AFTER)]
    committed = [point for point in points if point not in repeatable and point.strikes[0].n <= last]
    closing = [point for point in points if point.strikes[0].n > last]
    assert_all_converged(lab.try_all(repeatable, LABEL))
    assert_all(lab.try_all(committed, LABEL), {Verdict.REFUSED})
    assert_all(lab.try_all(closing, LABEL), {Verdict.REFUSED, Verdict.CONVERGED})


def position(reference: Reference, statement: str) -> int:
    """Return which of the job's statements this is, counted from 1."""
    return next(n for n, text in enumerate(reference.statements, start=1) if text.startswith(statement))


def before(point: Point, n: int, moment: Moment) -> bool:
    """Tell whether the point lies before this moment of the n-th statement."""
    moments = list(Moment)
    strike = point.strikes[0]
    return (strike.n, moments.index(strike.moment)) < (n, moments.index(moment))


def test_person_who_finds_the_ddl_done_says_so_and_the_next_start_goes_on(lab: Lab, target: Unencrypted) -> None:
    reference = lab.reference(Route(target, NONDETERMINISTIC, UPGRADE))
    route = reference.route
    with lab.rig() as rig:
        database = refused(rig, reference)
        shown = run(rig, database, route, "repair")
        assert shown.code == 0
        assert "n1" in shown.output
        assert "ALTER TABLE tenant" in shown.output
        assert run(rig, database, route, "upgrade").code == REFUSED_CODE
        assert run(rig, database, route, "repair", "--done").code == 0
        assert run(rig, database, route, "upgrade").code == 0
        assert what_is_left(database, NONDETERMINISTIC) == reference.left


def test_person_who_undoes_everything_by_hand_abandons_it_and_the_next_start_begins_anew(
    lab: Lab, target: Unencrypted
) -> None:
    reference = lab.reference(Route(target, NONDETERMINISTIC, UPGRADE))
    route = reference.route
    with lab.rig() as rig:
        database = refused(rig, reference)
        database.query("DROP TABLE tenant")
        assert run(rig, database, route, "repair", "--abandon").code == 0
        assert run(rig, database, route, "upgrade").code == 0
        assert what_is_left(database, NONDETERMINISTIC) == reference.left


def test_person_who_takes_the_ddl_back_says_not_done_and_the_next_start_runs_it(lab: Lab, target: Unencrypted) -> None:
    reference = lab.reference(Route(target, NONDETERMINISTIC, UPGRADE))
    route = reference.route
    with lab.rig() as rig:
        database = refused(rig, reference)
        database.query("ALTER TABLE tenant DROP COLUMN name")
        assert run(rig, database, route, "repair", "--not-done").code == 0
        assert run(rig, database, route, "upgrade").code == 0
        assert what_is_left(database, NONDETERMINISTIC) == reference.left


def refused(rig: Rig, reference: Reference) -> Database:
    """Return a database in which the next start was refused, its ALTER done."""
    database = fresh_database(rig, reference.route)
    rig.run(database, reference.route, Strike(position(reference, COMMITS_THE_UUID), Moment.ANSWERED))
    assert run(rig, database, reference.route, "upgrade").code == REFUSED_CODE
    return database


def run(rig: Rig, database: Database, route: Route, *argv: str) -> Ended:
    """Run a verb on the database."""
    return rig.start(database, replace(route, argv=argv)).wait()
