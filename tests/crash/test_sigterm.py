"""SIGTERM at any statement: the job tidies up and says 143, or is done already; the next start finishes."""

from signal import SIGTERM

import pytest

from tests.crash.history import DETERMINISTIC, History
from tests.crash.lab import Lab
from tests.crash.points import DOWNGRADE, UPGRADE, Route, spread_out
from tests.crash.unencrypted import Unencrypted
from tests.crash.verdict import assert_all_converged


@pytest.mark.timeout(600)
@pytest.mark.parametrize("argv", [UPGRADE, DOWNGRADE], ids=" ".join)
@pytest.mark.parametrize("history", DETERMINISTIC, ids=lambda history: history.name)
def test_terminated_job_leaves_what_the_next_start_finishes(
    lab: Lab, target: Unencrypted, every: bool, history: History, argv: tuple[str, ...]
) -> None:
    reference = lab.reference(Route(target, history, argv))
    assert_all_converged(lab.try_all(spread_out(reference, 8 if every else 1, SIGTERM), "SIGTERM"))
