"""docs/configuration.md and the code name the same settings with the same defaults."""

import re

from alembic_gate.settings import VARIABLES
from tests.support.gate import ROOT

NOTHING = {"", "-", "–", "—", "none", "required"}


def documented() -> dict[str, str | None]:
    """Every `NAME` in a first cell, with the default that the row gives it; a row may name several."""
    found: dict[str, str | None] = {}
    for line in (ROOT / "docs/configuration.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        names = re.findall(r"`([A-Z][A-Z_]+)`", cells[0]) if line.lstrip().startswith("|") and len(cells) > 2 else []
        values = re.findall(r"`([^`]*)`", cells[1]) if names else []
        for index, name in enumerate(names):
            assert name not in found, f"{name} is documented twice"
            if values:
                found[name] = values[index] if len(values) == len(names) else values[0]
            else:
                found[name] = None if cells[1].strip("` ").lower() in NOTHING else cells[1].split()[0]
    return found


def test_the_documentation_lists_the_settings_and_their_defaults():
    assert documented() == VARIABLES
