"""The pages on speed say what was measured, and nothing else."""

import json
from xml.etree import ElementTree

import pytest

from bench import report
from bench.targets import targets
from tests.support.gate import ROOT

RESULTS = json.loads((ROOT / report.JSON).read_text(encoding="utf-8"))


def test_the_readme_promises_what_the_bench_holds_the_gate_to_and_what_it_measured() -> None:
    said = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert "at most an eighth of plain Alembic's time and 0.35 of its memory" in said
    assert "1,000 revisions are applied in at most 1.1 of its time" in said
    held_to = {target.limit for target in targets(RESULTS) if "of Alembic's" in target.words}
    assert held_to == {1 / 8, 0.35, 1.1}
    assert [str(target) for target in targets(RESULTS) if not target.met] == []


@pytest.mark.parametrize("name", report.pages(RESULTS))
def test_a_generated_page_is_what_the_figures_render_to(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == report.pages(RESULTS)[name], "run make bench"


def test_the_picture_has_a_bar_for_each_tool_with_something_to_do() -> None:
    picture = ElementTree.fromstring(report.pages(RESULTS)["docs/benchmarks.svg"])
    bars = picture.findall("{http://www.w3.org/2000/svg}rect")
    assert len(bars) > len(RESULTS["tools"])
    assert all(float(bar.attrib["width"]) > 0 for bar in bars)


def test_a_figure_above_its_limit_misses_the_target() -> None:
    slow = {"gate": {"wall_seconds": [1.0, 3.0, 9.0]}, "alembic": {"wall_seconds": [2.0]}}
    (target,) = targets({"apply": {"1000": slow}})
    assert (target.measured, target.verdict) == (1.5, "MISSED")
    (target,) = targets({"apply": {"1000": {**slow, "alembic": {"wall_seconds": [3.0]}}}})
    assert target.verdict == "met"
