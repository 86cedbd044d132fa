"""Draw the figures as bars, readable on light and on dark paper."""

from collections.abc import Mapping
from html import escape
from typing import Any

from bench.measure import Figures, middle, seconds

WIDTH, LABELS, BARS = 860, 250, 470
ROW, BAR, TITLE, GAP = 22, 14, 30, 18

# The picture is shown by `<img>`, where the page's own colours do not reach: it asks the reader's system.
STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 14px }
.value { font-size: 12px; fill: #59636e }
.ours { fill: #1a7f37 } .alembic { fill: #cf6a00 } .other { fill: #8c959f }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .value { fill: #9198a1 }
  .ours { fill: #3fb950 } .alembic { fill: #f0883e } .other { fill: #656c76 }
}"""

Bars = list[tuple[str, float, str]]


def draw(results: Mapping[str, Any]) -> str:
    """Return the picture as SVG."""
    drawn: list[str] = []
    top = 0
    for title, bars in _panels(results):
        drawn.append(f'<text class="title" x="0" y="{top + 18}">{escape(title)}</text>')
        longest = max(value for _, value, _ in bars)
        for number, (name, value, shown) in enumerate(sorted(bars, key=lambda bar: bar[1])):
            drawn += _bar(name, value / longest, shown, top + TITLE + number * ROW)
        top += TITLE + len(bars) * ROW + GAP
    size = f'viewBox="-10 0 {WIDTH} {top}" width="{WIDTH}" height="{top}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    return "\n".join([head, f"<style>\n{STYLE}\n</style>", *drawn, "</svg>"]) + "\n"


def _panels(results: Mapping[str, Any]) -> list[tuple[str, Bars]]:
    idle, container = results["idle"], results["container"].get("wall_seconds", {})
    panels = [(f"Nothing to do, {int(count):,} revisions: time", _bars(each)) for count, each in idle.items()]
    panels.append(("Nothing to do, 3 revisions: peak memory", _bars(idle["3"], "peak_mib")))
    if container:
        bars = [(name, middle(container, name), seconds(middle(container, name))) for name in container]
        panels.append(("Nothing to do, in the image, a tenth of a core: time", bars))
    return [*panels, ("1,000 revisions applied: time", _bars(results["apply"]["1000"]))]


def _bars(measured: Mapping[str, Figures], what: str = "wall_seconds") -> Bars:
    values = {name: middle(each, what) for name, each in measured.items() if name != "true"}
    return [
        (name, value, f"{value:.0f} MiB" if what == "peak_mib" else seconds(value)) for name, value in values.items()
    ]


def _bar(name: str, share: float, shown: str, top: int) -> list[str]:
    kind = "ours" if name.startswith("gate") else name if name == "alembic" else "other"
    width = max(1, round(share * BARS))
    base = top + BAR - 3
    return [
        f'<text x="{LABELS - 8}" y="{base}" text-anchor="end">{escape(name)}</text>',
        f'<rect class="{kind}" x="{LABELS}" y="{top}" width="{width}" height="{BAR}" rx="2"/>',
        f'<text class="value" x="{LABELS + width + 6}" y="{base}">{shown}</text>',
    ]
