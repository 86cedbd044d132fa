"""DATABASE_URL: read as SQLAlchemy reads it, rendered back for it, and never shown (I5)."""

from urllib.parse import quote, quote_plus

import pymysql
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from sqlalchemy import make_url

from alembic_gate.exits import BadUsage
from alembic_gate.settings import SCHEMES, Database, read

ODD_PASSWORD = "p@ss:w/rd%?#ü密"

text = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)
some_text = text.filter(bool)
hosts = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True) | st.sampled_from(["::1", "fe80::2:3"])
ports = st.integers(1, 65535)
options = st.fixed_dictionaries(
    {},
    optional={
        "charset": st.sampled_from(["utf8mb4", "latin1"]),
        "connect_timeout": st.integers(1, 99),
        "init_command": some_text,
        "local_infile": st.booleans(),
        "program_name": some_text,
    },
)
NONE: dict[str, object] = {}


def database(**known: str) -> Database:
    """A database of which a test says only what it is about."""
    usual = {"MYSQL_HOST": "db", "MYSQL_USER": "u", "MYSQL_DATABASE": "d"}
    return read({**usual, **{f"MYSQL_{name.upper()}": value for name, value in known.items()}}).database


def query_string(query: dict[str, object]) -> str:
    return "&".join(f"{name}={quote_plus(str(value))}" for name, value in query.items())


def encoded(part: str) -> str:
    return quote(part, safe="")


@given(
    scheme=st.sampled_from(SCHEMES),
    user=some_text,
    password=text,
    host=hosts,
    port=ports | st.none(),
    name=some_text,
    query=options,
)
@example("mysql", "u", ODD_PASSWORD, "db", None, "d", NONE)
def test_a_url_is_read_as_sqlalchemy_reads_it(scheme, user, password, host, port, name, query):
    shown_host = f"[{host}]" if ":" in host else host
    shown_port = f":{port}" if port else ""
    url = f"{scheme}://{encoded(user)}:{encoded(password)}@{shown_host}{shown_port}/{encoded(name)}"
    url += f"?{query_string(query)}" if query else ""

    ours, theirs = read({"DATABASE_URL": url}).database, make_url(url)

    assert (ours.user, ours.password, ours.host) == (theirs.username, theirs.password, theirs.host)
    assert (ours.port, ours.name) == (theirs.port or 3306, theirs.database)
    assert ours.dialect == theirs.get_backend_name()
    assert {key: str(value) for key, value in ours.options.items()} == {key: str(value) for key, value in query.items()}


@given(password=some_text)
@example("p+w d")
def test_characters_that_need_no_encoding_may_stay_as_they_are(password):
    raw = quote(password, safe="/?#[]!$&'()*+,;=: |^`{}\"<>\\")
    assume("@" not in raw)
    url = f"mysql://u:{raw}@db/d"
    assert read({"DATABASE_URL": url}).database.password == make_url(url).password == password


@given(user=some_text, password=text, host=hosts, port=ports, name=some_text)
@example("u", ODD_PASSWORD, "db", 3306, "d")
def test_what_is_rendered_for_sqlalchemy_is_what_was_read(user, password, host, port, name):
    ours = database(host=host, port=str(port), user=user, password=password, database=name)
    theirs = make_url(ours.sqlalchemy_url())
    assert (theirs.username, theirs.host, theirs.port, theirs.database) == (user, host, port, name)
    # PyMySQL sends text in Latin-1, and the server compares UTF-8.
    assert (theirs.password or "").encode("latin-1") == password.encode()


