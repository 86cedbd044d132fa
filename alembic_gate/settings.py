"""The settings: the only module that reads the environment. Secrets stay inside (I5): no message shows a value's text.

Plain classes and tuples, no `typing`: what a start with nothing to do imports is a budget, see
docs/decisions/0004-start-up-budget.md.
"""

import os
import re
from collections import namedtuple
from collections.abc import Mapping

from alembic_gate.exits import BadUsage
from alembic_gate.report import LEVELS

Options = dict[str, str | int]

SSL_MODES = ("DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY")
SCHEMES = ("mysql", "mysql+pymysql", "mariadb", "mariadb+pymysql")

# Each variable and its default, as docs/configuration.md and the chart's values have them; a test keeps them the same.
VARIABLES: "dict[str, str | None]" = {
    **dict.fromkeys(("DATABASE_URL", "MYSQL_HOST", "MYSQL_USER", "MYSQL_PASSWORD", "MYSQL_DATABASE")),
    **dict.fromkeys(("MYSQL_SSL_CA", "MYSQL_SSL_CERT", "MYSQL_SSL_KEY")),
    "MYSQL_PORT": "3306",
    "MYSQL_SSL_MODE": "PREFERRED",
    "ALEMBIC_CONFIG": "alembic.ini",
    "GATE_TARGET": "head",
    "GATE_WAIT_TIMEOUT_SECONDS": "60",
    "GATE_LOCK_TIMEOUT_SECONDS": "300",
    "GATE_LOCK": "auto",
    "GATE_WHEN_AHEAD": "allow",
    "GATE_CHANGED_SCRIPT": "warn",
    "GATE_METADATA_LOCK_SECONDS": "10",
    "GATE_JOURNAL_LIMIT_BYTES": "8388608",
    "GATE_LOG_FORMAT": "text",
    "GATE_LOG_LEVEL": "info",
    "GATE_TERMINATION_LOG": "/dev/termination-log",
}

# The URL's query parameters that both PyMySQL and SQLAlchemy's dialect for it take, with the type that they want.
_OPTIONS = {
    **dict.fromkeys(["charset", "collation", "init_command", "sql_mode", "program_name", "unix_socket"], str),
    **dict.fromkeys(["connect_timeout", "read_timeout", "write_timeout", "client_flag"], int),
    **dict.fromkeys(["ssl_ca", "ssl_capath", "ssl_cert", "ssl_key", "ssl_cipher"], str),
    **dict.fromkeys(["local_infile", "use_unicode", "ssl_disabled", "ssl_check_hostname"], bool),
}
_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}

# Kubernetes puts NAME_PORT=tcp://… and its kin into every pod for each Service of the namespace, so a Service called
# `mysql` or `gate` speaks our names: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_LINK_VALUES = ("tcp://", "udp://", "sctp://")
_SERVICE_LINK_NAME = re.compile(r"GATE_(\w+_)?(PORT(_\d+_.*)?|SERVICE_(HOST|PORT.*))$")

