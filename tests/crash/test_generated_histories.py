"""Whatever the history, wherever the kills: the next start finishes."""

import itertools
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.crash.generated import MadeUp, histories
from tests.crash.lab import Lab
from tests.crash.points import UPGRADE, Point, Route
from tests.crash.rig import run_undisturbed
from tests.crash.unencrypted import Unencrypted
from tests.crash.verdict import assert_all_converged
from tests.support.proxy import Moment, Strike

_numbers = itertools.count()

kills = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(Moment)), min_size=1, max_size=2)


@pytest.mark.timeout(900)
def test_made_up_history_survives_its_kills(
    lab: Lab, target: Unencrypted, every: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("made_up")

    @settings(
        max_examples=40 if every else 10,
        deadline=None,
        derandomize=bool(os.environ.get("CI")),
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(histories(), kills)
    def survives(made_up: MadeUp, kills: list[tuple[float, Moment]]) -> None:
        history = made_up.write(directory / f"h{next(_numbers)}")
        with lab.rig() as rig:
            reference = run_undisturbed(rig, Route(target, history, UPGRADE))
            count = len(reference.statements)
            strikes = tuple(Strike(1 + int(fraction * count), moment) for fraction, moment in kills)
            outcome = lab.try_one(Point(reference, strikes), "generated histories", rig)
        assert_all_converged([outcome])

    survives()
