"""An operator finds every refusal and every message of the gate in docs/recovery.md (I3, I6)."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.support.documentation import page
from tests.support.gate import ROOT

pytestmark = [pytest.mark.I3, pytest.mark.I6]

SOURCES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "alembic_gate").glob("*.py")}


def written(node: ast.expr | None) -> str | None:
    """A string of the source, with `…` for what is filled in, and without what follows a last colon."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return None
    parts = ["…" if isinstance(part, ast.FormattedValue) else str(ast.literal_eval(part)) for part in node.values]
    return "".join(parts).removesuffix(": …")


def refusals() -> Iterator[str]:
    """Why the gate says 21, as the code has it."""
    for node in ast.walk(ast.parse(SOURCES["recovery"])):
        match node:
            case ast.Return(value=ast.Tuple(elts=[ast.Attribute(attr="REFUSE"), why])):
                yield str(written(why))
    for node in ast.walk(ast.parse(SOURCES["durable"])):
        match node:
            case ast.Call(func=ast.Attribute(attr="_refusal"), args=[_, why, *_]) if written(why):
                yield str(written(why))
            case ast.Assign(targets=[ast.Name(id="why")], value=why):
                yield str(written(why))
    for node in ast.walk(ast.parse(SOURCES["apply"])):
        match node:
            case ast.Call(func=ast.Name(id="RevisionInterrupted"), args=[what, *_]):
                said = str(written(what))
                if not said.endswith("cannot be finished"):  # what follows there is a reason of recovery.py's
                    yield said


def test_every_refusal_has_its_row():
    documented = [row["the message says"].strip("`") for row in page("docs/recovery.md").table("the message says")]

    assert len(documented) == len(set(documented))
    assert set(documented) == set(refusals())


def test_the_code_was_searched_for_refusals_in_earnest():
    assert len(set(refusals())) >= 13


def test_messages_about_locks_are_those_of_the_code():
    everything = re.sub(r'"\n\s*f?"', "", "".join(SOURCES.values()))
    for row in page("docs/recovery.md").table("message"):
        assert row["message"].strip("`") in everything
    assert "cannot be ended" in everything


def test_repair_prints_what_the_documentation_shows():
    shown = next(block.text for block in page("docs/recovery.md").blocks("text") if block.text.startswith("revision "))

    for words in (
        "--done       take ",
        "--not-done   take ",
        "--abandon    forget this run: ",
        "in flight    ",
        "committed    ",
    ):
        assert words in shown
        assert words in SOURCES["repair"]
    last = shown.strip().splitlines()[-1]
    assert last in SOURCES["repair"]
