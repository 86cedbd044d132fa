"""The settings: the only module that reads the environment. Secrets stay inside (I5): no message shows a value's text.

Plain classes instead of dataclasses: importing `dataclasses` would cost a start with nothing to do a fifth of its time
(docs/decisions/0004-start-up-budget.md).
"""

import os
import re
from collections.abc import Mapping
from typing import Any

from alembic_gate.exits import BadUsage

SSL_MODES = ("DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY")
SCHEMES = ("mysql", "mysql+pymysql", "mariadb", "mariadb+pymysql")

# name -> default, as docs/configuration.md prints it; a test keeps the two and the chart's values the same.
VARIABLES: dict[str, str | None] = {
    "DATABASE_URL": None,
    "MYSQL_HOST": None,
    "MYSQL_PORT": "3306",
    "MYSQL_USER": None,
    "MYSQL_PASSWORD": None,
    "MYSQL_DATABASE": None,
    "MYSQL_SSL_MODE": "PREFERRED",
    "MYSQL_SSL_CA": None,
    "MYSQL_SSL_CERT": None,
    "MYSQL_SSL_KEY": None,
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

# URL query parameters that both PyMySQL and SQLAlchemy's dialect for it take, with the type that they want.
_OPTIONS: dict[str, type] = {
    "charset": str,
    "collation": str,
    "connect_timeout": int,
    "read_timeout": int,
    "write_timeout": int,
    "client_flag": int,
    "init_command": str,
    "sql_mode": str,
    "local_infile": bool,
    "use_unicode": bool,
    "program_name": str,
    "unix_socket": str,
}
_SSL_OPTIONS: dict[str, type] = {
    "ssl_disabled": bool,
    "ssl_ca": str,
    "ssl_capath": str,
    "ssl_cert": str,
    "ssl_key": str,
    "ssl_cipher": str,
    "ssl_check_hostname": bool,
}

# Kubernetes puts NAME_PORT=tcp://… and friends into every pod for each Service in the namespace, so a Service called
# `mysql` or `gate` speaks our names: https://kubernetes.io/docs/tutorials/services/connect-applications-service/
_SERVICE_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://")
_SERVICE_LINK_NAME = re.compile(r"GATE_(PORT(_.*)?|SERVICE_(HOST|PORT.*))$")

_URL = re.compile(
    r"(?P<scheme>[\w+]+)://"
    r"(?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?"
    r"(?:\[(?P<ipv6>[^/?]+)\]|(?P<host>[^/:?]+))?(?::(?P<port>[^/?]*))?"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)


class Tls:
    """How to use TLS, in the words of MySQL's own clients.

    https://dev.mysql.com/doc/refman/en/connection-options.html#option_general_ssl-mode
    """

    def __init__(
        self,
        mode: str = "PREFERRED",
        ca: str | None = None,
        cert: str | None = None,
        key: str | None = None,
        capath: str | None = None,
        cipher: str | None = None,
    ) -> None:
        self.mode = mode
        self.ca = ca
        self.cert = cert
        self.key = key
        self.capath = capath
        self.cipher = cipher

    def query_parameters(self) -> dict[str, str]:
        """The same as query parameters of SQLAlchemy's PyMySQL dialect."""
        if self.mode == "DISABLED":
            return {"ssl_disabled": "true"}
        files = {"ssl_ca": self.ca, "ssl_capath": self.capath, "ssl_cert": self.cert, "ssl_key": self.key}
        wanted = {name: path for name, path in files.items() if path}
        if self.cipher:
            wanted["ssl_cipher"] = self.cipher
        if self.mode != "PREFERRED" or wanted:
            wanted["ssl_check_hostname"] = "true" if self.mode == "VERIFY_IDENTITY" else "false"
        return wanted


class Database:
    """Where the database is and who we are there."""

    def __init__(
        self,
        *,
        dialect: str = "mysql",
        host: str,
        port: int = 3306,
        user: str,
        password: str = "",
        name: str,
        options: dict[str, Any] | None = None,
        tls: Tls | None = None,
    ) -> None:
        self.dialect = dialect
        self.host = host
        self.port = port
        self.user = user
        self.password = password
        self.name = name
        self.options = options or {}
        self.tls = tls or Tls()

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

        password = self.password.encode().decode("latin-1")
        login = f"{quote(self.user, safe='')}:{quote(password, safe='')}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        query = {name: str(value).lower() if value is True or value is False else str(value)
                 for name, value in self.options.items()}  # fmt: skip
        query.setdefault("charset", "utf8mb4")
        query.update(self.tls.query_parameters())
        return f"{self.dialect}+{driver}://{login}@{host}:{self.port}/{quote(self.name, safe='')}?{urlencode(query)}"


