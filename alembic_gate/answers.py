"""Keep what the server answered, so that a resumed revision hears the same again: typed JSON, compressed, bounded.

One entry a statement: [digest, rowcount, lastrowid, description, rows], or [digest, error class, error arguments], or
[digest] where the answer was too large to keep. The digest is of all statements so far, texts and parameters.
"""

import hashlib
import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any


class Answer:
    """What came back for one statement."""

    __slots__ = ("description", "digest", "error", "kept", "lastrowid", "rowcount", "rows", "variables")

    def __init__(
        self,
        digest: str,
        rowcount: int = -1,
        lastrowid: int | None = None,
        description: list[tuple[Any, ...]] | None = None,
        rows: list[tuple[Any, ...]] | None = None,
        error: tuple[str, tuple[Any, ...]] | None = None,
        variables: list[tuple[str, Any]] | None = None,
        kept: bool = True,
    ) -> None:
        self.digest = digest
        self.rowcount = rowcount
        self.lastrowid = lastrowid
        self.description = description
        self.rows = rows
        self.error = error
        self.variables = variables
        self.kept = kept


class RunningDigest:
    """A hash over the statements of a revision so far."""

    LENGTH = 16

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, statement: str, parameters: Any) -> str:
        """Add a statement, and return the digest up to and with it."""
        self._hash.update(statement.encode("utf-8", "surrogatepass"))
        self._hash.update(b"\x00" + _dump(parameters, _describe).encode("utf-8", "surrogatepass") + b"\x00")
        return self._hash.hexdigest()[: self.LENGTH]


def encode(answer: Answer) -> str:
    """One line for an answer; raises TypeError or ValueError for a value that JSON cannot carry to and fro."""
    if not answer.kept:
        return _dump([answer.digest], _tag)
    if answer.error:
        return _dump([answer.digest, *answer.error], _tag)
    return _dump(
        [answer.digest, answer.rowcount, answer.lastrowid, answer.description, answer.rows, answer.variables], _tag
    )


def decode(line: str) -> Answer:
    digest, *rest = json.loads(line, object_hook=_untag)
    if not rest:
        return Answer(digest, kept=False)
    if len(rest) == 2:
        return Answer(digest, error=(rest[0], tuple(rest[1])))
    rowcount, lastrowid, description, rows, variables = rest
    columns = None if description is None else [tuple(column) for column in description]
    found = None if rows is None else [tuple(row) for row in rows]
    return Answer(digest, rowcount, lastrowid, columns, found, variables=variables)


class Recorder:
    """Collects answers as compressed chunks, one a checkpoint; forgets the large ones past the limit of the setting."""

    def __init__(self, limit_bytes: int, kept: bytes = b"") -> None:
        self._limit = limit_bytes
        self.committed = kept
        self._pending: list[str] = []
        self._noted = 0
        self._chunk = b""
        self._size = len(kept)

    def add(self, answer: Answer) -> None:
        """Keep an answer until the next checkpoint."""
        try:
            line = encode(answer)
        except (TypeError, ValueError):
            line = encode(Answer(answer.digest, kept=False))
        # Judged before compression where it is cheap: text never compresses a hundredfold in practice.
        if len(line) > 256 and self._size + len(zlib.compress(line.encode(), 1)) > self._limit:
            line = encode(Answer(answer.digest, kept=False))
        elif len(line) > 256:
            self._size += len(line) // 4
        self._pending.append(line)

    def forget_last(self) -> None:
        """Take back the last answer: its statement is sent again."""
        self._pending.pop()

    def chunk(self) -> bytes:
        """What was added since the last commit, for the checkpoint that is being written."""
        self._noted = len(self._pending)
        if not self._pending:
            return b""
        self._chunk = zlib.compress(("\n".join(self._pending) + "\n").encode(), 6)
        return self._chunk

    def mark_committed(self) -> None:
        """The checkpoint that took the last chunk is committed; answers added since then stay for the next."""
        if self._noted:
            self.committed += self._chunk
            del self._pending[: self._noted]
            self._noted = 0


def read(chunks: bytes) -> list[Answer]:
    """All answers of a journal row, in order."""
    text = b""
    while chunks:
        stream = zlib.decompressobj()
        text += stream.decompress(chunks)
        chunks = stream.unused_data
    return [decode(line) for line in text.decode().splitlines()]


def _dump(value: Any, default: Any) -> str:
    return json.dumps(value, default=default, separators=(",", ":"))


_TO_TEXT: dict[type, tuple[str, Any]] = {
    Decimal: ("decimal", str),
    bytes: ("bytes", lambda value: b64encode(value).decode()),
    bytearray: ("bytes", lambda value: b64encode(value).decode()),
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    timedelta: ("microseconds", lambda value: value // timedelta(microseconds=1)),
}
_FROM_TEXT: dict[str, Any] = {
    "decimal": Decimal,
    "bytes": b64decode,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "microseconds": lambda value: timedelta(microseconds=value),
}


def _tag(value: Any) -> Any:
    """Carry a value that JSON lacks as {type: text}; rows hold no dictionaries of their own."""
    if type(value) not in _TO_TEXT:
        raise TypeError(type(value).__name__)
    name, convert = _TO_TEXT[type(value)]
    return {name: convert(value)}


def _untag(tagged: dict[str, Any]) -> Any:
    if len(tagged) == 1:
        ((name, text),) = tagged.items()
        if name in _FROM_TEXT:
            return _FROM_TEXT[name](text)
    return tagged


def _describe(value: Any) -> Any:
    """For the digest only: any value in a form that is the same in every run, or differs and so leads to a refusal."""
    if type(value) in _TO_TEXT:
        return _tag(value)
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, Iterable):
        return list(value)
    return f"{type(value).__name__} {value}"
