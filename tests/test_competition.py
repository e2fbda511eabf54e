"""Ranking: who is first and who is k-th in every lane, against a sort; what it refuses."""

import numpy as np
import pytest
from brian2 import Network
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosim import ParameterError, Population, Projection, Ranking
from neurosim.competition import rank
from neurosim.neurons import NeuronType

UNIT = NeuronType("I : 1\ng : 1\nshown : integer")


def by_sorting(drive, k, delta):
    """The same by a stable sort: of equals the first comes first."""
    g = np.zeros_like(drive)
    order = np.argsort(-drive, axis=-1, kind="stable")
    np.put_along_axis(g, order[..., :1], 1, axis=-1)
    np.put_along_axis(g, order[..., k - 1 : k], -delta, axis=-1)
    return g


@pytest.mark.parametrize(("k", "n"), [(2, 2), (2, 30), (5, 30), (30, 30)])
def test_first_and_kth_of_every_lane_are_those_of_a_sort(k, n, clock):
    """Three replicas, four lanes; some drives are equal; what g held before is forgotten."""
    h = Population(n, UNIT, order=1, replicas=3, lanes=4, clock=clock)
    h.view("I")[...] = np.random.default_rng(k).integers(-n, n, h.shape)
    h.view("g")[...] = 7
    Network(h, Ranking(h, "I", "g", k, 0.3)).run(clock.dt)
    assert np.array_equal(h.view("g"), by_sorting(h.view("I"), k, np.float32(0.3)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-5, 5, width=32), min_size=3, max_size=12), st.integers(2, 3))
def test_any_row_is_ranked_as_a_sort_does(row, k):
    drive = np.array([row], np.float32)
    g = np.empty_like(drive)
    rank(drive, k, np.float32(0.5), g)
    assert np.array_equal(g, by_sorting(drive, k, 0.5))


def test_it_ranks_what_has_arrived_in_this_step_and_rules_see_its_outcome(clock, given, play):
    """Drives that a lower order delivers in a step are ranked in the same step, and learned from at its end."""
    x, h = given(2, clock=clock, name="x"), Population(2, UNIT, order=1, clock=clock, name="h")
    w = np.array([[1.0, 2.0], [4.0, 3.0]])
    p = Projection(x, h, "I_post = w * m_pre", "w += 10 * g_post * m_pre", weights=w)
    play([x, h, p, Ranking(h, "I", "g", 2, 0.5)], [(x, "m", np.array([[1.0, 0.0], [0.0, 1.0]])[:, None, None])])
    assert np.array_equal(p.w[0], w + [[-5, 10], [10, -5]])


@pytest.mark.parametrize(
    ("told", "k", "delta", "drive", "g"),
    [
        (
            "k: a whole number from 2, the second in rank, to 3, the number of neurons, is needed, got 4",
            4,
            0.4,
            "I",
            "g",
        ),
        ("got 1", 1, 0.4, "I", "g"),
        ("got 2.0", 2.0, 0.4, "I", "g"),
        ("got True", True, 0.4, "I", "g"),
        ("delta: a finite number of at least 0 is needed, got -0.1", 2, -0.1, "I", "g"),
        ("got nan", 2, np.nan, "I", "g"),
        ("got '1'", 2, "1", "I", "g"),
        ("'J' is not a state variable of h; it has I, g, shown", 2, 0.4, "J", "g"),
        ("'shown' is no real number", 2, 0.4, "I", "shown"),
        ("two variables, got 'I' for both", 2, 0.4, "I", "I"),
    ],
)
def test_ranking_refuses(told, k, delta, drive, g, clock):
    h = Population(3, UNIT, order=1, clock=clock, name="h")
    with pytest.raises(ParameterError, match=told):
        Ranking(h, drive, g, k, delta)


def test_ranking_needs_a_population():
    with pytest.raises(ParameterError, match="a Population is needed, got int"):
        Ranking(3, "I", "g", 2, 0.4)
