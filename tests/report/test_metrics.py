"""What a report says of metrics."""

import re

import pytest

import ramet
from ramet import report
from tests.plots.runs import descended, measured
from tests.report.reading import Read

# Where plots have labels of turns, in the order of the page.
TOLD = re.compile(r'{"x":\[.*?"tall":[^}]*}')


@pytest.fixture(scope="module")
def page() -> str:
    return report.page(measured())


def test_each_metric_has_a_plot(page: str) -> None:
    text = Read(page).text
    for name in ("loss", "fraction", "spiky", "gaps", "huge", "nothing", "same", "val/x"):
        assert f"{name} of all members over steps." in text
    assert "2 values are beyond the axis" in text
    assert "NaN" not in "".join(TOLD.findall(page))


def test_a_run_without_metrics_has_no_such_section() -> None:
    assert "Metrics" not in Read(report.page(descended())).text


def test_of_many_metrics_some_are_named_only() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            list(turn)
            turn.report(turn.hparams["lr"], **{f"m{n:02}": n for n in range(15)})

    space = ramet.Space(lr=ramet.LogUniform(1e-3, 0.5))
    result = ramet.run(
        train, space, ramet.PBT(population=5, turn_steps=1), steps=2, mode="max", seed=0
    )
    text = Read(report.page(result)).text
    assert "m11 of all members over steps." in text
    assert "Not drawn, to save space: m12, m13, m14." in text
