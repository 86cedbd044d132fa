"""Recovery, decided for every interruption point: each statement is done exactly once, or a person is asked (I3)."""

from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alembic_gate import fingerprint
from alembic_gate.exits import RevisionInterrupted
from alembic_gate.fingerprint import ABSENT, Verdict, compare
from alembic_gate.recovery import Action, Next, decide_revision, decide_statement
from tests.unit.simulated_server import NEXT, Killed, Moment, Server, State, start

pytestmark = pytest.mark.I3


# -- programs ---------------------------------------------------------------------------------------------------------


@st.composite
def programs(draw: st.DrawFn, least: int = 1, most: int = 9, between: tuple[str, ...] = (NEXT, NEXT)) -> list[str]:
    """Statements that make sense one after the other: DDL of all sorts, and counters that show each repetition."""
    server, program = Server(), []
    for number in range(draw(st.integers(least, most))):
        tables = sorted(server.committed.tables)
        choices = [f"CREATE TABLE t{number} (id INT)", *counting(number), "COMMIT", *between]
        if tables:
            table = draw(st.sampled_from(tables))
            columns = server.committed.tables[table][1:]
            choices += [
                f"DROP TABLE {table}",
                f"ALTER TABLE {table} ADD c{number} INT",
                f"RENAME TABLE {table} TO r{number}",
                *(f"ALTER TABLE {table} DROP COLUMN {column}" for column in columns[:1]),
            ]
        statement = draw(st.sampled_from(choices))
        server.send(statement)
        server.commit()
        program.append(statement)
    return program


def counting(number: int) -> list[str]:
    return [f"UPDATE counter SET n = n + 1 WHERE name = 'k{number}'"] * 3


def undisturbed(program: list[str]) -> tuple[State, int]:
    """What is left after a run that nobody disturbs, and how many round trips it takes."""
    server = Server()
    trips = 0

    def count(work, *, implicit_commit=False, pass_on=server.round_trip):
        nonlocal trips
        trips += 1
        pass_on(work, implicit_commit=implicit_commit)

    server.round_trip = count  # type: ignore[method-assign]
    start(server, program)
    return server.committed, trips


moments = st.sampled_from(Moment)


@pytest.mark.parametrize("moment", Moment)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(program=programs())
def test_killed_at_every_round_trip_the_next_start_finishes_the_job(program, moment):
    wanted, trips = undisturbed(program)
    for trip in range(1, trips + 1):
        server = Server()
        with pytest.raises(Killed):
            start(server, program, (trip, moment))
        start(server, program)
        assert server.committed == wanted, f"killed at round trip {trip}"


@settings(max_examples=300)
@given(program=programs(), strikes=st.lists(st.tuples(st.integers(1, 25), moments), max_size=5))
def test_killed_again_and_again_also_while_recovering_the_last_start_finishes_the_job(program, strikes):
    wanted, _ = undisturbed(program)
    server = Server()
    for strike in strikes:
        try:
            start(server, program, strike)
        except Killed:
            continue
    start(server, program)
    assert server.committed == wanted


@given(program=programs(least=2, between=()), strike=st.tuples(st.integers(1, 25), moments), at=st.integers(0, 8))
def test_an_edit_counts_from_the_interruption_on_and_is_refused_before_it(program, strike, at):
    at = min(at, len(program) - 1)
    edited = [*program[:at], "UPDATE counter SET n = n + 1 WHERE name = 'edited'", *program[at:]]
    server = Server()
    try:
        start(server, program, strike)
        return
    except Killed:
        pass
    journal = server.committed.journal
    if server.committed.applied:
        return
    position = journal["position"] if journal else 0
    in_flight_done = journal and journal["statement"] and is_done(server, journal)
    if at < position or (at == position and in_flight_done):
        with pytest.raises(RevisionInterrupted, match=f"after {position} committed"):
            start(server, edited)
        return
    start(server, edited)
    assert server.committed.counters["edited"] == 1
    assert server.committed == undisturbed(edited)[0]