_URL = re.compile(
    r"(?P<scheme>[\w+]+)://(?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?"
    r"(?:\[(?P<ipv6>[^/?]+)\]|(?P<host>[^/:?]+))?(?::(?P<port>[^/?]*))?"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_URL_FORM = "Write mysql://user:password@host:3306/database"
_ENCODE = "A '@', ':' or '/' in user or password must be percent-encoded"


class Tls(namedtuple("Tls", "mode ca capath cert key cipher", defaults=[None, None, None, None, None])):
    """How to use TLS, in the words of MySQL's own clients: the mode, and the names of files.

    https://dev.mysql.com/doc/refman/en/connection-options.html#option_general_ssl-mode
    """

    def query_parameters(self) -> dict[str, str]:
        """The same as query parameters of SQLAlchemy's PyMySQL dialect."""
        if self.mode == "DISABLED":
            return {"ssl_disabled": "true"}
        wanted = {f"ssl_{name}": value for name, value in self._asdict().items() if value and name != "mode"}
        if self.mode != "PREFERRED" or wanted:
            wanted["ssl_check_hostname"] = "true" if self.mode == "VERIFY_IDENTITY" else "false"
        return wanted


class Database:
    """Where the database is and who we are there."""

    dialect = "mysql"

    def __init__(self, host: str, port: int, user: str, password: str, name: str, tls: Tls) -> None:
        self.host, self.port, self.user, self.password, self.name, self.tls = host, port, user, password, name, tls
        self.options: Options = {}

    def __str__(self) -> str:
        where = self.options.get("unix_socket") or f"{self.host}:{self.port}"
        return f"database '{self.name}' at {where} as user '{self.user}'"

    __repr__ = __str__

    def sqlalchemy_url(self, driver: str = "pymysql") -> str:
        """Render the URL for `sqlalchemy.url`.

        PyMySQL encodes a password given as text in Latin-1, the server compares UTF-8: the password is handed over as
        the Latin-1 reading of its UTF-8 bytes, so that any password works.
        """
        from urllib.parse import quote, urlencode

        login = [quote(text, safe="") for text in (self.user, self.password.encode().decode("latin-1"))]
        host = f"[{self.host}]" if ":" in self.host else self.host
        query = {"charset": "utf8mb4"} | {name: str(value) for name, value in self.options.items()}
        path = f"{quote(self.name, safe='')}?{urlencode(query | self.tls.query_parameters())}"
        return f"{self.dialect}+{driver}://{':'.join(login)}@{host}:{self.port}/{path}"


class Settings:
    """Everything a run needs to know from outside; made by `read`."""

    def __init__(self, values: "Environment") -> None:
        self.database = _database(values)
        self.config = values.text("ALEMBIC_CONFIG")
        self.target = values.text("GATE_TARGET")
        self.wait_timeout_seconds = values.seconds("GATE_WAIT_TIMEOUT_SECONDS")
        self.lock_timeout_seconds = values.seconds("GATE_LOCK_TIMEOUT_SECONDS")
        self.lock = values.choice("GATE_LOCK", "auto", "session", "lease")
        self.when_ahead = values.choice("GATE_WHEN_AHEAD", "allow", "fail")
        self.changed_script = values.choice("GATE_CHANGED_SCRIPT", "warn", "fail")
        self.metadata_lock_seconds = values.whole("GATE_METADATA_LOCK_SECONDS", 1, 31536000)
        self.journal_limit_bytes = values.whole("GATE_JOURNAL_LIMIT_BYTES", 0, 1 << 30)


def report_settings(environ: Mapping[str, str]) -> tuple[str, str, str]:
    """Read how to log, before anything else can fail: (format, level, path of the termination message)."""
    values = Environment(environ)
    form, level = values.choice("GATE_LOG_FORMAT", "text", "json"), values.choice("GATE_LOG_LEVEL", *LEVELS)
    return form, level, values.text("GATE_TERMINATION_LOG")


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and check all settings; raises BadUsage naming the variable, the shape of its value and what to write."""
    for name in environ:
        known = name.removesuffix("_FILE") in VARIABLES or _SERVICE_LINK_NAME.match(name)
        if name.startswith("GATE_") and not known:
            ours = ", ".join(sorted(name for name in VARIABLES if name.startswith("GATE_")))
            raise BadUsage(f"{name} is not a setting", advice=f"The GATE_ settings are {ours}")
    return Settings(Environment(environ))


def sqlalchemy_url_from_environment(environ: Mapping[str, str] = os.environ) -> str:
    """The URL of the database that the environment names, for an `env.py` under the plain `alembic` command."""
    return _database(Environment(environ)).sqlalchemy_url()


class Environment:
    """One look-up for all variables: the `_FILE` form, service links, types, and errors that name the variable."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ

    def text(self, name: str) -> str:
        return self.given(name) or VARIABLES[name] or ""

    def given(self, name: str) -> str | None:
        """What is set, directly or in the file that NAME_FILE names; an empty value counts as none."""
        value, path = self.environ.get(name) or None, self.environ.get(f"{name}_FILE") or None
        if name == "MYSQL_PORT" and value and value.startswith(_SERVICE_LINK_VALUES):
            value = None
        if path is None:
            return value
        if value:
            raise BadUsage(f"{name} and {name}_FILE are both set", advice="Set one of the two")
        try:
            with open(path, encoding="utf-8", newline="") as file:
                return file.read().rstrip("\r\n") or None
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            what = f"the file that {name}_FILE names cannot be read: {reason}"
            raise BadUsage(what, advice="Mount the secret there, readable for this user") from None

    def choice(self, name: str, *words: str) -> str:
        value = self.text(name)
        if value not in words:
            raise _wrong(name, value, "one of " + ", ".join(words))
        return value

    def whole(self, name: str, least: int, most: int) -> int:
        value = self.text(name)
        if not (value.isascii() and value.isdigit() and len(value) < 12 and least <= int(value) <= most):
            raise _wrong(name, value, f"a whole number from {least} to {most}")
        return int(value)

    def seconds(self, name: str) -> float:
        value = self.text(name)
        if not re.fullmatch(r"\d{1,8}(\.\d{1,6})?", value, re.ASCII):
            raise _wrong(name, value, "a number of seconds such as 60 or 0.5")
        return float(value)


def _wrong(name: str, value: str, wanted: str) -> BadUsage:
    return BadUsage(f"{name} has a value of {_shape(value)}", advice=f"Write {wanted}")


def _shape(value: str) -> str:
    """Describe a value without showing it: it may hold a secret put in the wrong variable."""
    tests = {"letters": str.isalpha, "digits": str.isdigit, "blanks": str.isspace}
    kinds = [kind for kind, test in tests.items() if any(map(test, value))]
    if any(not (c.isalnum() or c.isspace()) for c in value):
        kinds.append("signs")
    return f"{len(value)} character{'s' if len(value) != 1 else ''} ({' and '.join(kinds) or 'nothing'})"


def _database(values: Environment) -> Database:
    url = values.given("DATABASE_URL")
    parts = ["MYSQL_HOST", "MYSQL_USER", "MYSQL_DATABASE", "MYSQL_PORT", "MYSQL_PASSWORD"]
    given = [name for name in parts if values.given(name) is not None]
    if url is not None:
        if given:
            raise BadUsage(f"DATABASE_URL and {', '.join(given)} are both set", advice="Set the URL or the parts")
        return _from_url(url, values)
    if missing := [name for name in parts[:3] if name not in given]:
        what = f"no database is named: set DATABASE_URL, or else {' and '.join(missing)}"
        raise BadUsage(what, meaning="There is no default database", advice=f"{_URL_FORM} (see docs/configuration.md)")
    host, user, name, _, password = map(values.text, parts)
    return Database(host, values.whole("MYSQL_PORT", 1, 65535), user, password, name, _tls(values, {}))


def _from_url(url: str, values: Environment) -> Database:
    match = _URL.fullmatch(url.strip())
    # With two '@' in it, a part of the password would be taken for the host, and shown.
    if match is None or url.count("@") > 1:
        raise BadUsage(f"DATABASE_URL is not a URL ({_shape(url)})", meaning=_ENCODE, advice=_URL_FORM)
    scheme = match["scheme"]
    if scheme not in SCHEMES:
        shown = f"'{scheme}'" if len(scheme) < 24 else _shape(scheme)
        raise BadUsage(f"DATABASE_URL has the scheme {shown}", advice=f"Write one of {', '.join(SCHEMES)}")
    options = _options(match["query"] or "")
    ssl = {name: options.pop(name) for name in list(options) if name.startswith("ssl_")}
    host = match["ipv6"] or match["host"] or ("localhost" if "unix_socket" in options else "")
    found = {"host": host, "user": match["user"], "database": match["database"]}
    if lacks := [part for part, value in found.items() if not value]:
        raise BadUsage(f"DATABASE_URL names no {' and no '.join(lacks)}", advice=_URL_FORM)
    port = match["port"] or "3306"
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise BadUsage(f"DATABASE_URL has a port of {_shape(port)}", meaning=_ENCODE, advice=_URL_FORM)
    user, password, name = (_unquote(match[part] or "") for part in ("user", "password", "database"))
    database = Database(host, int(port), user, password, name, _tls(values, ssl))
    database.dialect, database.options = scheme.partition("+")[0], options
    return database


def _options(query: str) -> Options:
    """Read the URL's query parameters."""
    found: Options = {}
    for pair in filter(None, query.split("&")):
        name, _, raw = pair.partition("=")
        value = _unquote(raw.replace("+", " "))
        kind = _OPTIONS.get(name)
        if kind is None:
            shown = name if re.fullmatch(r"\w{1,40}", name) else _shape(name)
            known = ", ".join(sorted(_OPTIONS))
            raise BadUsage(f"DATABASE_URL has an unknown query parameter '{shown}'", advice=f"Known are {known}")
        if name in found:
            raise BadUsage(f"DATABASE_URL has the query parameter '{name}' twice", advice="Write it once")
        if kind is bool and value.lower() not in _BOOLEANS:
            raise BadUsage(f"DATABASE_URL has '{name}' with {_shape(value)}", advice="Write true or false")
        if kind is int and not (value.isascii() and value.isdigit()):
            raise BadUsage(f"DATABASE_URL has '{name}' with {_shape(value)}", advice="Write a whole number")
        found[name] = _BOOLEANS[value.lower()] if kind is bool else kind(value)
    return found


def _tls(values: Environment, ssl: Options) -> Tls:
    names = {"MYSQL_SSL_MODE": "mode", "MYSQL_SSL_CA": "ca", "MYSQL_SSL_CERT": "cert", "MYSQL_SSL_KEY": "key"}
    given = {name: value for name in names if (value := values.given(name))}
    if ssl and given:
        both = ", ".join([*given, *ssl])
        raise BadUsage(f"TLS is set twice, beside DATABASE_URL and in it: {both}", advice="Set it in one place")
    files = {names[name]: value for name, value in given.items()}
    tls = _tls_from_url(ssl) if ssl else Tls(**{"mode": "VERIFY_CA" if "ca" in files else "PREFERRED"} | files)
    if tls.mode not in SSL_MODES:
        raise _wrong("MYSQL_SSL_MODE", tls.mode, "one of " + ", ".join(SSL_MODES))
    if tls.mode.startswith("VERIFY") and not (tls.ca or tls.capath):
        advice = "Name the file of the certificate authority; for public ones /etc/ssl/certs/ca-certificates.crt"
        raise BadUsage(f"MYSQL_SSL_MODE={tls.mode} needs MYSQL_SSL_CA", advice=advice)
    if bool(tls.cert) != bool(tls.key):
        raise BadUsage("MYSQL_SSL_CERT and MYSQL_SSL_KEY go together", advice="Set both, or neither")
    for name, path in (("MYSQL_SSL_CA", tls.ca), ("MYSQL_SSL_CERT", tls.cert), ("MYSQL_SSL_KEY", tls.key)):
        if path and tls.mode != "DISABLED" and not os.access(path, os.R_OK):
            raise BadUsage(f"the file that {name} names cannot be read", advice="Mount it, readable for this user")
    return tls


def _tls_from_url(ssl: Options) -> Tls:
    """The mode that PyMySQL's parameters stand for: a CA verifies the host name too, unless that is switched off."""
    if ssl.pop("ssl_disabled", False):
        if ssl:
            raise BadUsage(f"DATABASE_URL has ssl_disabled=true and {', '.join(ssl)}", advice="Write one of the two")
        return Tls("DISABLED")
    check_hostname = ssl.pop("ssl_check_hostname", None)
    if "ssl_ca" in ssl or "ssl_capath" in ssl:
        mode = "VERIFY_CA" if check_hostname is False else "VERIFY_IDENTITY"
    elif check_hostname:
        mode = "VERIFY_IDENTITY"
    else:
        mode = "REQUIRED" if ssl or check_hostname is False else "PREFERRED"
    return Tls(mode, **{name.removeprefix("ssl_"): value for name, value in ssl.items()})


def _unquote(text: str) -> str:
    """As `urllib.parse.unquote`, which loads half a library for it."""
    return re.sub(rb"%([0-9a-fA-F]{2})", lambda code: bytes([int(code[1], 16)]), text.encode()).decode(errors="replace")
