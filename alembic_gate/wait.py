"""Wait for a usable database: the first try is direct, only a failed one costs the import of tenacity."""

import time
from collections.abc import Callable

from alembic_gate import connect
from alembic_gate.classify import Kind, classify
from alembic_gate.exits import DatabaseRefuses, DatabaseUnavailable
from alembic_gate.report import log
from alembic_gate.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

# Short enough to go on within a second and a half of readiness, long enough that 5,000 pods are no storm.
LONGEST_PAUSE_SECONDS = 1.0


def until_usable(settings: Settings, attempt: "Callable[[float], T]") -> "T":
    """Call `attempt(seconds left)` until it raises no transient error any more, and return what it returns.

    Raises DatabaseRefuses at the first permanent error, DatabaseUnavailable when the time is up.
    """
    deadline = time.monotonic() + settings.wait_timeout_seconds

    def try_once() -> "T":
        try:
            return attempt(max(deadline - time.monotonic(), 0.1))
        except connect.Error as error:
            kind, said = classify(error)
            if kind is Kind.PERMANENT:
                raise DatabaseRefuses(f"{settings.database} refuses: {said}") from error
            raise

    try:
        return try_once()
    except connect.Error as error:
        log.info("waiting for %s: %s", settings.database, classify(error)[1])

    import tenacity

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_delay(settings.wait_timeout_seconds),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=LONGEST_PAUSE_SECONDS),
        retry=tenacity.retry_if_exception_type(connect.Error),
        reraise=True,
    )
    try:
        return retrying(try_once)
    except connect.Error as error:
        kind, said = classify(error)
        what = f"{settings.database} was not usable within {settings.wait_timeout_seconds:g} s: {said}"
        unknown = "This error is not known to pass by waiting" if kind is Kind.UNKNOWN else ""
        raise DatabaseUnavailable(what, meaning=unknown) from error
