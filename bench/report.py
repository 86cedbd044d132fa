"""Render the results as pages for people: templates filled with tables, and nothing that the JSON does not say."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import beyond, picture
from bench.measure import Figures, middle, seconds
from bench.targets import targets

JSON = "docs/benchmarks.json"
TEMPLATES = Path(__file__).parent / "templates"
LIMITS = ("true", "python", "python and PyMySQL, one SELECT", "python and PyMySQL, the same SQL")
KINDS = ("at head", "one revision behind")


def write(results: Mapping[str, Any], root: Path) -> None:
    """Write the figures, and all pages from them."""
    (root / JSON).write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, text in pages(results).items():
        (root / name).write_text(text, encoding="utf-8")


def pages(results: Mapping[str, Any]) -> dict[str, str]:
    """Return the text of each generated file."""
    return {
        "docs/benchmarks.md": _filled("benchmarks.md", _benchmarks(results)),
        "docs/benchmarks.svg": picture.draw(results),
        "docs/scale.md": _filled("scale.md", _scale(results)),
    }


def _filled(template: str, values: Mapping[str, str]) -> str:
    return (TEMPLATES / template).read_text(encoding="utf-8").format_map(values)


def _benchmarks(results: Mapping[str, Any]) -> dict[str, str]:
    herd, container = results["herd"], results["container"]
    reached = [(each.words, f"{each.measured:.3g}", f"{each.limit:g}", each.verdict) for each in targets(results)]
    idle = [
        f"## Nothing to do, {int(count):,} revisions\n\n{_compared(each)}" for count, each in results["idle"].items()
    ]
    missing = {name: f"not measured: {why}" for name, why in results["missing"].items()}
    return {
        "targets": _table(("target", "measured", "at most", ""), reached),
        "idle": "\n\n".join(idle),
        "apply": _compared(results["apply"]["1000"]),
        "size": str(herd["size"]),
        "herd": _table(("database", *KINDS), _side_by_side({kind: herd[kind]["figures"] for kind in KINDS})),
        "statements": "\n".join(f"{number} × {text}" for text, number in herd["at head"]["statements"].items()),
        "container": f"Not measured: {container['left out']}." if "left out" in container else _container(container),
        "host": _table(("", ""), results["host"].items()),
        "tools": _table(("", ""), {**results["tools"], **missing}.items()),
    }


def _scale(results: Mapping[str, Any]) -> dict[str, str]:
    scale, full = results["scale"], results["scale"]["full server"]
    herds = [(number, *(f"{value:g}" for value in each.values())) for number, each in scale["at once"].items()]
    return {
        "one_start": _table(("", *scale["one start"]), _side_by_side(scale["one start"])),
        "at_once": _table(("at once", *next(iter(scale["at once"].values()))), herds),
        "full_size": str(full["size"]),
        "full_room": str(full["max_connections"]),
        "full_refused": str(full["turned away"]),
        "full_slowest": seconds(full["figures"]["slowest start, seconds"]),
        **{
            name: _table(*value) if isinstance(value, tuple) else value
            for name, value in beyond.calculate(results).items()
        },
    }


def _compared(measured: Mapping[str, Figures]) -> str:
    alembic = measured["alembic"]
    rows = [
        (
            f"**{name}**" if name == "gate" else name,
            f"{seconds(middle(each))} ({seconds(min(each['wall_seconds']))} to {seconds(max(each['wall_seconds']))})",
            f"{middle(each) / middle(alembic):.3f}",
            seconds(middle(each, "cpu_seconds")),
            f"{middle(each, 'peak_mib'):.1f} MiB",
            f"{middle(each, 'peak_mib') / middle(alembic, 'peak_mib'):.3f}",
        )
        for name, each in sorted(measured.items(), key=lambda item: (item[0] in LIMITS, middle(item[1])))
    ]
    return _table(("", "wall time (range)", "of Alembic's", "processor", "peak memory", "of Alembic's"), rows)


def _container(container: Mapping[str, Any]) -> str:
    taken = container["wall_seconds"]
    alembic = middle(taken, "alembic")
    rows = [(name, seconds(middle(taken, name)), f"{middle(taken, name) / alembic:.3f}") for name in taken]
    shown = _table(("", "wall time", "of Alembic's"), rows)
    return f"Limit: {container['limit']}.\n\n{shown}"


def _side_by_side(columns: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    first = next(iter(columns.values()))
    return [[row, *(f"{each[row]:,}" for each in columns.values())] for row in first]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
