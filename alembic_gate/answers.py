"""Keep what the server answered, so that a resumed revision hears the same again: typed JSON, compressed, bounded.

One entry a statement: [digest, rowcount, lastrowid, description, rows, variables], or [digest, error class, arguments],
or [digest] where the answer was too large to keep. The digest is of all statements so far, texts and parameters.
"""

import hashlib
import json
import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

# Answers up to this length are kept whatever the limit says: the replay of writes needs them.
_SMALL = 256


class Answer(NamedTuple):
    """What came back for one statement."""

    digest: str
    rowcount: int = -1
    lastrowid: int | None = None
    description: list[tuple[Any, ...]] | None = None
    rows: list[tuple[Any, ...]] | None = None
    variables: list[tuple[str, Any]] | None = None
    error: tuple[str, tuple[Any, ...]] | None = None
    kept: bool = True


class RunningDigest:
    """A hash over the statements of a revision so far."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, statement: str, parameters: Any) -> str:
        """Add a statement, and return the digest up to and with it."""
        # SQLAlchemy counts its savepoints over all revisions of a run.
        statement = re.sub(r"\bsa_savepoint_\d+", "sa_savepoint", statement)
        said = _SAID.encode([statement, parameters])
        self._hash.update(said.encode() + b"\n")
        return self._hash.hexdigest()[:16]


def encode(answer: Answer) -> str:
    """One line for an answer; raises TypeError for a value that cannot be carried to and fro."""
    entry: list[Any] = [answer.digest]
    if answer.error:
        entry += answer.error
    elif answer.kept:
        entry += answer[1:6]
    return _ENTRY.encode(entry)


def decode(line: str) -> Answer:
    digest, *rest = json.loads(line, object_hook=_untagged)
    if not rest:
        return Answer(digest, kept=False)
    if len(rest) == 2:
        return Answer(digest, error=(rest[0], tuple(rest[1])))
    rowcount, lastrowid, *lists = rest
    description, rows, variables = (items and [tuple(item) for item in items] for items in lists)
    return Answer(digest, rowcount, lastrowid, description, rows, variables)


def read(chunks: bytes) -> list[Answer]:
    """All answers of a journal row, in order."""
    text = b""
    while chunks:
        stream = zlib.decompressobj()
        text += stream.decompress(chunks)
        chunks = stream.unused_data
    return [decode(line) for line in text.decode().splitlines()]


class Recorder:
    """Collects answers as compressed chunks, one a checkpoint; forgets the large ones past the limit of the setting."""

    def __init__(self, limit_bytes: int, committed: bytes = b"") -> None:
        self.committed = committed
        self._room = limit_bytes - len(committed)
        self._pending: list[str] = []
        self._noted = 0
        self._chunk = b""

    def add(self, answer: Answer) -> Answer:
        """Keep an answer until the next checkpoint, and return it."""
        try:
            line = encode(answer)
        except (TypeError, ValueError):
            line = encode(Answer(answer.digest, kept=False))
        if len(line) > _SMALL:
            self._room -= len(zlib.compress(line.encode(), 1))
            if self._room < 0:
                line = encode(Answer(answer.digest, kept=False))
        self._pending.append(line)
        return answer

    def forget_last(self) -> None:
        """Take back the last answer: its statement is sent again."""
        self._pending.pop()

    def chunk(self) -> bytes:
        """What was added since the last commit, for the checkpoint that is being written."""
        self._noted = len(self._pending)
        self._chunk = zlib.compress(("\n".join(self._pending) + "\n").encode()) if self._pending else b""
        return self._chunk

    def mark_committed(self) -> None:
        """The checkpoint that took the last chunk is committed; answers added since then stay for the next."""
        self.committed += self._chunk
        del self._pending[: self._noted]
        self._noted, self._chunk = 0, b""


_CARRIED: dict[type, tuple[str, Any, Any]] = {
    Decimal: ("decimal", str, Decimal),
    bytes: ("bytes", lambda value: b64encode(value).decode(), b64decode),
    datetime: ("datetime", datetime.isoformat, datetime.fromisoformat),
    date: ("date", date.isoformat, date.fromisoformat),
    time: ("time", time.isoformat, time.fromisoformat),
    timedelta: ("microseconds", lambda value: value // timedelta(microseconds=1), lambda n: timedelta(microseconds=n)),
}
_BACK = {name: back for name, _, back in _CARRIED.values()}


def _tagged(value: Any) -> Any:
    """Carry a value that JSON lacks as {type: text}; rows hold no dictionaries of their own."""
    if type(value) not in _CARRIED:
        raise TypeError(type(value).__name__)
    name, there, _ = _CARRIED[type(value)]
    return {name: there(value)}


def _untagged(tagged: dict[str, Any]) -> Any:
    ((name, text),) = tagged.items()
    return _BACK[name](text)


def _described(value: Any) -> Any:
    """For the digest only: any value in a form that is the same in every run, or differs and so leads to a refusal."""
    if type(value) in _CARRIED:
        return _tagged(value)
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return list(value) if isinstance(value, Iterable) else f"{type(value).__name__} {value}"


_SAID = json.JSONEncoder(default=_described)
_ENTRY = json.JSONEncoder(default=_tagged, separators=(",", ":"))
