"""What the documentation lists is what the code has, and the other way round."""

import argparse
import re

from alembic_gate import durable, glance, journal, lease, lock, project, report, settings
from alembic_gate.cli import _parser
from alembic_gate.exits import ExitCode
from tests.support.documentation import page, pages
from tests.support.gate import ROOT


def words(cell: str) -> set[str]:
    """The backticked words of a cell, or of any text."""
    return set(re.findall(r"`([^`]+)`", cell))


def verbs() -> dict[str, argparse.ArgumentParser]:
    (choices,) = [action.choices for action in _parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return choices


def test_exit_codes_have_their_names_and_say_whether_a_retry_helps():
    documented = {
        int(row["code"]): (row["name"], row["retry helps?"]) for row in page("docs/exit-codes.md").table("code")
    }

    def retry(code: ExitCode) -> str:
        return "–" if code is ExitCode.AT_TARGET else "yes" if code.retry_helps else "no"

    assert documented == {int(code): (code.name.lower().replace("_", " "), retry(code)) for code in ExitCode}


def test_settings_and_their_defaults_are_those_of_the_code():
    rows = page("docs/configuration.md").table("variable")
    documented = {row["variable"].strip("`"): row["default"].strip("`") for row in rows}

    assert documented == {name: default or "–" for name, default in settings.VARIABLES.items()}


def test_the_words_of_a_setting_are_those_of_the_code():
    meanings = {row["variable"].strip("`"): row["meaning"] for row in page("docs/configuration.md").table("variable")}

    class Choices(settings.Environment):
        found: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - one test's

        def choice(self, name: str, *words: str) -> str:
            self.found[name] = words
            return super().choice(name, *words)

    values = Choices({"DATABASE_URL": "mysql://user@host/database"})
    settings.Settings(values)
    for name, choices in values.found.items():
        assert set(choices) <= words(meanings[name]), name
    assert set(settings.SSL_MODES) <= words(meanings["MYSQL_SSL_MODE"])
    assert {row["mode"].strip("`") for row in page("docs/configuration.md").table("mode")} == set(settings.SSL_MODES)


def test_the_schemes_and_parameters_of_the_url_are_those_of_the_code():
    text = page("docs/configuration.md").text
    the_url = text[text.index("## The URL") : text.index("## TLS")]

    known = settings._OPTIONS.keys()
    listed = set().union(*(words(line) for line in the_url.replace("\n  ", " ").splitlines() if line.startswith("- ")))
    assert listed - {"true", "false", "utf8mb4"} == known
    for scheme in settings.SCHEMES:
        assert f"`{scheme}://" in text


def test_the_readme_lists_the_verbs_with_their_arguments():
    documented = {}
    for row in page("README.md").table("verb"):
        verb, *arguments = row["verb"].strip("`").split(maxsplit=1)
        options = " ".join(arguments) + row["what it does"]
        documented[verb] = set(re.findall(r"--[a-z-]+", options)) | (
            {"target"} if "target" in " ".join(arguments) else set()
        )

    def arguments_of(parser: argparse.ArgumentParser) -> set[str]:
        named = {name for action in parser._actions for name in action.option_strings if name.startswith("--")}
        return named - {"--help"} | {action.dest for action in parser._actions if not action.option_strings}

    assert documented == {verb: arguments_of(parser) for verb, parser in verbs().items()}


def test_how_it_works_names_every_module():
    named = set(re.findall(r"alembic_gate/(\w+\.py)", page("docs/how-it-works.md").text))
    modules = {path.name for path in (ROOT / "alembic_gate").glob("*.py") if not path.name.startswith("__")}

    assert named == modules


def test_the_index_of_decisions_is_complete_and_in_order():
    linked = page("docs/decisions/README.md").links()
    files = sorted(path.name for path in (ROOT / "docs/decisions").glob("0*.md"))

    assert linked == files
    assert [int(name[:4]) for name in files] == list(range(1, len(files) + 1))


def test_a_decision_says_what_was_the_matter_what_was_decided_and_at_what_price():
    for one in pages():
        if re.match(r"\d{4}-", one.path.name):
            number = int(one.path.name[:4])
            assert one.text.startswith(f"# {number}. "), one
            index = page("docs/decisions/README.md").text
            assert one.text.splitlines()[0].removeprefix(f"# {number}. ") in index, (
                f"{one} has another title in the index"
            )
            if number != 5:
                assert all(f"**{part}" in one.text for part in ("The matter.", "Decided.", "The price.")), one


def test_libraries_of_decision_5_are_those_that_are_required():
    documented = set()
    for line in page("docs/decisions/0005-dependencies.md").text.splitlines():
        if line.startswith("| ") and "---" not in line and not line.startswith("| library"):
            documented |= {name.strip() for name in line.split("|")[1].split(",")}
    required = set()
    for name in ("requirements.in", "requirements-dev.in"):
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        required |= {re.split(r"[<>=~]", line)[0] for line in lines if line and not line.startswith(("#", "-"))}

    assert documented == required


def test_states_of_the_journal_and_standings_are_explained():
    recovery = page("docs/recovery.md")
    comment = re.search(r"state VARCHAR\(9\) NOT NULL COMMENT '([^']*)'", journal._CREATE)
    assert comment is not None
    assert {row["state"].strip("`") for row in recovery.table("state")} == set(comment[1].split(", "))
    standing = next(row["meaning"] for row in recovery.table("line") if row["line"] == "`standing`")
    assert words(standing) == {place.value for place in glance.Standing}


def test_names_of_tables_locks_and_files_are_those_of_the_code():
    recovery, how = page("docs/recovery.md").text, page("docs/bring-your-own.md").text
    assert glance.JOURNAL_TABLE in recovery
    assert glance.LEASE_TABLE in recovery
    assert f"DROP TABLE IF EXISTS {glance.JOURNAL_TABLE}, {glance.LEASE_TABLE}" in how
    assert project.MANIFEST in how
    configured = settings.Settings(settings.Environment({"DATABASE_URL": "mysql://user@host/shop"}))
    for part in ("gate", "fence"):
        assert f"'{lock._lock_name(part, configured).removesuffix('shop')}'" in recovery


def test_durations_in_the_documentation_are_those_of_the_code():
    everything = re.sub(r"\s+", " ", " ".join(one.text for one in pages()))
    said = {
        f"renewed every {lock.KEEP_ALIVE_SECONDS} s": lock.KEEP_ALIVE_SECONDS,
        f"{lease.LEASE_SECONDS} s ahead": lease.LEASE_SECONDS,
        f"unchanged for more than {lease.LEASE_UNCHANGED_SECONDS} s": lease.LEASE_UNCHANGED_SECONDS,
        f"after {lock.SILENCE_SECONDS} s of silence": lock.SILENCE_SECONDS,
        f"`wait_timeout` of {lock.SILENCE_SECONDS} s": lock.SILENCE_SECONDS,
        f"gives way for {durable.METADATA_LOCK_PAUSE_SECONDS} s": durable.METADATA_LOCK_PAUSE_SECONDS,
        f"at most {report.TERMINATION_MESSAGE_BYTES:,} bytes": report.TERMINATION_MESSAGE_BYTES,
    }
    for words_, seconds in said.items():
        assert words_ in everything, f"nowhere says '{words_}' ({seconds} in the code)"
