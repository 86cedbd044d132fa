"""Wait for a usable database: the first try is direct, only a failed one costs the import of tenacity."""

import time
from collections.abc import Callable
from typing import TypeVar

from alembic_gate import connect
from alembic_gate.classify import Kind, classify
from alembic_gate.exits import DatabaseRefuses, DatabaseUnavailable
from alembic_gate.report import log
from alembic_gate.settings import Settings

T = TypeVar("T")

# Short enough to go on within a second and a half of readiness, long enough that 5,000 pods are no storm.
LONGEST_PAUSE_SECONDS = 1.0


def until_usable(settings: Settings, attempt: Callable[[float], T]) -> T:
    """Call `attempt(seconds left)` until it raises no transient error any more, and return what it returns.

    Raises DatabaseRefuses at the first permanent error, DatabaseUnavailable when the time is up.
    """
    deadline = time.monotonic() + settings.wait_timeout_seconds

    def left() -> float:
        return max(deadline - time.monotonic(), 0.1)

    try:
        return attempt(left())
    except connect.Error as error:
        assert_not_permanent(settings, error)
        first = error
    log.info("waiting for %s: %s", settings.database, classify(first)[1])

    import tenacity

    def note(state: tenacity.RetryCallState) -> None:
        assert state.outcome is not None
        error = state.outcome.exception()
        assert error is not None
        log.debug("not usable yet, try %d: %s", state.attempt_number, classify(error)[1])

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_delay(settings.wait_timeout_seconds),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=LONGEST_PAUSE_SECONDS),
        retry=tenacity.retry_if_exception(lambda error: _is_worth_another_try(settings, error)),
        before_sleep=note,
        reraise=True,
    )
    try:
        return retrying(attempt, left())
    except connect.Error as error:
        kind, meaning = classify(error)
        raise DatabaseUnavailable(
            f"{settings.database} was not usable within {settings.wait_timeout_seconds:g} s: {meaning}",
            meaning="This error is not known to pass by waiting" if kind is Kind.UNKNOWN else "",
        ) from error


def assert_not_permanent(settings: Settings, error: connect.Error) -> None:
    """Raise DatabaseRefuses where waiting cannot help."""
    kind, meaning = classify(error)
    if kind is Kind.PERMANENT:
        raise DatabaseRefuses(f"{settings.database} refuses: {meaning}") from error


def _is_worth_another_try(settings: Settings, error: BaseException) -> bool:
    if not isinstance(error, connect.Error):
        return False
    assert_not_permanent(settings, error)
    return True
