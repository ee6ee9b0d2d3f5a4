"""Lost messages are counted exactly; restarts and repetitions are none."""

import numpy as np
import pytest

from rlrobo_core.gaps import GapCounter


@pytest.mark.parametrize("seed", range(5))
def test_counts_exactly_what_was_dropped_between_the_first_and_the_last(seed):
    kept = np.flatnonzero(np.random.default_rng(seed).random(100) < 0.7)
    counter = GapCounter()
    missing = [counter.see(session=1, sequence=int(n)) for n in kept]
    assert counter.lost == sum(missing) == kept[-1] - kept[0] + 1 - len(kept)


def test_a_new_session_is_a_restart_and_sessions_do_not_mix():
    counter = GapCounter()
    for session, sequence in [(1, 0), (1, 1), (2, 0), (1, 2), (2, 1)]:
        assert counter.see(session, sequence) == 0
    assert counter.see(2, 4) == 2


def test_a_repetition_is_no_gap_and_hides_none():
    counter = GapCounter()
    assert [counter.see(1, n) for n in (0, 1, 1, 0, 3)] == [0, 0, 0, 0, 1]
