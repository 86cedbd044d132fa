"""Read a statement as far as recovery must understand it: what kind it is, and which objects a DDL touches. Pure.

Which statements commit: https://dev.mysql.com/doc/refman/en/implicit-commit.html
Whatever is not recognised counts as a statement that may commit, and its target as the whole schema.
"""

import re
from enum import Enum


class Kind(Enum):
    """What the journal does about a statement."""

    PLAIN = "read or DML: part of its transaction, answered from the journal afterwards"
    SESSION = "sets up the session: answered from the journal, and set up again in the new session"
    TEMPORARY = "makes or drops a temporary table, which dies with its session"
    ENDS_TRANSACTION = "commits or rolls back by itself and does nothing else"
    COMMITS = "commits what came before it, by being a DDL or by what it calls"


_COMMENT = re.compile(r"\s+|/\*(?!!|M!).*?\*/|--(?:[ \t][^\n]*)?(?:\n|$)|#[^\n]*(?:\n|$)|\(", re.DOTALL)
_SET_THAT_COMMITS = re.compile(r"SET\s+PASSWORD|SET\s.*\bautocommit\b", re.IGNORECASE | re.DOTALL)
_SET_STATEMENT = re.compile(r"^SET\s+STATEMENT\s.*?\sFOR\s+", re.IGNORECASE | re.DOTALL)
_WORD = re.compile(r"[A-Za-z_]+")
_NAME = r"(?:`(?:[^`]|``)+`|\"(?:[^\"]|\"\")+\"|[\w$]+)"
_QUALIFIED = rf"{_NAME}(?:\s*\.\s*{_NAME})?"
_IF = r"(?:IF\s+(?:NOT\s+)?EXISTS\s+)?"

