"""What a report says of a run with several objectives."""

import ramet
from ramet import report, wording
from tests.plots.runs import descended
from tests.plots.test_front import traded
from tests.report.reading import Read


def test_the_front_has_a_picture_and_a_table() -> None:
    result = traded()
    page = report.page(result)
    text = Read(page).text
    assert "How all turns ended, and those that no other dominates." in text
    for each in result.front():
        assert wording.number(each.metrics["cost"]) in text
    assert "result.front()[0].load()" in text


def test_a_run_by_its_score_has_no_such_section() -> None:
    assert "The front" not in Read(report.page(descended())).text


def test_a_run_beyond_all_bounds_says_which_turn_was_nearest() -> None:
    beyond = traded(ramet.Pareto({"cost": "min"}, at_most={"cost": -1.0}), steps=8)
    text = Read(report.page(beyond)).text
    assert "cost at most -1" in text
    assert "the nearest was turn" in text
    assert "none of them with finite values within the bounds of the run" in text


def test_a_run_that_has_not_begun_has_no_front_yet() -> None:
    strategy = ramet.PBT(population=8, turn_steps=4, exploit=ramet.Pareto({"cost": "min"}))
    space = ramet.Space(aim=ramet.Uniform(-0.5, 1.5))
    run = ramet.open(space=space, strategy=strategy, steps=8, mode="max", seed=0)
    assert "No turn has ended yet." in Read(report.page(run.result())).text