@given(query=options)
def test_the_urls_own_parameters_are_handed_on_to_sqlalchemy(query):
    url = f"mysql://u@db/d?{query_string(query)}"
    rendered = make_url(read({"DATABASE_URL": url}).database.sqlalchemy_url())
    made = rendered.get_dialect()(dbapi=pymysql).create_connect_args(rendered)[1]
    wanted = {"charset": "utf8mb4", **query}
    assert {name: made[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("query", "mode"),
    [
        ("", "PREFERRED"),
        ("ssl_disabled=true", "DISABLED"),
        ("ssl_disabled=false", "PREFERRED"),
        ("ssl_check_hostname=false", "REQUIRED"),
        ("ssl_ca={ca}", "VERIFY_IDENTITY"),
        ("ssl_ca={ca}&ssl_check_hostname=false", "VERIFY_CA"),
        ("ssl_ca={ca}&ssl_check_hostname=true", "VERIFY_IDENTITY"),
    ],
)
def test_tls_parameters_of_the_url_are_read_and_rendered_alike(tmp_path, query, mode):
    ca = tmp_path / "ca.pem"
    ca.write_text("")
    once = read({"DATABASE_URL": f"mysql://u:p@h/d?{query.format(ca=ca)}"}).database
    assert once.tls.mode == mode
    again = read({"DATABASE_URL": once.sqlalchemy_url()}).database
    assert again.tls == once.tls


@pytest.mark.parametrize(
    ("known", "arguments"),
    [
        ({}, {}),
        ({"ssl_mode": "DISABLED"}, {"ssl_disabled": "true"}),
        ({"ssl_mode": "REQUIRED"}, {"ssl": {"check_hostname": False}}),
        ({"ssl_mode": "VERIFY_CA", "ssl_ca": __file__}, {"ssl": {"ca": __file__, "check_hostname": False}}),
        ({"ssl_mode": "VERIFY_IDENTITY", "ssl_ca": __file__}, {"ssl": {"ca": __file__, "check_hostname": True}}),
        (
            {"ssl_mode": "REQUIRED", "ssl_cert": __file__, "ssl_key": __file__},
            {"ssl": {"cert": __file__, "key": __file__, "check_hostname": False}},
        ),
    ],
)
def test_sqlalchemy_makes_the_same_of_each_tls_mode(known, arguments):
    url = make_url(database(**known).sqlalchemy_url())
    made = url.get_dialect()(dbapi=pymysql).create_connect_args(url)[1]
    assert {name: value for name, value in made.items() if name.startswith("ssl")} == arguments


WRONG = [
    "db",
    "mysql:/u@h/d",
    "postgresql://u:p@h/d",
    "mysql+aiomysql://u:p@h/d",
    "mysql://h/d",
    "mysql://u:p@/d",
    "mysql://u:p@h",
    "mysql://u:p@h/",
    "mysql://u:p@h:0/d",
    "mysql://u:p@h:65536/d",
    "mysql://u:p@h:port/d",
    f"mysql://u:p@h:{'9' * 5000}/d",
    "mysql://u:p@h/d?charste=utf8",
    "mysql://u:p@h/d?charset=utf8&charset=latin1",
    "mysql://u:p@h/d?connect_timeout=soon",
    "mysql://u:p@h/d?local_infile=perhaps",
    "mysql://u:p@h/d?ssl_disabled=true&ssl_ca=/ca",
    "mysql://u:p@h/d?ssl_ca=/nowhere/ca.pem",
]


@pytest.mark.parametrize("url", WRONG)
def test_a_wrong_url_is_an_error_that_names_the_variable(url):
    with pytest.raises(BadUsage, match=r"DATABASE_URL|MYSQL_SSL_CA"):
        read({"DATABASE_URL": url})


def test_tls_is_set_in_one_place():
    with pytest.raises(BadUsage, match="MYSQL_SSL_MODE"):
        read({"DATABASE_URL": "mysql://u:p@h/d?ssl_disabled=true", "MYSQL_SSL_MODE": "REQUIRED"})


PIECES = ("hunter2", "s3cret", "qwertz")
reserved = st.text("@:/?#[]&=+ %", min_size=1, max_size=3)


@pytest.mark.I5
@given(between=st.lists(reserved, min_size=2, max_size=2), tail=st.sampled_from(["@db/d", "@db:3306/d", "@db"]))
@example(["@", "@"], "@db/d")
@example(["@", "/"], "@db/d")
@example(["@", "?"], "@db/d")
@example(["@", "?"], "=@db/d")
@example([":", "@x/"], "@db/d")
def test_no_part_of_a_password_that_was_not_encoded_is_shown(between, tail):
    password = PIECES[0] + between[0] + PIECES[1] + between[1] + PIECES[2]
    try:
        said = str(read({"DATABASE_URL": f"mysql://u:{password}{tail}"}).database)
    except BadUsage as refused:
        said = str(refused)
    assert not [piece for piece in PIECES if piece in said], said