class Settings:
    """Everything a run needs to know from outside; made by `read`."""

    def __init__(self, values: "_Environment") -> None:
        self.database = _database(values)
        self.config = values.text("ALEMBIC_CONFIG") or "alembic.ini"
        self.target = values.text("GATE_TARGET") or "head"
        self.wait_timeout_seconds = values.seconds("GATE_WAIT_TIMEOUT_SECONDS")
        self.lock_timeout_seconds = values.seconds("GATE_LOCK_TIMEOUT_SECONDS")
        self.lock = values.choice("GATE_LOCK", "auto", "session", "lease")
        self.when_ahead = values.choice("GATE_WHEN_AHEAD", "allow", "fail")
        self.changed_script = values.choice("GATE_CHANGED_SCRIPT", "warn", "fail")
        self.metadata_lock_seconds = values.whole("GATE_METADATA_LOCK_SECONDS", 1, 31536000)
        self.journal_limit_bytes = values.whole("GATE_JOURNAL_LIMIT_BYTES", 0, 1 << 30)
        report_settings(values.environ)


def report_settings(environ: Mapping[str, str]) -> tuple[str, str, str]:
    """Read how to log, before anything else can fail: (format, level, path of the termination message)."""
    values = _Environment(environ)
    return (
        values.choice("GATE_LOG_FORMAT", "text", "json"),
        values.choice("GATE_LOG_LEVEL", "debug", "info", "warning", "error"),
        values.text("GATE_TERMINATION_LOG") or "",
    )


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and check all settings; raises BadUsage naming the variable, the shape of its value and what to write."""
    for name in environ:
        plain = name.removesuffix("_FILE")
        if name.startswith("GATE_") and plain not in VARIABLES and not _SERVICE_LINK_NAME.match(name):
            known = ", ".join(sorted(known for known in VARIABLES if known.startswith("GATE_")))
            raise BadUsage(f"{name} is not a setting", advice=f"The GATE_ settings are {known}")
    return Settings(_Environment(environ))


def sqlalchemy_url_from_environment(environ: Mapping[str, str] = os.environ) -> str:
    """The URL of the database that the environment names, for an `env.py` under the plain `alembic` command."""
    return _database(_Environment(environ)).sqlalchemy_url()


class _Environment:
    """One look-up for all variables: the `_FILE` form, service links, types, and errors that name the variable."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ

    def text(self, name: str) -> str | None:
        value = self.given(name)
        return VARIABLES[name] if value is None else value

    def given(self, name: str) -> str | None:
        value = self.environ.get(name) or None
        path = self.environ.get(f"{name}_FILE") or None
        if value is not None and _SERVICE_LINK_VALUE.match(value) and name == "MYSQL_PORT":
            value = None
        if path is None:
            return value
        if value is not None:
            raise BadUsage(f"{name} and {name}_FILE are both set", advice="Set one of the two")
        try:
            with open(path, encoding="utf-8") as file:
                return file.read().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise BadUsage(
                f"the file that {name}_FILE names cannot be read: {reason}",
                advice="Mount the secret there, readable for this user",
            ) from None

    def choice(self, name: str, *words: str) -> str:
        value = self.text(name) or words[0]
        if value not in words:
            raise _wrong(name, value, "one of " + ", ".join(words))
        return value

    def whole(self, name: str, least: int, most: int) -> int:
        value = self.text(name) or ""
        if not (value.isascii() and value.isdigit() and least <= int(value) <= most):
            raise _wrong(name, value, f"a whole number from {least} to {most}")
        return int(value)

    def seconds(self, name: str) -> float:
        value = self.text(name) or ""
        if not re.fullmatch(r"\d{1,8}(\.\d{1,6})?", value, re.ASCII):
            raise _wrong(name, value, "a number of seconds such as 60 or 0.5")
        return float(value)


