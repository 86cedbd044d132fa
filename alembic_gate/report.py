"""Say what happens: the log on standard error, as text or JSON lines, and the termination message (I5, I6)."""

import logging
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

log = logging.getLogger("alembic_gate")

# Kubernetes keeps no more:
# https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
TERMINATION_MESSAGE_BYTES = 4096


def start(form: str, level: str) -> None:
    """Send our log, and whatever else is logged in this process, to standard error in one form."""
    for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        logging.addLevelName(number, logging.getLevelName(number).lower())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_json_formatter() if form == "json" else logging.Formatter("%(levelname)-7s %(message)s"))
    logging.getLogger().handlers[:] = [handler]
    log.setLevel(getattr(logging, level.upper()))


def keep_our_log() -> None:
    """Make `fileConfig` and `dictConfig` of a foreign env.py do nothing: the log has one form, and stays audible.

    https://docs.python.org/3/library/logging.config.html#logging.config.fileConfig
    """
    import logging.config

    def ignore(*_: "Any", **__: "Any") -> None:
        log.debug("env.py's own logging configuration is left aside")

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


def _json_formatter() -> logging.Formatter:
    from pythonjsonlogger.json import JsonFormatter

    return JsonFormatter(
        "{asctime}{levelname}{message}",
        style="{",
        rename_fields={"asctime": "time", "levelname": "level"},
        static_fields={"logger": "alembic-gate"},
        json_ensure_ascii=False,
    )
