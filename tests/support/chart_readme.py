"""Makes the chart's README.md from its values.yaml, whose comments are written as helm-docs reads them.

    python -m tests.support.chart_readme

`# --` starts a description, `# @default --` says what an empty value stands for. A test keeps the two in step.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[2] / "k8s/chart"
DESCRIPTION, DEFAULT = "# -- ", "# @default -- "

TEMPLATE = """\
# alembic-gate: the Helm chart

<!-- Made from values.yaml by `python -m tests.support.chart_readme`. -->

{description}. Version {version}, for Kubernetes {kubernetes}.

```sh
helm upgrade --install shop k8s/chart --namespace shop \\
  --set image.repository=registry.example.com/shop/gate --set image.tag=1.2.3 \\
  --set credentials.existingSecret=shop-database
```

A Job runs as Helm hook before an install or an upgrade goes on. Which pattern to choose, and what to do when the Job
has failed: [docs/kubernetes.md](../../docs/kubernetes.md). Values for the usual situations: [ci/](ci).

## Values

| Key | Type | Default | Description |
|---|---|---|---|
{rows}
"""


@dataclass(frozen=True)
class Value:
    """One documented value: its path such as `job.enabled`, and what the comment above it says."""

    path: str
    content: Any
    description: str
    default: str


def values() -> list[Value]:
    """Return all documented values in the order of values.yaml."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    return list(_documented(root, yaml.safe_load(text), text.splitlines(), ""))


def readme() -> str:
    """Return what README.md must say."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    return TEMPLATE.format(
        description=chart["description"],
        version=chart["version"],
        kubernetes=chart["kubeVersion"].removeprefix(">=").removesuffix("-0") + " and later",
        rows="\n".join(_row(value) for value in values()),
    )


def _documented(node: yaml.MappingNode, content: dict[str, Any], lines: list[str], prefix: str) -> Iterator[Value]:
    for key, child in node.value:
        name, path = key.value, f"{prefix}{key.value}"
        description, default = _comment_above(lines, key.start_mark.line)
        if description:
            yield Value(path, content[name], description, default)
        elif isinstance(child, yaml.MappingNode):
            yield from _documented(child, content[name], lines, f"{path}.")


def _comment_above(lines: list[str], line: int) -> tuple[str, str]:
    above: list[str] = []
    while line and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        above.insert(0, lines[line].strip())
    described: list[str] = []
    default = ""
    for text in above:
        if text.startswith(DEFAULT):
            default = text.removeprefix(DEFAULT)
        elif text.startswith(DESCRIPTION):
            described = [text.removeprefix(DESCRIPTION)]
        elif described:
            described.append(text.removeprefix("# "))
    return " ".join(described), default


def _row(value: Value) -> str:
    kinds = {bool: "bool", int: "int", str: "string", list: "list", dict: "object"}
    default = value.default or f"`{json.dumps(value.content)}`"
    return f"| `{value.path}` | {kinds[type(value.content)]} | {default} | {value.description} |"


if __name__ == "__main__":
    (CHART / "README.md").write_text(readme(), encoding="utf-8")
