"""Numbers as people read them."""

import math

import pytest

from ramet.wording import mean_and_spread


@pytest.mark.parametrize(
    ("mean", "spread", "written"),
    [
        (0.279343, 0.0095, "0.2793 ± 0.0095"),
        (-0.5, 0.123, "-0.50 ± 0.12"),
        (383.0712, 1.31, "383.1 ± 1.3"),
        (12_345.6, 987.0, "12346 ± 987"),
        (0.5, 0.0996, "0.50 ± 0.10"),
        (0.91, 0.00999999999999999, "0.910 ± 0.010"),
        (12.3, 9.96, "12 ± 10"),
        (-0.0001, 0.5, "0.00 ± 0.50"),
        (1e17, 0.01, "1e+17 ± 0.01"),
        (-1e300, 0.5, "-1e+300 ± 0.5"),
        (5.0, 0.0, "5 ± 0"),
        (2.5, math.nan, "2.5"),
        (math.nan, math.nan, "nan"),
        (1.0, math.inf, "1 ± inf"),
        (math.inf, 1.0, "inf ± 1"),
        (1e300, 2.34e299, "1e+300 ± 2.3e+299"),
        (3e-12, 2.34e-13, "3e-12 ± 2.3e-13"),
        (1e-3, 5e-324, "0.001 ± 4.9e-324"),
    ],
)
def test_a_mean_has_the_decimals_of_its_spread(mean: float, spread: float, written: str) -> None:
    assert mean_and_spread(mean, spread) == written
