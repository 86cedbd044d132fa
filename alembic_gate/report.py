"""Say what happens: the log on standard error, as text or JSON lines, and the termination message (I5, I6).

Written without `logging`, which a start with nothing to do has no time for. What others log takes the same form.
"""

import os
import sys
from contextlib import suppress
from functools import partialmethod

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LEVELS = ("debug", "info", "warning", "error")

# Kubernetes keeps no more:
# https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
TERMINATION_MESSAGE_BYTES = 4096


class Log:
    """Our log, with the methods of a `logging.Logger`."""

    form, level = "text", "info"

    def say(self, level: str, message: str, *arguments: object, **more: "Any") -> None:
        """Write one line."""
        self.write(self.line(level, message, *arguments, **more))

    debug, info = partialmethod(say, "debug"), partialmethod(say, "info")
    warning, error = partialmethod(say, "warning"), partialmethod(say, "error")

    def write(self, lines: str) -> None:
        with suppress(OSError, AttributeError):  # that nobody listens, or no more, is no reason to stop
            sys.stderr.write(lines)

    def line(self, level: str, message: str, *arguments: object, extra: "Any" = None, error: "Any" = None) -> str:
        """One line with its line feed, and the error's traceback: in JSON within it, in text below it.

        Empty below the level of the setting.
        """
        if LEVELS.index(level) < LEVELS.index(self.level):
            return ""
        words, traceback = message % arguments if arguments else message, _traceback(error) if error else ""
        if self.form == "json":
            line = _json(level, words, (extra or {}) | ({"exc_info": traceback} if traceback else {}))
        else:
            line = f"{level:7} {words}" + (f"\n{traceback}" if traceback else "")
        return f"{line}\n"


log = Log()


def start(form: str, level: str) -> None:
    """Send our log to standard error in one form, from one level on."""
    log.form, log.level = form, level


def keep_our_log() -> None:
    """Give what others log from warnings on our form, and make `fileConfig` and `dictConfig` of an env.py do nothing.

    https://docs.python.org/3/library/logging.config.html#logging.config.fileConfig
    """
    import logging.config

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            level = min(max(record.levelno // 10, 1), len(LEVELS)) - 1
            try:
                words = record.getMessage()
            except Exception as error:  # noqa: BLE001 - arguments that do not fit: `logging` goes on too
                words = f"{record.msg} ({error})"
            log.say(LEVELS[level], words, error=record.exc_info[1] if record.exc_info else None)

    def ignore(*_: object, **__: object) -> None:
        log.debug("env.py's own logging configuration is left aside")

    logging.getLogger().handlers[:] = [Handler()]
    logging.config.fileConfig = ignore
    logging.config.dictConfig = ignore


def leave_termination_message(path: str, message: str) -> None:
    """Write the last error where Kubernetes reads it; only where that file exists, so that nothing is littered."""
    if not path or not os.path.exists(path):
        return
    try:
        with open(path, "wb") as file:
            file.write(message.encode()[:TERMINATION_MESSAGE_BYTES].decode(errors="ignore").encode())
    except OSError as error:
        log.warning("the termination message could not be written to '%s': %s", path, error.strerror)


def _json(level: str, message: str, facts: "dict[str, Any]") -> str:
    import json
    import time

    now = time.time()
    stamp = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(now))},{int(now % 1 * 1000):03}"
    entry = {"time": stamp, "level": level, "message": message, "logger": "alembic-gate"}
    return json.dumps(entry | facts, ensure_ascii=False, default=str)


def _traceback(error: BaseException) -> str:
    from traceback import format_exception

    return "".join(format_exception(error)).rstrip()
