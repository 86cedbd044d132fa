"""What the server answered comes back as it was, or it is known not to: never as something else (I3)."""

import pickle
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alembic_gate.answers import Answer, Recorder, RunningDigest, decode, encode, read

pytestmark = pytest.mark.I3

ROOMY = 1 << 20

values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.timedeltas()
)
rows = st.integers(1, 4).flatmap(lambda width: st.lists(st.tuples(*[values] * width), max_size=4))
descriptions = st.lists(
    st.tuples(st.text(), st.integers(), st.none(), st.integers(), st.integers(), st.integers(), st.booleans()),
    min_size=1,
    max_size=4,
)
answers = st.builds(
    Answer,
    st.text("0123456789abcdef", min_size=16, max_size=16),
    rowcount=st.integers(-1),
    lastrowid=st.none() | st.integers(0),
    description=st.none() | descriptions,
    rows=st.none() | rows,
    variables=st.none() | st.lists(st.tuples(st.text(), values), max_size=2),
    error=st.none(),
    kept=st.just(True),
)
errors = st.builds(
    lambda error: Answer("d" * 16, error=error),
    st.tuples(st.sampled_from(["IntegrityError", "OperationalError"]), st.tuples(st.integers(), st.text())),
)


def same(one: Answer, other: Answer) -> bool:
    """Equal, and of the same types: 1, 1.0, True and Decimal(1) are four answers."""
    names = ("digest", "rowcount", "lastrowid", "description", "rows", "error", "kept")
    return all(typed(getattr(one, name)) == typed(getattr(other, name)) for name in names) and (
        typed([tuple(pair) for pair in one.variables or ()]) == typed([tuple(pair) for pair in other.variables or ()])
    )


def typed(value):
    if isinstance(value, list | tuple):
        return type(value), [typed(item) for item in value]
    return type(value), str(value)


@given(answers | errors)
@example(
    Answer("d" * 16, 1, 7, rows=[(None, True, 1, 2**200, 0.1, "中文 \x1c\x85\u2028\n", b"\x00\xff", Decimal("1.10"))])
)
@example(Answer("d" * 16, rows=[(date(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999), time(0), timedelta(-35))]))
@example(Answer("d" * 16, rows=[(float("inf"), -0.0, "", b"", Decimal("-0E+3"))]))
@example(Answer("d" * 16, rows=[]))
def test_an_answer_comes_back_as_it_was(answer):
    line = encode(answer)
    assert line.isascii()
    assert "\n" not in line
    assert same(decode(line), answer)


class Unheard:
    """A type that no server sends and no journal carries; and a trap for whoever would pickle it."""

    def __reduce__(self):
        raise AssertionError("an answer was pickled")


@pytest.mark.parametrize(
    "value", [Unheard(), object(), 1j, {1, 2}, Exception("x")], ids=lambda value: type(value).__name__
)
def test_a_value_that_cannot_be_carried_is_not_kept_and_never_pickled(value, monkeypatch):
    monkeypatch.setattr(pickle, "dumps", None)
    with pytest.raises(TypeError):
        encode(Answer("d" * 16, rows=[(value,)]))
    recorder = Recorder(ROOMY)
    recorder.add(Answer("d" * 16, rows=[(value,)]))
    recorder.add(Answer("e" * 16, rowcount=3))
    recorder.chunk()
    recorder.mark_committed()
    unkept, kept = read(recorder.committed)
    assert (unkept.digest, unkept.kept) == ("d" * 16, False)
    assert (kept.rowcount, kept.kept) == (3, True)


@given(st.lists(st.lists(answers | errors, max_size=3), max_size=4))
def test_answers_come_back_in_order_from_all_chunks(checkpoints):
    recorder = Recorder(ROOMY)
    for batch in checkpoints:
        for answer in batch:
            recorder.add(answer)
        recorder.chunk()
        recorder.mark_committed()
    wanted = [answer for batch in checkpoints for answer in batch]
    found = read(recorder.committed)
    assert len(found) == len(wanted)
    assert all(same(one, other) for one, other in zip(found, wanted, strict=True))


def test_what_was_added_after_a_checkpoint_waits_for_the_next():
    recorder = Recorder(ROOMY)
    recorder.add(Answer("1" * 16))
    first = recorder.chunk()
    recorder.add(Answer("2" * 16))
    recorder.mark_committed()
    assert recorder.committed == first
    assert [answer.digest for answer in read(recorder.chunk())] == ["2" * 16]