def _wrong(name: str, value: str, wanted: str) -> BadUsage:
    return BadUsage(f"{name} has a value of {_shape(value)}", advice=f"Write {wanted}")


def _shape(value: str) -> str:
    """Describe a value without showing it: it may hold a secret put in the wrong variable."""
    kinds = {
        "letters": any(c.isalpha() for c in value),
        "digits": any(c.isdigit() for c in value),
        "blanks": any(c.isspace() for c in value),
        "signs": any(not (c.isalnum() or c.isspace()) for c in value),
    }
    made_of = " and ".join(kind for kind, present in kinds.items() if present) or "nothing"
    return f"{len(value)} character{'s' if len(value) != 1 else ''} ({made_of})"


def _database(values: _Environment) -> Database:
    url = values.given("DATABASE_URL")
    parts = [name for name in VARIABLES if re.match(r"MYSQL_(HOST|PORT|USER|PASSWORD|DATABASE)$", name)]
    given = [name for name in parts if values.given(name) is not None]
    if url is not None:
        if given:
            raise BadUsage(f"DATABASE_URL and {', '.join(given)} are both set", advice="Set the URL or the parts")
        return _from_url(url, values)
    missing = [name for name in ("MYSQL_HOST", "MYSQL_USER", "MYSQL_DATABASE") if values.given(name) is None]
    if len(missing) == 3:
        raise BadUsage(
            "no database is named: neither DATABASE_URL nor MYSQL_HOST, MYSQL_USER and MYSQL_DATABASE is set",
            meaning="There is no default database",
            advice="Set DATABASE_URL=mysql://user:password@host/database (see docs/configuration.md)",
        )
    if missing:
        raise BadUsage(f"{' and '.join(missing)} must be set too", advice="Set all of host, user and database")
    return Database(
        host=values.text("MYSQL_HOST") or "",
        port=values.whole("MYSQL_PORT", 1, 65535),
        user=values.text("MYSQL_USER") or "",
        password=values.text("MYSQL_PASSWORD") or "",
        name=values.text("MYSQL_DATABASE") or "",
        tls=_tls(values, {}),
    )


def _from_url(url: str, values: _Environment) -> Database:
    match = _URL.fullmatch(url.strip())
    if match is None:
        raise BadUsage(
            f"DATABASE_URL is not a URL ({_shape(url)})",
            meaning="A '@', ':' or '/' in user or password must be percent-encoded",
            advice="Write mysql://user:password@host:3306/database, or use MYSQL_HOST and the other parts instead",
        )
    scheme = match["scheme"]
    if scheme not in SCHEMES:
        shown = f"'{scheme}'" if len(scheme) < 24 else _shape(scheme)
        raise BadUsage(f"DATABASE_URL has the scheme {shown}", advice=f"Write one of {', '.join(SCHEMES)}")
    options, ssl = _options(match["query"] or "")
    host = match["ipv6"] or match["host"] or ("localhost" if "unix_socket" in options else None)
    database = _unquote(match["database"] or "")
    if host is None or not match["user"] or not database:
        lacks = [word for word, part in (("host", host), ("user", match["user"]), ("database", database)) if not part]
        raise BadUsage(
            f"DATABASE_URL names no {' and no '.join(lacks)}",
            advice="Write mysql://user:password@host:3306/database",
        )
    port = match["port"] or "3306"
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise BadUsage(
            f"DATABASE_URL has a port of {_shape(port)}",
            meaning="Often a '@', ':' or '/' of the password is not percent-encoded",
            advice="Write a port from 1 to 65535",
        )
    return Database(
        dialect=scheme.partition("+")[0],
        host=host,
        port=int(port),
        user=_unquote(match["user"]),
        password=_unquote(match["password"] or ""),
        name=database,
        options=options,
        tls=_tls(values, ssl),
    )


