"""Where a database stands, decided from graphs alone: against a model that enumerates every path."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alembic_gate.exits import ExitCode, GraphBroken
from alembic_gate.graph import Standing, assert_sound, closure, in_order, standing, wanted

NAMES = "abcdefgh"

Graph = dict[str, tuple[str, ...]]


@st.composite
def histories(draw: st.DrawFn, most: int = len(NAMES)) -> Graph:
    """A graph without cycles: each revision needs only earlier ones."""
    size = draw(st.integers(1, most))
    return {
        NAMES[index]: tuple(sorted(draw(st.sets(st.sampled_from(NAMES[:index]), max_size=3)))) if index else ()
        for index in range(size)
    }


def heads_of(graph: Graph) -> set[str]:
    return graph.keys() - {need for needs in graph.values() for need in needs}


def paths(graph: Graph, start: str) -> list[list[str]]:
    """Every way down from a revision, each prefix of one included."""
    found = [[start]]
    for need in graph.get(start, ()):
        found += [[start, *rest] for rest in paths(graph, need)]
    return found


def at_or_below(graph: Graph, start: set[str]) -> set[str]:
    return {path[-1] for revision in start for path in paths(graph, revision)}


subsets = st.sets(st.sampled_from(NAMES))


@given(histories(), subsets)
def test_the_closure_is_all_that_a_way_down_reaches(graph, start):
    assert closure(graph, start) == at_or_below(graph, start)


@given(histories(), subsets)
def test_in_order_each_revision_comes_after_what_it_needs(graph, chosen):
    chosen &= graph.keys()
    ordered = in_order(graph, chosen)
    assert sorted(ordered) == sorted(chosen)
    for revision in ordered:
        for need in set(graph[revision]) & chosen:
            assert ordered.index(need) < ordered.index(revision)


@given(histories(), subsets)
def test_the_order_does_not_depend_on_how_it_was_asked(graph, chosen):
    chosen &= graph.keys()
    assert in_order(graph, sorted(chosen)) == in_order(dict(reversed(graph.items())), sorted(chosen, reverse=True))


@given(histories())
def test_a_history_is_sound(graph):
    assert_sound(graph)


@given(histories(), st.data())
def test_a_cycle_anywhere_is_found(graph, data):
    circle = data.draw(st.lists(st.sampled_from(sorted(graph)), min_size=1, max_size=4, unique=True))
    for revision, need in [*pairwise(circle), (circle[-1], circle[0])]:
        graph[revision] = tuple({*graph[revision], need})
    with pytest.raises(GraphBroken) as broken:
        assert_sound(graph)
    assert broken.value.code == ExitCode.BROKEN_GRAPH


@given(histories(), st.data())
def test_a_missing_parent_is_found_and_named(graph, data):
    revision = data.draw(st.sampled_from(sorted(graph)))
    graph[revision] = (*graph[revision], "gone")
    with pytest.raises(GraphBroken, match="'gone'"):
        assert_sound(graph)


def test_a_history_of_ten_thousand_revisions_is_no_deep_recursion():
    graph = {str(number): (str(number - 1),) if number else () for number in range(10_000)}
    assert_sound(graph)
    assert in_order(graph, graph.keys())[-1] == "9999"
    assert len(closure(graph, {"9999"})) == 10_000


@given(histories())
def test_head_means_the_only_one_and_heads_all_of_them(graph):
    heads = heads_of(graph)
    assert wanted(graph, heads, "heads") == heads
    if len(heads) == 1:
        assert wanted(graph, heads, "head") == heads
    else:
        with pytest.raises(GraphBroken, match=", ".join(sorted(heads))):
            wanted(graph, heads, "head")


@pytest.mark.parametrize("target", ["+1", "-1", "base", "a+2", "label@head", "aa", ""])
def test_a_target_that_only_alembic_understands_is_left_to_it(target):
    assert wanted({"a": (), "aab": ("a",)}, {"aab"}, target) is None


def test_a_revision_is_its_own_target():
    assert wanted({"a": (), "b": ("a",)}, {"b"}, "a") == {"a"}


# -- standing ---------------------------------------------------------------------------------------------------------


def model(scripts, target, heads, current, lineage, floors) -> Standing:
    """The contract's sentences, one after the other."""
    if all(revision in scripts for revision in current):
        return Standing.AT_TARGET if target <= at_or_below(scripts, current) else Standing.BEHIND
    everything = {**lineage, **scripts}
    known = all(revision in scripts or revision in lineage for revision in current)
    ours_applied = all(any(head in path for start in current for path in paths(everything, start)) for head in heads)
    if not (known and ours_applied):
        return Standing.UNKNOWN
    for revision in at_or_below(everything, current) - scripts.keys():
        if floors.get(revision) and floors[revision] not in at_or_below(everything, heads):
            return Standing.BELOW_FLOOR
    return Standing.AHEAD


@given(st.data())
def test_standing_agrees_with_the_contract_whatever_the_journal_knows(data):
    everything = data.draw(histories())
    # An older image has fewer scripts, but each with all that it needs; the journal may know any part of the whole.
    scripts_names = at_or_below(everything, data.draw(st.sets(st.sampled_from(sorted(everything)))))
    scripts = {name: needs for name, needs in everything.items() if name in scripts_names}
    lineage_names = data.draw(st.sets(st.sampled_from(sorted(everything))))
    lineage = {name: needs for name, needs in everything.items() if name in lineage_names}
    current = data.draw(st.sets(st.sampled_from([*everything, "foreign"]), max_size=3))
    heads = heads_of(scripts)
    target = data.draw(st.sets(st.sampled_from(sorted(scripts)))) if scripts else set()
    floors = data.draw(st.dictionaries(st.sampled_from(sorted(everything)), st.sampled_from([*everything, ""])))

    assert standing(scripts, target, heads, current, lineage, floors) is model(
        scripts, target, heads, current, lineage, floors
    )


OLD = {"a": (), "b": ("a",)}
NEWER = {"c": ("b",)}


def stands(current, lineage=None, floors=None, scripts=OLD, heads=("b",)):
    return standing(scripts, set(heads), set(heads), set(current), lineage or {}, floors or {})


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (stands(""), Standing.BEHIND),
        (stands("a"), Standing.BEHIND),
        (stands("b"), Standing.AT_TARGET),
        (stands("c"), Standing.UNKNOWN),
        (stands("c", NEWER), Standing.AHEAD),
        (stands("c", {"c": ("a",)}), Standing.UNKNOWN),
        (stands("d", {**NEWER, "d": ("c",)}), Standing.AHEAD),
        (stands("d", {"d": ("c",)}), Standing.UNKNOWN),
        (stands("c", NEWER, {"c": "c"}), Standing.BELOW_FLOOR),
        (stands("c", NEWER, {"c": "b"}), Standing.AHEAD),
        (stands("d", {**NEWER, "d": ("c",)}, {"c": "c"}), Standing.BELOW_FLOOR),
        (stands("c", NEWER, {"b": "c"}), Standing.AHEAD),
        (stands("cx", NEWER), Standing.UNKNOWN),
    ],
    ids=range(13),
)
def test_standing_in_examples(said, expected):
    assert said is expected
