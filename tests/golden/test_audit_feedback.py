"""The policing urn of Ensign and others (2018): what a runaway loop gives, and its correction."""

import numpy as np
import pytest

from audit.feedback.simulators import policing_urn

RUNS = 300


@pytest.mark.parametrize(("corrected", "published", "spread"), [(False, 0.867, 0.121), (True, 0.601, 0.012)])
def test_the_urn_gives_the_published_shares(corrected, published, spread):
    rng = np.random.default_rng(2018)
    shares = policing_urn([0.6, 0.4], draws=2000, runs=RUNS, rng=rng, corrected=corrected)[:, 0]
    error = spread / np.sqrt(RUNS)
    # Both are means of 300 runs, so their difference has the error of two.
    assert shares.mean() == pytest.approx(published, abs=3 * np.sqrt(2) * error)
    assert shares.std() == pytest.approx(spread, rel=0.2)