def _options(query: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the URL's query parameters: (those for the connection, those for TLS)."""
    options: dict[str, Any] = {}
    ssl: dict[str, Any] = {}
    for pair in filter(None, query.split("&")):
        name, _, raw = pair.partition("=")
        value = _unquote(raw.replace("+", " "))
        found = ssl if name in _SSL_OPTIONS else options
        kind = _SSL_OPTIONS.get(name) or _OPTIONS.get(name)
        if kind is None:
            shown = name if re.fullmatch(r"\w{1,40}", name) else _shape(name)
            known = ", ".join(sorted([*_OPTIONS, *_SSL_OPTIONS]))
            raise BadUsage(f"DATABASE_URL has an unknown query parameter '{shown}'", advice=f"Known are {known}")
        if name in found:
            raise BadUsage(f"DATABASE_URL has the query parameter '{name}' twice", advice="Write it once")
        if kind is bool:
            if value.lower() not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
                raise BadUsage(f"DATABASE_URL has '{name}' with {_shape(value)}", advice="Write true or false")
            found[name] = value.lower() in ("true", "1", "yes", "on")
        elif kind is int:
            if not (value.isascii() and value.isdigit()):
                raise BadUsage(f"DATABASE_URL has '{name}' with {_shape(value)}", advice="Write a whole number")
            found[name] = int(value)
        else:
            found[name] = value
    return options, ssl


def _tls(values: _Environment, ssl: dict[str, Any]) -> Tls:
    names = ("MYSQL_SSL_MODE", "MYSQL_SSL_CA", "MYSQL_SSL_CERT", "MYSQL_SSL_KEY")
    given = {name: values.given(name) for name in names}
    if ssl and any(given.values()):
        both = ", ".join(name for name, value in given.items() if value)
        raise BadUsage(f"{both} and {', '.join(ssl)} in DATABASE_URL are both set", advice="Set TLS in one place")
    if ssl:
        tls = _tls_from_url(ssl)
    else:
        mode = given["MYSQL_SSL_MODE"] or ("VERIFY_CA" if given["MYSQL_SSL_CA"] else "PREFERRED")
        if mode not in SSL_MODES:
            raise _wrong("MYSQL_SSL_MODE", mode, "one of " + ", ".join(SSL_MODES))
        tls = Tls(mode, given["MYSQL_SSL_CA"], given["MYSQL_SSL_CERT"], given["MYSQL_SSL_KEY"])
    if tls.mode.startswith("VERIFY") and not (tls.ca or tls.capath):
        raise BadUsage(
            f"MYSQL_SSL_MODE={tls.mode} needs MYSQL_SSL_CA",
            advice="Name the file of the certificate authority; for public ones /etc/ssl/certs/ca-certificates.crt",
        )
    if bool(tls.cert) != bool(tls.key):
        raise BadUsage("MYSQL_SSL_CERT and MYSQL_SSL_KEY go together", advice="Set both, or neither")
    for name, path in (("MYSQL_SSL_CA", tls.ca), ("MYSQL_SSL_CERT", tls.cert), ("MYSQL_SSL_KEY", tls.key)):
        if path and tls.mode != "DISABLED" and not os.access(path, os.R_OK):
            raise BadUsage(f"the file that {name} names cannot be read", advice="Mount it, readable for this user")
    return tls


def _tls_from_url(ssl: dict[str, Any]) -> Tls:
    if ssl.pop("ssl_disabled", False):
        if ssl:
            raise BadUsage(f"DATABASE_URL has ssl_disabled=true and {', '.join(ssl)}", advice="Write one of the two")
        return Tls("DISABLED")
    verifies = "ssl_ca" in ssl or "ssl_capath" in ssl
    check_hostname = ssl.pop("ssl_check_hostname", None)
    mode = "PREFERRED"
    if verifies:
        mode = "VERIFY_CA" if check_hostname is False else "VERIFY_IDENTITY"
    elif check_hostname:
        mode = "VERIFY_IDENTITY"
    elif ssl or check_hostname is False:
        mode = "REQUIRED"
    return Tls(mode, **{name.removeprefix("ssl_"): value for name, value in ssl.items()})


def _unquote(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)