def is_done(server: Server, journal: dict) -> bool:
    now = fingerprint.take_again(server, journal["fingerprint"])
    server.hang_up()
    return compare(journal["statement"], journal["fingerprint"], now) is Verdict.DONE


def test_a_script_that_ends_before_what_is_committed_of_it_is_refused():
    program = ["CREATE TABLE a (id INT)", *counting(1), "CREATE TABLE b (id INT)", *counting(2)]
    server = Server()
    _, trips = undisturbed(program)
    with pytest.raises(Killed):
        start(server, program, (trips, Moment.BEFORE))
    with pytest.raises(RevisionInterrupted, match="ends before"):
        start(server, program[:2])


@given(
    program=programs(least=3),
    strikes=st.lists(st.tuples(st.integers(1, 25), moments, st.booleans()), min_size=2, max_size=4),
)
def test_what_a_person_has_settled_stays_settled_also_when_the_next_starts_are_killed(program, strikes):
    server = Server()
    for *strike, settles in strikes:
        try:
            start(server, program, tuple(strike))
        except Killed:
            if settles:
                settle_as_a_person_would(server)
    start(server, program)
    assert server.committed == undisturbed(program)[0]


def settle_as_a_person_would(server: Server) -> None:
    """What `repair --done` and `--not-done` write."""
    journal = server.committed.journal
    if journal and journal["statement"]:
        journal["position"] += is_done(server, journal)
        journal.update(digest="", statement=None, fingerprint={})


# -- the decisions, one by one ----------------------------------------------------------------------------------------

BEFORE = {"TABLE `a`": "1"}
AFTER = {"TABLE `a`": "2"}


@pytest.mark.parametrize(
    ("statement", "before", "now", "failed", "verdict"),
    [
        ("ALTER TABLE a ADD b INT", BEFORE, BEFORE, False, Verdict.NOT_DONE),
        ("ALTER TABLE a ADD b INT", BEFORE, AFTER, False, Verdict.DONE),
        ("CREATE TABLE a (b INT)", {"TABLE `a`": ABSENT}, BEFORE, False, Verdict.DONE),
        ("DROP TABLE a", BEFORE, {"TABLE `a`": ABSENT}, False, Verdict.DONE),
        ("DROP TABLE a, b", {"a": "1", "b": "1"}, {"a": ABSENT, "b": "1"}, False, Verdict.UNSURE),
        ("DROP TABLE a, b", {"a": "1", "b": "1"}, {"a": ABSENT, "b": ABSENT}, False, Verdict.DONE),
        ("CALL p()", {"schema": "1"}, {"schema": "1"}, False, Verdict.UNSURE),
        ("CALL p()", {"schema": "1"}, {"schema": "2"}, False, Verdict.UNSURE),
        ("CALL p()", {"schema": "1"}, {"schema": "1"}, True, Verdict.UNSURE),
        ("ANALYZE TABLE a", {"schema": "1"}, {"schema": "1"}, False, Verdict.NOT_DONE),
        ("CREATE USER u", {"schema": "1"}, {"schema": "1"}, False, Verdict.UNSURE),
        ("CREATE USER u", {"schema": "1"}, {"schema": "1"}, True, Verdict.NOT_DONE),
    ],
)
def test_what_a_fingerprint_shows(statement, before, now, failed, verdict):
    assert compare(statement, before, now, failed=failed) is verdict


def tables(**definitions: str) -> dict[str, str]:
    return {f"TABLE `{name}`": definition for name, definition in definitions.items()}


CIRCLE = "RENAME TABLE a TO x, b TO a, x TO b"
CHAIN = "RENAME TABLE b TO c, a TO b"


