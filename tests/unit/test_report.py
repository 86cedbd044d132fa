"""The log in both forms, and the termination message that Kubernetes shows (I6)."""

import json
import logging
import logging.config

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alembic_gate import report

MOST_BYTES = 4096


@pytest.fixture(autouse=True)
def _logging_as_it_was():
    root, before = logging.getLogger(), (logging.getLogger().handlers[:], logging.getLogger().level)
    configs = logging.config.fileConfig, logging.config.dictConfig
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    logging.config.fileConfig, logging.config.dictConfig = configs
    report.start("text", "info")


@pytest.fixture
def said(capsys):
    """A function: what has arrived on standard error since it was last asked."""
    return lambda: capsys.readouterr().err


def test_text_is_a_level_and_a_sentence(said):
    report.start("text", "info")
    report.log.info("applying '%s'", "a1")
    report.log.warning("careful")
    report.log.debug("not said")
    assert said().splitlines() == ["info    applying 'a1'", "warning careful"]


def test_json_is_one_object_a_line_with_time_level_message_and_facts(said):
    report.start("json", "info")
    report.log.info("applied '%s'", "版本", extra={"revision": "版本", "index": 1, "total": 2, "seconds": 0.5})
    (line,) = said().splitlines()
    assert "版本" in line
    entry = json.loads(line)
    assert entry.pop("time")
    assert entry == {
        "logger": "alembic-gate",
        "level": "info",
        "message": "applied '版本'",
        "revision": "版本",
        "index": 1,
        "total": 2,
        "seconds": 0.5,
    }


def test_a_traceback_is_part_of_its_one_json_line(said):
    report.start("json", "info")
    try:
        raise ValueError("first\nsecond")  # noqa: TRY301 - the point is its traceback
    except ValueError as error:
        report.log.say("error", "unexpected", error=error)
    (line,) = said().splitlines()
    assert "ValueError: first\nsecond" in json.loads(line)["exc_info"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.text(st.characters(exclude_categories=("Cs",))))
def test_whatever_is_said_every_line_is_one_json_object(said, words):
    report.start("json", "info")
    report.log.info("%s", words, extra={"revision": words})
    # As a log collector cuts it: at line feeds alone.
    (line,) = said().removesuffix("\n").split("\n")
    assert json.loads(line)["message"] == words


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_others_log_has_the_same_form_from_warnings_on(said, form):
    report.start(form, "info")
    report.keep_our_log()
    logging.getLogger("sqlalchemy.engine").info("not said")
    logging.getLogger("somebody").warning("said")
    (line,) = said().splitlines()
    assert line == "warning said" if form == "text" else json.loads(line)["message"] == "said"


@pytest.mark.parametrize(("level", "heard"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_of_the_setting_is_the_least_that_is_said(said, level, heard):
    report.start("text", level)
    for say in (report.log.debug, report.log.info, report.log.warning, report.log.error):
        say("x")
    assert len(said().splitlines()) == heard


def test_an_env_py_cannot_silence_or_restyle_the_log(said, tmp_path):
    report.start("text", "info")
    report.keep_our_log()
    config = tmp_path / "alembic.ini"
    config.write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=\n[formatters]\nkeys=\n[logger_root]\nlevel=CRITICAL\nhandlers=\n"
    )
    from logging.config import dictConfig, fileConfig  # as an env.py does it, after the gate has started

    fileConfig(config)
    dictConfig({"version": 1, "disable_existing_loggers": True})
    report.log.info("still here")
    assert said() == "info    still here\n"


# -- the termination message ------------------------------------------------------------------------------------------


@given(message=st.text(st.characters(exclude_categories=("Cs",)), max_size=40), times=st.integers(1, 400))
def test_a_termination_message_is_the_start_of_the_message_cut_between_characters(tmp_path_factory, message, times):
    path = tmp_path_factory.getbasetemp() / "termination-log"
    path.write_text("what was there before")
    report.leave_termination_message(str(path), message * times)
    left = path.read_bytes()
    assert len(left) <= MOST_BYTES
    assert (message * times).startswith(left.decode())
    assert len(left) > MOST_BYTES - 4 or left.decode() == message * times


def test_no_file_is_made_where_kubernetes_made_none(tmp_path):
    report.leave_termination_message(str(tmp_path / "absent"), "x")
    report.leave_termination_message("", "x")
    assert not list(tmp_path.iterdir())


def test_a_termination_message_that_cannot_be_written_is_no_reason_to_fail(said, tmp_path):
    report.start("text", "info")
    report.leave_termination_message(str(tmp_path), "x")
    assert "could not be written" in said()


def test_what_others_log_with_arguments_that_do_not_fit_stops_nobody(said):
    report.keep_our_log()
    logging.getLogger("theirs").warning("%d things", "many")
    assert "%d things" in said()