def test_a_checkpoint_that_did_not_commit_is_written_again_with_what_came_since():
    recorder = Recorder(ROOMY)
    recorder.add(Answer("1" * 16))
    recorder.chunk()
    recorder.add(Answer("2" * 16))
    assert [answer.digest for answer in read(recorder.chunk())] == ["1" * 16, "2" * 16]


def test_an_answer_that_is_taken_back_is_not_kept():
    recorder = Recorder(ROOMY)
    recorder.add(Answer("1" * 16))
    recorder.add(Answer("2" * 16))
    recorder.forget_last()
    assert [answer.digest for answer in read(recorder.chunk())] == ["1" * 16]


def noise(length: int) -> str:
    """Text that does not compress."""
    digest = RunningDigest()
    return "".join(digest.add(str(number), None) for number in range(length // 16))


def test_an_answer_over_the_limit_is_not_kept_but_its_place_is():
    recorder = Recorder(limit_bytes=1000)
    recorder.add(Answer("1" * 16, rows=[(noise(600),)]))
    recorder.add(Answer("2" * 16, rows=[(noise(60_000),)]))
    recorder.add(Answer("3" * 16, rowcount=5, lastrowid=9))
    found = read(recorder.chunk())
    assert [answer.kept for answer in found] == [True, False, True]
    assert found[1].digest == "2" * 16
    assert (found[2].rowcount, found[2].lastrowid) == (5, 9)


def test_the_limit_counts_what_earlier_starts_have_kept():
    recorder = Recorder(limit_bytes=1000, **{committed_argument(): b"x" * 990})
    recorder.add(Answer("1" * 16, rows=[(noise(600),)]))
    assert [answer.kept for answer in read(recorder.chunk())] == [False]


def committed_argument() -> str:
    return next(name for name in Recorder.__init__.__annotations__ if name not in ("limit_bytes", "return"))


def test_the_limit_is_of_what_is_stored_compressed():
    recorder = Recorder(limit_bytes=1000)
    recorder.add(Answer("1" * 16, rows=[("a" * 100_000,)]))
    assert [answer.kept for answer in read(recorder.chunk())] == [True]


def test_a_limit_of_nothing_still_keeps_what_replaying_writes_needs():
    recorder = Recorder(limit_bytes=0)
    recorder.add(Answer("1" * 16, rowcount=1, lastrowid=2**63))
    assert [answer.lastrowid for answer in read(recorder.chunk())] == [2**63]


# -- the running digest -----------------------------------------------------------------------------------------------

statements = st.lists(
    st.tuples(st.text(), st.none() | st.lists(values) | st.dictionaries(st.text(), values)), max_size=4
)


def digests(said) -> list[str]:
    digest = RunningDigest()
    return [digest.add(statement, parameters) for statement, parameters in said]


@given(statements)
def test_the_same_statements_have_the_same_digests(said):
    assert digests(said) == digests(said)


@given(statements, statements)
def test_other_statements_have_other_digests_from_there_on(one, other):
    if one == other:
        return
    ours, theirs = digests(one), digests(other)
    for index, (mine, yours) in enumerate(zip(ours, theirs, strict=False)):
        alike = typed_statements(one[: index + 1]) == typed_statements(other[: index + 1])
        assert (mine == yours) == alike


def typed_statements(said):
    return [(statement, typed_parameters(parameters)) for statement, parameters in said]


def typed_parameters(parameters):
    if isinstance(parameters, dict):
        return [(name, typed(value)) for name, value in parameters.items()]
    return typed(parameters)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", None), ("a", None)),
        (("INSERT", [1, 2]), ("INSERT", [12])),
        (("INSERT", ["1"]), ("INSERT", [1])),
        (("INSERT", [True]), ("INSERT", [1])),
        (("INSERT", [b"a"]), ("INSERT", ["a"])),
        (("INSERT", [Decimal("1.0")]), ("INSERT", [Decimal("1.00")])),
        (("INSERT", [None]), ("INSERT", None)),
        (("INSERT", [[1], [2]]), ("INSERT", [[1, 2]])),
    ],
)
def test_what_differs_in_little_differs_in_its_digest(one, other):
    assert digests([one]) != digests([other])


def test_a_set_has_one_digest_whatever_its_order():
    # Small integers lie in a set in the order in which they collided.
    one, other = {0, 8}, {8, 0}
    assert list(one) != list(other)
    assert digests([("SELECT", [one])]) == digests([("SELECT", [other])])


def test_lone_surrogates_and_foreign_objects_can_be_digested():
    assert digests([("\ud800", ["\udfff", Unheard(), Decimal("NaN"), float("nan")])])
