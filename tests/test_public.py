"""What is public, and what importing it costs."""

import subprocess
import sys

import pytest

import ramet

PUBLIC = """
FIRE IPBT MFPBT PBT Array AtMost BinaryTournament Bound Choice Constant Controlled Cosine Curve
Drops Engine ExponentialAverage Failures Gap GaussianProcess Grid HandTuned Inline Integer
LogUniform Member Pareto Perturb PolynomialAverage Population Processes ProductAtMost RametError
RandomSearch Ray Replayed Resample Result Run Schedule Session Space State Storage Strategy
SumAtMost TTest Task Truncation Turn Uniform Vectorized When confirm interrupted join replay run
"""

HEAVY = """
torch lightning transformers stable_baselines3 jax ray psycopg matplotlib pandas polars starlette
sklearn rich typer scipy pytest asyncio
"""


def test_the_public_names_are_these() -> None:
    assert sorted(ramet.__all__) == sorted(PUBLIC.split())
    # Not among them, or a star import would hide the builtin.
    assert all(hasattr(ramet, name) for name in [*ramet.__all__, "open"])


def test_plots_and_reports_are_imported_when_they_are_first_used() -> None:
    code = (
        "import sys, ramet; print('ramet.plots' in sys.modules, 'ramet.report' in sys.modules); "
        "print(callable(ramet.plots.scores), callable(ramet.report.write))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert said.split() == ["False", "False", "True", "True"]


def test_a_name_that_ramet_has_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ramet' has no attribute 'plot'"):
        ramet.plot  # noqa: B018 - looking is what fails


def test_importing_ramet_loads_nothing_heavy() -> None:
    code = f"import sys, ramet; print(*[m for m in {HEAVY.split()!r} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert loaded.stdout.split() == []
