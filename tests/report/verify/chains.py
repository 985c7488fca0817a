"""Losses made by the kernel's steps, many runs at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linkem_py import FourState, GilbertElliott, Impairment
from linkem_py.report import expect


def lost_packets(model: GilbertElliott | FourState, runs: int, count: int, *, seed: int) -> NDArray[np.bool_]:
    """Which of `count` packets of each run are lost: loss by the state, then a step, as in loss_gilb_ell."""
    chain = expect.Chain.of(Impairment(loss=model))
    assert chain is not None
    random = np.random.default_rng(seed)
    sums = np.cumsum(chain.steps, axis=1)
    # From the stationary distribution, so that short runs have the mean.
    state = np.searchsorted(np.cumsum(chain.stationary), random.random(runs)).clip(0, len(sums) - 1)
    lost = np.zeros((runs, count), bool)
    for index in range(count):
        lost[:, index] = random.random(runs) < chain.lost[state]
        state = (random.random(runs)[:, None] >= sums[state]).sum(axis=1).clip(0, len(sums) - 1)
    return lost
