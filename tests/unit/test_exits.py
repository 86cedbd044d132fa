"""Exit codes are a public table (I6): one place in the code, one in the documentation, and both say the same."""

import re

import pytest

from alembic_gate import exits
from alembic_gate.exits import ExitCode, GateStop, Terminated
from tests.support.gate import ROOT

pytestmark = pytest.mark.I6

CONTRACT = {
    0: "-",
    1: "no",
    2: "no",
    10: "yes",
    11: "no",
    12: "yes",
    13: "yes",
    20: "no",
    21: "no",
    22: "no",
    23: "no",
    24: "no",
    30: "yes",
    31: "no",
    130: "yes",
    143: "yes",
}


def documented() -> dict[int, str]:
    """The rows of docs/exit-codes.md whose first cell is a code: code -> does a retry help."""
    rows = {}
    for line in (ROOT / "docs/exit-codes.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip(" `*") for cell in line.strip().strip("|").split("|")]
        if len(cells) < 3 or not re.fullmatch(r"\d+(\s*/\s*\d+)*", cells[0]):
            continue
        for code in re.findall(r"\d+", cells[0]):
            assert int(code) not in rows, f"{code} is documented twice"
            rows[int(code)] = "-" if cells[2] in ("", "-", "–", "—") else cells[2].lower()
    return rows


def conditions() -> list[type[GateStop]]:
    return [found for found in vars(exits).values() if isinstance(found, type) and issubclass(found, GateStop)]


def test_the_code_has_the_codes_of_the_contract_and_no_other():
    assert {int(code) for code in ExitCode} == CONTRACT.keys()
    assert {int(code) for code in ExitCode if code.retry_helps} == {
        code for code, yes in CONTRACT.items() if yes == "yes"
    }


def test_the_documentation_has_the_same_table():
    assert documented() == CONTRACT


def test_every_code_but_success_bugs_and_signals_is_carried_by_a_condition():
    carried = {condition.code for condition in conditions()} - {ExitCode.UNEXPECTED}
    signals = {ExitCode.SIGINT, ExitCode.SIGTERM}
    assert carried == set(ExitCode) - {ExitCode.AT_TARGET, ExitCode.UNEXPECTED} - signals


@pytest.mark.parametrize("condition", conditions(), ids=lambda condition: condition.__name__)
def test_a_condition_says_what_failed_what_it_means_and_what_to_do_in_this_order(condition):
    said = str(condition("it failed", meaning="it rains", advice="go inside"))
    assert said == "it failed. it rains. go inside."


@pytest.mark.parametrize(
    "condition", [found for found in conditions() if found is not GateStop], ids=lambda condition: condition.__name__
)
def test_every_condition_has_advice_of_its_own(condition):
    assert condition("it failed").advice


@pytest.mark.parametrize(("number", "code"), [(15, 143), (2, 130)])
def test_a_signal_is_its_number_and_128_and_no_ordinary_exception(number, code):
    assert Terminated(number).code == code
    assert not isinstance(Terminated(number), Exception)
