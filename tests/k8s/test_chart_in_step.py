"""What the chart says in several places is the same in all of them: values, schema, README, settings, versions."""

import json
import tomllib
from collections.abc import Iterator
from typing import Any

import yaml

from alembic_gate.settings import VARIABLES
from tests.support import chart_readme
from tests.support.gate import ROOT
from tests.support.manifests import CHART, VALUE_FILES

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
DOCUMENTED = {value.path: value for value in chart_readme.values()}

# Why the chart's default is another than the gate's is said in values.yaml.
OTHER_DEFAULTS = {"gateLockTimeoutSeconds", "gateLogFormat"}
SECRETS = {"databaseUrl", "mysqlUser", "mysqlPassword"}


def camel_case(variable: str) -> str:
    first, *others = variable.lower().split("_")
    return first + "".join(word.capitalize() for word in others)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = SCHEMA["definitions"][schema["$ref"].removeprefix("#/definitions/")]
    return found


def described_by(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the path of each value that the schema describes, as far down as values.yaml documents them."""
    for name, child in schema["properties"].items():
        path = f"{prefix}{name}"
        child = resolved(child)
        if path in DOCUMENTED or "properties" not in child:
            yield path
        else:
            yield from described_by(child, f"{path}.")


def set_by(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, child in values.items():
        path = f"{prefix}{name}"
        if path in DOCUMENTED or not isinstance(child, dict):
            yield path
        else:
            yield from set_by(child, f"{path}.")


def objects_in(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema and isinstance(schema.get("type"), str):
            yield schema
        for child in schema.values():
            yield from objects_in(child)


def test_every_value_has_a_description() -> None:
    assert set(set_by(VALUES)) == DOCUMENTED.keys()


def test_schema_describes_the_values_and_no_others() -> None:
    # Helm hands "global" to every chart that is part of another.
    assert set(described_by(SCHEMA)) - {"global"} == DOCUMENTED.keys()


def test_schema_refuses_unknown_keys_everywhere() -> None:
    objects = list(objects_in(SCHEMA))

    assert len(objects) > 10
    assert all(each.get("additionalProperties") is False for each in objects)


def test_readme_is_what_the_values_make_of_it() -> None:
    assert (CHART / "README.md").read_text(encoding="utf-8") == chart_readme.readme(), (
        "run python -m tests.support.chart_readme"
    )


def test_every_setting_of_the_gate_is_a_value_and_the_other_way_round() -> None:
    places = VALUES["settings"].keys() | SECRETS

    assert places == {camel_case(variable) for variable in VARIABLES}
    assert VALUES["credentials"].keys() >= SECRETS
    assert VALUES["credentials"]["existingSecretKeys"].keys() == {
        camel_case(variable) for variable in VARIABLES if variable == "DATABASE_URL" or variable in MYSQL_PARTS
    }


MYSQL_PARTS = {f"MYSQL_{part}" for part in ("HOST", "PORT", "USER", "PASSWORD", "DATABASE")}


def test_defaults_of_the_settings_are_the_gates_own() -> None:
    defaults = {camel_case(variable): default for variable, default in VARIABLES.items()}

    for name, value in VALUES["settings"].items():
        documented = DOCUMENTED[f"settings.{name}"].default.strip("`")
        if name in OTHER_DEFAULTS:
            assert str(value) != defaults[name]
        else:
            assert value == ""
            assert documented == (defaults[name] or ""), name


def test_description_of_a_setting_begins_with_its_variable() -> None:
    for variable in VARIABLES:
        name = camel_case(variable)
        if name in VALUES["settings"]:
            assert DOCUMENTED[f"settings.{name}"].description.startswith(f"`{variable}`")


def test_every_value_is_set_by_one_of_the_examples() -> None:
    used = {path for file in VALUE_FILES for path in set_by(yaml.safe_load(file.read_text(encoding="utf-8")))}

    assert used <= DOCUMENTED.keys()
    assert DOCUMENTED.keys() - used == {
        f"credentials.existingSecretKeys.{name}" for name in ("databaseUrl", "mysqlHost", "mysqlPort", "mysqlDatabase")
    } | {"databases.existingConfigMap", "serviceAccount.create", "networkPolicy.enabled"}


def test_chart_has_the_version_of_the_project() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert chart["version"] == chart["appVersion"] == project["version"]