_READS = {"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "VALUES", "TABLE", "HELP"}
_PLAIN = _READS | {"INSERT", "UPDATE", "DELETE", "REPLACE", "DO", "SAVEPOINT", "RELEASE"}
_SESSION_WORDS = {"SET", "USE", "PREPARE", "DEALLOCATE"}
_ENDS = {"COMMIT", "ROLLBACK", "BEGIN", "START"}

_OBJECT = re.compile(
    rf"(?:CREATE(?:\s+OR\s+REPLACE)?|ALTER|DROP)\s+"
    rf"(?:(?:ALGORITHM|DEFINER)\s*=\s*\S+\s+|SQL\s+SECURITY\s+\w+\s+|TEMPORARY\s+|AGGREGATE\s+|ONLINE\s+|IGNORE\s+)*"
    rf"(?P<kind>TABLE|VIEW|TRIGGER|PROCEDURE|FUNCTION|EVENT|SEQUENCE|DATABASE|SCHEMA)\s+{_IF}(?!IF\b)"
    rf"(?P<names>{_QUALIFIED}(?:\s*,\s*{_QUALIFIED})*)",
    re.IGNORECASE | re.DOTALL,
)
_CREATE_TABLE = re.compile(rf"CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?({_NAME})\s*\(", re.IGNORECASE)
_INDEX = re.compile(
    rf"(?:CREATE|DROP)\s+(?:OR\s+REPLACE\s+)?(?:ONLINE\s+|OFFLINE\s+)?(?:UNIQUE\s+|FULLTEXT\s+|SPATIAL\s+)?INDEX\s+"
    rf"{_IF}{_NAME}[^(]*?\s+ON\s+(?P<names>{_QUALIFIED})",
    re.IGNORECASE | re.DOTALL,
)
_TRUNCATE = re.compile(rf"TRUNCATE\s+(?:TABLE\s+)?(?P<names>{_QUALIFIED})", re.IGNORECASE)
_RENAME = re.compile(rf"RENAME\s+TABLES?\s+{_IF}(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_USER_VARIABLE = re.compile(r"(?<![@\w`'\"])@(?!@)([\w$.]+)\s*:?=|\bINTO\s+((?:@[\w$.]+\s*,?\s*)+)", re.IGNORECASE)
_TEMPORARY = re.compile(r"(?:CREATE(?:\s+OR\s+REPLACE)?|DROP)\s+TEMPORARY\s", re.IGNORECASE)

# Repeating these could undo or repeat them although the definitions look the same before and after.
_NOT_REPEATABLE = re.compile(
    r"(?:CREATE|ALTER|DROP|RENAME)\s+(?:USER|ROLE)\b|REVOKE\b|SET\s+PASSWORD\b"
    r"|ALTER\s.*\b(?:EXCHANGE\s+PARTITION|IMPORT\b.*TABLESPACE|DISCARD\b.*TABLESPACE)",
    re.IGNORECASE | re.DOTALL,
)


def bare(statement: str) -> str:
    """The statement without the comments, blanks and brackets before its first word."""
    position = 0
    while match := _COMMENT.match(statement, position):
        if match.end() == position:
            break
        position = match.end()
    # MariaDB's `SET STATEMENT variable = value FOR statement` is the statement.
    return _SET_STATEMENT.sub("", statement[position:])


def kind(statement: str) -> Kind:
    """Say what the journal does about a statement."""
    text = bare(statement)
    match = _WORD.match(text)
    word = match[0].upper() if match else ""
    if word in _PLAIN:
        return Kind.PLAIN
    if word == "LOAD" and not re.match(r"LOAD\s+INDEX", text, re.IGNORECASE):
        return Kind.PLAIN
    if word in _ENDS and not is_call(text):
        return Kind.PLAIN if re.match(r"ROLLBACK\s+(?:WORK\s+)?TO\b", text, re.IGNORECASE) else Kind.ENDS_TRANSACTION
    if word in _SESSION_WORDS and not _SET_THAT_COMMITS.match(text):
        return Kind.SESSION
    if _TEMPORARY.match(text):
        return Kind.TEMPORARY
    return Kind.COMMITS


def assigned_variables(statement: str) -> list[str]:
    """The user variables (`@name`) that a statement sets; quoted text may add one too many, which does no harm."""
    if "@" not in statement:
        return []
    names: list[str] = []
    for single, several in _USER_VARIABLE.findall(statement):
        names += [single] if single else re.findall(r"@([\w$.]+)", several)
    return sorted(set(names))


def is_sent_again(statement: str) -> bool:
    """Tell whether a session statement can be sent again: not where it may compute a user variable from the data."""
    return not assigned_variables(statement) or "(" not in statement


def targets(statement: str) -> list[str] | None:
    """The objects that a DDL touches: how the server shows each, a blank, its quoted name.

    None where they cannot be told, and so the whole schema counts.
    """
    text = re.sub(r"/\*.*?\*/|--(?:[ \t][^\n]*)?(?=\n|$)|#[^\n`]*(?=\n|$)", " ", bare(statement), flags=re.DOTALL)
    if match := _OBJECT.match(text):
        kind_ = match["kind"].upper()
        shown = {"VIEW": "TABLE", "SEQUENCE": "TABLE", "SCHEMA": "DATABASE"}.get(kind_, kind_)
        # Only DROP takes a list; `ALTER TABLE t ADD …, …` must not be read as one.
        several = text[:4].upper() == "DROP"
        found = re.findall(_QUALIFIED, match["names"])
        return [f"{shown} {_quoted(name)}" for name in (found if several else found[:1])]
    if match := _INDEX.match(text) or _TRUNCATE.match(text):
        return [f"TABLE {_quoted(match['names'])}"]
    if match := _RENAME.match(text):
        return [f"TABLE {_quoted(name)}" for name in dict.fromkeys(_renamed(match))]
    return None


def _renamed(match: re.Match[str]) -> list[str]:
    """The names in a RENAME TABLE: old, new, old, new …"""
    return [word for word in re.findall(_QUALIFIED, match["rest"]) if word.upper() != "TO"]


def created_table(statement: str) -> str | None:
    """The quoted name in a plain CREATE TABLE of this database, the one DDL that is always quick; else None."""
    match = _CREATE_TABLE.match(bare(statement))
    return _quoted(match[1]) if match and not re.search(r"\bSELECT\b", statement, re.IGNORECASE) else None


def is_drop(statement: str) -> bool:
    return bare(statement)[:4].upper() == "DROP" and not re.match(r"DROP\s+INDEX", bare(statement), re.IGNORECASE)


def is_rollback(statement: str) -> bool:
    return bare(statement)[:8].upper() == "ROLLBACK"


def is_call(statement: str) -> bool:
    """Tell whether a statement is many: a procedure, or MariaDB's compound statement, commits where it likes."""
    return re.match(r"CALL\b|BEGIN\s+NOT\s+ATOMIC\b", bare(statement), re.IGNORECASE) is not None


def is_repeatable(statement: str) -> bool:
    """Tell whether running a DDL again does no harm where nothing it touches looks changed.

    Not so for what leaves no trace in a definition.
    """
    text = bare(statement)
    if _NOT_REPEATABLE.match(text) or is_call(text):
        return False
    return ";" not in text.rstrip().rstrip(";") or _OBJECT.match(text) is not None


def is_rename_in_a_circle(statement: str) -> bool:
    """Tell whether a RENAME TABLE leaves the same names, so that only the definitions could show it."""
    match = _RENAME.match(bare(statement))
    words = [word.lower() for word in _renamed(match)] if match else []
    left: set[str] = set()
    first: set[str] = set()
    for old, new in zip(words[::2], words[1::2], strict=False):
        first |= {old} - left
        left = left - {old} | {new}
    return bool(words) and first == left


def summary(statement: str, length: int = 120) -> str:
    """A statement on one line, for a message."""
    line = " ".join(statement.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def _quoted(name: str) -> str:
    parts = [part.strip() for part in re.findall(_NAME, name)]
    return ".".join(part if part.startswith("`") else f"`{part.strip(chr(34))}`" for part in parts)
