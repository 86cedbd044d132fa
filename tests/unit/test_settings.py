"""Settings: a bad one is named and never shown (I5, I6), and what Kubernetes adds by itself is left aside."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alembic_gate import settings
from alembic_gate.exits import BadUsage, ExitCode

PARTS = {"MYSQL_HOST": "db", "MYSQL_USER": "u", "MYSQL_DATABASE": "d"}
ODD_PASSWORD = "p@ss:w/rd%?#ü密"

# What an environment variable or a mounted file can hold: no NUL, and no line end that an editor would have added.
anything = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))
one_line = anything.filter(lambda text: text == text.rstrip("\r\n"))


def refusal(**environ: str) -> str:
    """Read settings that are wrong, as a start does it; return what is said."""

    def read_all() -> None:
        settings.report_settings(environ)
        settings.read(environ)

    with pytest.raises(BadUsage) as refused:
        read_all()
    assert refused.value.code == ExitCode.USAGE
    return str(refused.value)


def test_no_database_at_all_is_an_error_that_says_what_to_write():
    said = refusal()
    assert "DATABASE_URL" in said
    assert "mysql://" in said


@pytest.mark.parametrize("missing", PARTS)
def test_a_missing_part_is_named(missing):
    assert missing in refusal(**{name: value for name, value in PARTS.items() if name != missing})


@pytest.mark.parametrize("empty", PARTS)
def test_an_empty_secret_file_is_as_good_as_none(tmp_path, empty):
    path = tmp_path / "empty"
    path.write_text("\n")
    parts = {name: value for name, value in PARTS.items() if name != empty}
    assert empty in refusal(**parts, **{f"{empty}_FILE": str(path)})


def test_the_url_and_the_parts_contradict_each_other():
    said = refusal(DATABASE_URL="mysql://u@h/d", MYSQL_PASSWORD="hush")
    assert "DATABASE_URL" in said
    assert "MYSQL_PASSWORD" in said
    assert "hush" not in said


@pytest.mark.parametrize("name", [name for name, default in settings.VARIABLES.items() if name != "DATABASE_URL"])
def test_a_setting_and_its_file_form_contradict_each_other(tmp_path, name):
    path = tmp_path / "value"
    path.write_text("1")
    said = refusal(**{**PARTS, name: "1", f"{name}_FILE": str(path)})
    assert f"{name}_FILE" in said


@pytest.mark.parametrize("name", settings.VARIABLES)
def test_every_setting_may_come_from_a_file_and_a_file_that_cannot_be_read_is_named(tmp_path, name):
    parts = {} if name == "DATABASE_URL" else {part: value for part, value in PARTS.items() if part != name}
    said = refusal(**parts, **{f"{name}_FILE": str(tmp_path / "nothing-here")})
    assert f"{name}_FILE" in said
    assert "cannot be read" in said


def test_a_file_that_is_not_text_is_named(tmp_path):
    path = tmp_path / "value"
    path.write_bytes(b"\xff\xfe")
    assert "MYSQL_PASSWORD_FILE" in refusal(**PARTS, MYSQL_PASSWORD_FILE=str(path))


@pytest.mark.parametrize(
    "name", ["GATE_X", "GATE_TIMEOUT", "GATE_TARGETS", "GATE_X_FILE", "GATE_", "GATE_PORTAL", "GATE_LOG_LEVELS"]
)
def test_an_unknown_gate_setting_is_an_error(name):
    assert name in refusal(**PARTS, **{name: "1"})


@pytest.mark.parametrize(
    ("service", "port"),
    [("GATE", "80"), ("MYSQL", "3306"), ("GATE_LOCK", "80"), ("GATE_KEEPER_API", "8080"), ("MYSQL_HOST", "3306")],
)
def test_service_links_of_kubernetes_are_left_aside(service, port):
    address = "10.96.0.11"
    links = {
        f"{service}_SERVICE_HOST": address,
        f"{service}_SERVICE_PORT": port,
        f"{service}_SERVICE_PORT_WEB_UI": port,
        f"{service}_PORT": f"tcp://{address}:{port}",
        f"{service}_PORT_{port}_TCP": f"tcp://{address}:{port}",
        f"{service}_PORT_{port}_TCP_PROTO": "tcp",
        f"{service}_PORT_{port}_TCP_PORT": port,
        f"{service}_PORT_{port}_TCP_ADDR": address,
    }
    assert settings.read({**PARTS, **links}).database.port == 3306
    assert settings.read({"DATABASE_URL": "mysql://u@h:3307/d", **links}).database.port == 3307


WRONG = {
    "MYSQL_PORT": ["0", "65536", "x", "-1", "33 06", "٣٣٠٦", "3306.0", "9" * 5000],
    "MYSQL_SSL_MODE": ["required", "ON", "VERIFY_FULL"],
    "GATE_WAIT_TIMEOUT_SECONDS": ["-1", "1e3", "inf", "nan", "1m", "６０", ".", "1.", "9" * 5000],
    "GATE_LOCK_TIMEOUT_SECONDS": ["-1", "soon"],
    "GATE_LOCK": ["table", "Session"],
    "GATE_WHEN_AHEAD": ["maybe"],
    "GATE_CHANGED_SCRIPT": ["ignore"],
    "GATE_METADATA_LOCK_SECONDS": ["0", "-1", "0.5", "ten", "9" * 5000],
    "GATE_JOURNAL_LIMIT_BYTES": ["-1", "8M", "9" * 5000],
    "GATE_LOG_FORMAT": ["JSON", "logfmt"],
    "GATE_LOG_LEVEL": ["INFO", "trace"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_names_its_variable_and_the_shape_and_what_to_write(name, value):
    said = refusal(**PARTS, **{name: value})
    assert name in said
    assert "character" in said
    assert "Write " in said
    assert len(said) < 500


@pytest.mark.I5
@given(before=anything, after=anything, name=st.sampled_from(sorted(WRONG)))
def test_a_wrong_value_is_never_shown(before, after, name):
    assert "hunter" not in refusal(**PARTS, **{name: f"{before}hunter-2{after}"})


@pytest.mark.parametrize("name", ["MYSQL_SSL_CA", "MYSQL_SSL_CERT", "MYSQL_SSL_KEY"])
def test_tls_files_that_cannot_be_read_are_named(tmp_path, name):
    present = tmp_path / "present.pem"
    present.write_text("")
    files = {"MYSQL_SSL_CA": str(present), "MYSQL_SSL_CERT": str(present), "MYSQL_SSL_KEY": str(present)}
    assert name in refusal(**PARTS, **{**files, name: str(tmp_path / "absent.pem")})


@pytest.mark.parametrize("mode", ["VERIFY_CA", "VERIFY_IDENTITY"])
def test_verifying_needs_an_authority(mode):
    assert "MYSQL_SSL_CA" in refusal(**PARTS, MYSQL_SSL_MODE=mode)
    assert "MYSQL_SSL_CA" in refusal(DATABASE_URL="mysql://u@h/d", MYSQL_SSL_MODE=mode)


def test_a_certificate_needs_its_key(tmp_path):
    path = tmp_path / "cert.pem"
    path.write_text("")
    assert "MYSQL_SSL_KEY" in refusal(**PARTS, MYSQL_SSL_CERT=str(path))


def test_an_authority_alone_means_verify_it(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("")
    tls = settings.read({**PARTS, "MYSQL_SSL_CA": str(path)}).database.tls
    assert (tls.mode, tls.ca) == ("VERIFY_CA", str(path))


def test_an_empty_variable_is_an_unset_one():
    empty = dict.fromkeys(settings.VARIABLES, "")
    read = settings.read({**empty, **PARTS})
    assert (read.database.port, read.target, read.lock) == (3306, "head", "auto")


def test_the_defaults_are_those_of_the_table():
    read = settings.read(PARTS)
    assert (read.config, read.target, read.lock) == ("alembic.ini", "head", "auto")
    assert (read.wait_timeout_seconds, read.lock_timeout_seconds, read.metadata_lock_seconds) == (60, 300, 10)
    assert (read.when_ahead, read.changed_script, read.journal_limit_bytes) == ("allow", "warn", 8 << 20)
    assert read.database.tls.mode == "PREFERRED"


@given(password=anything)
@example(ODD_PASSWORD)
def test_any_password_arrives_from_the_variable_as_it_is(password):
    assert settings.read({**PARTS, "MYSQL_PASSWORD": password}).database.password == password


@given(password=one_line, line_end=st.sampled_from(["", "\n", "\r\n"]))
@example(ODD_PASSWORD, "\n")
def test_any_password_arrives_from_a_file_without_the_editors_line_end(tmp_path_factory, password, line_end):
    path = tmp_path_factory.getbasetemp() / "password"
    path.write_bytes((password + line_end).encode())
    assert settings.read({**PARTS, "MYSQL_PASSWORD_FILE": str(path)}).database.password == password


@pytest.mark.I5
def test_a_database_shown_in_a_message_shows_no_password():
    database = settings.read({**PARTS, "MYSQL_PASSWORD": ODD_PASSWORD}).database
    assert str(database) == repr(database) == "database 'd' at db:3306 as user 'u'"