@pytest.mark.parametrize(
    ("statement", "before", "now", "verdict"),
    [
        (CIRCLE, tables(a="1", x=ABSENT, b="2"), tables(a="1", x=ABSENT, b="2"), Verdict.NOT_DONE),
        (CIRCLE, tables(a="1", x=ABSENT, b="2"), tables(a="2", x=ABSENT, b="1"), Verdict.DONE),
        (CIRCLE, tables(a="1", x=ABSENT, b="1"), tables(a="1", x=ABSENT, b="1"), Verdict.UNSURE),
        (CHAIN, tables(b="1", c=ABSENT, a="1"), tables(b="1", c=ABSENT, a="1"), Verdict.NOT_DONE),
        (CHAIN, tables(b="1", c=ABSENT, a="1"), tables(b="1", c="1", a=ABSENT), Verdict.DONE),
    ],
)
def test_tables_that_only_change_their_names_are_told_apart_where_they_can_be(statement, before, now, verdict):
    assert compare(statement, before, now) is verdict


SAME, OTHER = "ALTER TABLE a ADD b INT", "ALTER TABLE a ADD c INT"


@pytest.mark.parametrize(
    ("state", "noted", "now", "verdict", "step"),
    [
        ("running", None, SAME, Verdict.NOT_DONE, Next.RUN),
        ("running", SAME, SAME, Verdict.NOT_DONE, Next.RUN),
        ("running", SAME, OTHER, Verdict.NOT_DONE, Next.RUN),
        ("running", SAME, SAME, Verdict.DONE, Next.PASS),
        ("running", SAME, OTHER, Verdict.DONE, Next.REFUSE),
        ("running", SAME, SAME, Verdict.UNSURE, Next.REFUSE),
        ("failed", SAME, SAME, Verdict.NOT_DONE, Next.RUN),
        ("failed", SAME, OTHER, Verdict.NOT_DONE, Next.RUN),
        ("failed", SAME, SAME, Verdict.DONE, Next.REFUSE),
        ("failed", SAME, SAME, Verdict.UNSURE, Next.REFUSE),
    ],
)
def test_what_is_done_about_the_statement_in_flight(state, noted, now, verdict, step):
    decided, why = decide_statement(state, noted, now, verdict)
    assert decided is step
    assert bool(why) == (step is Next.REFUSE)


GRAPH = {"a": (), "b": ("a",), "c": ("b",)}


@pytest.mark.parametrize(
    ("revision", "direction", "current", "action"),
    [
        ("b", "upgrade", {"a"}, Action.RESUME),
        ("a", "upgrade", set(), Action.RESUME),
        ("b", "upgrade", {"b"}, Action.CLOSE),
        ("b", "upgrade", {"c"}, Action.CLOSE),
        ("c", "upgrade", {"a"}, Action.REFUSE),
        ("x", "upgrade", {"a"}, Action.REFUSE),
        ("c", "downgrade", {"c"}, Action.RESUME),
        ("c", "downgrade", {"b"}, Action.CLOSE),
        ("b", "downgrade", {"c"}, Action.REFUSE),
        ("x", "downgrade", {"c"}, Action.REFUSE),
    ],
)
def test_what_is_done_about_an_interrupted_revision(revision, direction, current, action):
    decided, why = decide_revision(revision, direction, GRAPH, current)
    assert decided is action
    assert bool(why) == (action is Action.REFUSE)


def test_definitions_are_told_apart_by_what_is_defined_not_by_rows_or_the_hour():
    shown = [
        ("t", "CREATE TABLE `t` (`a` int) ENGINE=InnoDB AUTO_INCREMENT=4 DEFAULT CHARSET=utf8mb4"),
        ("t", "CREATE TABLE `t` (`a` int) ENGINE=InnoDB AUTO_INCREMENT=90 DEFAULT CHARSET=utf8mb4"),
        ("t", "CREATE TABLE `t` (`a` int) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"),
        ("t", "CREATE TABLE `t` (`b` int) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"),
    ]
    cursor = SimpleNamespace(execute=lambda *_: None)
    taken = []
    for row in shown:
        cursor.fetchone = lambda row=row: row
        taken.append(fingerprint.take(cursor, "ALTER TABLE t ADD a INT"))
    assert taken[0] == taken[1] == taken[2] != taken[3]
