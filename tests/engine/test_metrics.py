"""What a loop logs beside its score."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramet
from ramet.engine.run.metrics import MOST_NAMES, MOST_POINTS, Metrics
from ramet.errors import MetricError, StateError, TurnMisused
from ramet.events import TurnEnded, canonical, decode, encode
from tests.engine.loops import SPACE, Descent, pbt

Points = list[tuple[int, float]]


def points(metrics: Any) -> dict[str, Points]:
    """Return what series hold, by name."""
    return {
        name: list(zip(steps.tolist(), values.tolist(), strict=True))
        for series in metrics
        for name, steps, values in series.curves()
    }


def logged(result: ramet.Result) -> dict[tuple[int, int], dict[str, Points]]:
    """Return what each turn keeps."""
    return {
        (event.member, event.turn): points(event.metrics)
        for event in result.events
        if isinstance(event, TurnEnded)
    }


def trained(log: Callable[[ramet.Turn, int], object], **settings: Any) -> ramet.Result:
    """Train a loop that logs something at each step."""

    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": np.zeros(1)}):
            for step in turn:
                log(turn, step)
            turn.report(turn.hparams["lr"] + turn.hparams["decay"])

    strategy = ramet.RandomSearch(population=6, turn_steps=4)
    settings = {"steps": 4, "mode": "max", "seed": 0, "strategy": strategy, **settings}
    return ramet.run(train, SPACE, settings.pop("strategy"), **settings)


def test_numbers_are_kept_with_their_turn_at_their_steps() -> None:
    def log(turn: ramet.Turn, step: int) -> None:
        turn.log(loss=1 / turn.step)
        if step % 2:
            turn.log(kl=-step)

    kept = logged(trained(log, steps=8, strategy=pbt(synchronous=True)))
    assert len(kept) == 2 * 6
    assert kept[3, 0] == {
        "loss": [(step, 1 / step) for step in (1, 2, 3, 4)],
        "kl": [(2, -1.0), (4, -3.0)],
    }
    assert [step for step, _ in kept[3, 1]["loss"]] == [5, 6, 7, 8]


def test_a_score_may_bring_others_along() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": np.zeros(1)}):
            for step in turn:
                if turn.evaluation_due:
                    turn.report(-float(step), accuracy=0.1 * step, loss=2 * step)

    result = ramet.run(train, SPACE, pbt(evaluate_every=2), steps=8, seed=0, mode="min")
    assert logged(result)[0, 0] == {"accuracy": [(2, 0.1), (4, 0.1 * 3)], "loss": [(2, 2), (4, 6)]}
    assert result.best.score == -7


def test_metrics_are_as_they_were_logged_whatever_the_mode() -> None:
    def log(turn: ramet.Turn, step: int) -> None:
        turn.log(loss=step)

    assert logged(trained(log, mode="min")) == logged(trained(log, mode="max"))


def test_a_later_number_at_one_step_wins() -> None:
    def log(turn: ramet.Turn, step: int) -> None:
        turn.log(loss=7.0)
        turn.log(loss=float(step), rate=0.5)

    kept = logged(trained(log))[0, 0]
    assert kept["loss"] == [(1, 0.0), (2, 1.0), (3, 2.0), (4, 3.0)]


def test_names_that_python_cannot_spell_come_in_a_dict() -> None:
    kept = logged(trained(lambda turn, step: turn.log({"val/loss": step}, norm=1)))[0, 0]
    assert set(kept) == {"val/loss", "norm"}


def test_what_is_not_finite_stays_what_it_was() -> None:
    values = [math.nan, math.inf, -math.inf, -math.nan]
    result = trained(lambda turn, step: turn.log(loss=values[step]))
    read = [decode(encode(event)) for event in result.events]
    assert read == result.events
    (series,) = next(event for event in read if isinstance(event, TurnEnded)).metrics
    kept = [value for _, value in points([series])["loss"]]
    assert math.isnan(kept[0])
    assert math.isnan(kept[3])
    assert kept[1:3] == [math.inf, -math.inf]


@pytest.mark.parametrize(
    "value", [1, True, np.float32(1), np.int64(1), np.array(1.0), np.array([1.0]), np.array([[1]])]
)
def test_whatever_is_one_number_can_be_logged(value: object) -> None:
    assert logged(trained(lambda turn, step: turn.log(loss=value)))[0, 0]["loss"][0] == (1, 1.0)


@pytest.mark.parametrize(
    "value", ["0.9", b"1", None, 1j, [0.5], {}, np.zeros(2), object(), 10**400, np.zeros(0)]
)
def test_what_is_not_one_number_is_refused_at_once_and_by_name(value: object) -> None:
    with pytest.raises(MetricError, match="must be one number, but 'loss' is"):
        trained(lambda turn, step: turn.log(loss=value))


@pytest.mark.parametrize("name", ["", "1st", "a b", "a\nb", "x" * 101, 3, "<i>", "score"])
def test_names_that_others_could_not_show_are_refused(name: Any) -> None:
    with pytest.raises(MetricError, match="a metric"):
        trained(lambda turn, step: turn.log({name: 1.0}))


def test_numbers_without_a_name_are_refused() -> None:
    with pytest.raises(MetricError, match=r"must have names, but got 0\.0; write turn\.log"):
        trained(lambda turn, step: turn.log(0.0))


def test_an_array_that_is_written_on_later_leaves_what_was_logged() -> None:
    total = np.zeros(())

    def log(turn: ramet.Turn, step: int) -> None:
        total[...] = step
        turn.log(total=total)

    kept = logged(trained(log, strategy=ramet.RandomSearch(population=1, turn_steps=4)))[0, 0]
    assert kept["total"] == [(1, 0.0), (2, 1.0), (3, 2.0), (4, 3.0)]


def test_more_metrics_than_can_be_kept_are_refused() -> None:
    def log(turn: ramet.Turn, step: int) -> None:
        turn.log({f"layer{n}": n for n in range(MOST_NAMES + 1)})

    with pytest.raises(MetricError, match=r"no more than 64 metrics, but 'layer64' is one more"):
        trained(log)


def test_more_points_than_can_be_kept_are_thinned_out_evenly() -> None:
    strategy = ramet.RandomSearch(population=1, turn_steps=1_000)
    result = trained(lambda turn, step: turn.log(loss=step), steps=1_000, strategy=strategy)
    kept = logged(result)[0, 0]["loss"]
    assert kept == [*((step, step - 1) for step in range(1, 1_000, 8)), (1_000, 999)]


@given(st.integers(1, 2_000))
def test_the_first_and_the_last_point_are_kept_and_the_others_are_at_equal_distances(
    count: int,
) -> None:
    metrics = Metrics()
    for step in range(1, count + 1):
        metrics.log(step, {"loss": float(step)})
    (kept,) = points(metrics.pack()).values()
    steps = [step for step, _ in kept]
    assert (steps[0], steps[-1]) == (1, count)
    assert min(count, MOST_POINTS // 2) <= len(steps) <= MOST_POINTS
    assert len(set(np.diff(steps[:-1]))) <= 1
    assert kept == [(step, float(step)) for step in steps]


def test_a_turn_logs_no_more_than_its_bound() -> None:
    def log(turn: ramet.Turn, step: int) -> None:
        turn.log({f"layer{n}": step + n for n in range(MOST_NAMES)})

    strategy = ramet.RandomSearch(population=1, turn_steps=500)
    result = trained(log, steps=500, strategy=strategy)
    assert all(len(encode(event)) < 95_000 for event in result.events)


def test_the_same_seed_logs_the_same_bytes() -> None:
    def log(turn: ramet.Turn, step: int) -> None:
        turn.log(noise=turn.rng.normal(), gap=math.nan)

    strategy = pbt(turn_steps=300)
    once, again = (trained(log, steps=900, strategy=strategy) for _ in range(2))
    assert [encode(event) for event in once.events] == [encode(event) for event in again.events]


def test_an_attempt_that_fails_leaves_nothing() -> None:
    failed = []

    def log(turn: ramet.Turn, step: int) -> None:
        if turn.member == 2 and turn.number == 1 and not failed:
            turn.log(only_then=1.0)
            failed.append(True)
            raise ValueError("once")
        turn.log(loss=step)

    result = trained(log, steps=12)
    assert result.population.failures == 1
    assert {name for turn in logged(result).values() for name in turn} == {"loss"}


def test_a_run_that_goes_on_logs_what_one_that_never_stopped_does(tmp_path: Path) -> None:
    interrupted = []

    def log(turn: ramet.Turn, step: int) -> None:
        turn.log(noise=turn.rng.normal())
        if step == 500 and turn.member == 3 and not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt

    settings: dict[str, Any] = {
        "strategy": pbt(turn_steps=200, synchronous=True),
        "steps": 800,
        "mode": "max",
        "name": "on",
        "store": tmp_path / "runs.db",
    }
    with pytest.raises(KeyboardInterrupt):
        trained(log, **settings)
    result = trained(log, **settings)
    whole = trained(log, **{**settings, "store": tmp_path / "whole.db"})
    assert canonical(result.events) == canonical(whole.events)
    assert all(len(it["noise"]) > MOST_POINTS / 2 for it in logged(result).values())


@pytest.mark.slow
def test_worker_processes_log_what_one_process_does(tmp_path: Path) -> None:
    def log(turn: ramet.Turn, step: int) -> None:
        turn.log(noise=turn.rng.normal(), gap=math.nan)

    settings: dict[str, Any] = {
        "strategy": pbt(synchronous=True),
        "steps": 12,
        "mode": "max",
        "name": "logged",
    }
    alone = trained(log, **settings)
    together = trained(log, **settings, store=tmp_path / "runs.db", workers=2)
    assert canonical(together.events) == canonical(alone.events)
    assert len(together.rows("metrics")) == 2 * 6 * 12


def test_events_that_were_written_before_there_were_metrics_are_read() -> None:
    event = decode(
        b'{"event":"TurnEnded","v":1,"member":0,"turn":0,"trained":4,"step":4,'
        b'"points":[[4,0.5]],"digest":"00"}'
    )
    assert isinstance(event, TurnEnded)
    assert event.metrics == ()


def test_what_is_logged_behind_the_last_step_is_of_that_step() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": np.zeros(1)}):
            for step in turn:
                turn.log(loss=step)
            turn.log(loss=7.0, after=2.0)
            turn.report(0.0)

    kept = logged(ramet.run(train, SPACE, pbt(), steps=8, mode="max", seed=0))[0, 0]
    assert kept == {"loss": [(1, 0), (2, 1), (3, 2), (4, 7)], "after": [(4, 2.0)]}


def test_what_is_logged_before_the_first_step_is_refused() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": np.zeros(1)}):
            turn.log(before=1.0)
            for _ in turn:
                pass
            turn.report(0.0)

    with pytest.raises(TurnMisused, match=r"turn 0 of member 0 had \['before'\] before it began"):
        ramet.run(train, SPACE, pbt(), steps=8, mode="max", seed=0)


def test_what_is_logged_once_its_turn_is_over_is_refused() -> None:
    def train(session: ramet.Session) -> None:
        last = None
        for turn in session.turns({"w": np.zeros(1)}):
            list(turn)
            if last is not None:
                last.log(late=1.0)
            last = turn
            turn.report(0.0)

    with pytest.raises(TurnMisused, match="turn 0 of member 0 is over; do it within the loop"):
        ramet.run(train, SPACE, pbt(population=1, exploit=None), steps=8, mode="max", seed=0)


# Ask and tell


@pytest.fixture
def turn() -> Iterator[tuple[ramet.Run, ramet.Turn]]:
    run = ramet.open(space=SPACE, strategy=pbt(), steps=8, mode="max", seed=0)
    turn = run.ask()
    assert turn is not None
    assert turn.steps == 4
    yield run, turn
    run.release_all()


def test_metrics_are_passed_to_tell_as_scores_are(turn: tuple[ramet.Run, ramet.Turn]) -> None:
    run, asked = turn
    metrics = {"loss": 0.5, "kl": [(2, 0.1), (1, 0.2)], "norm": {3: 1.0}}
    asked.log(mean=4.0)
    run.tell(asked, 0.9, state=Descent().init(asked.init_rng), metrics=metrics)
    assert logged(run.result())[0, 0] == {
        "mean": [(4, 4.0)],
        "loss": [(4, 0.5)],
        "kl": [(1, 0.2), (2, 0.1)],
        "norm": [(3, 1.0)],
    }


def test_a_turn_that_could_not_be_committed_is_told_again_with_its_metrics(
    turn: tuple[ramet.Run, ramet.Turn],
) -> None:
    run, asked = turn
    asked.log(mean=4.0)
    metrics = {"loss": [(2, 0.1), (4, 0.2)]}
    with pytest.raises(StateError, match="a state"):
        run.tell(asked, 0.9, state={"w": object()}, metrics=metrics)
    run.tell(asked, 0.9, state={"w": np.zeros(3)}, metrics=metrics)
    assert logged(run.result())[0, 0] == {"mean": [(4, 4.0)], "loss": metrics["loss"]}


@pytest.mark.parametrize(
    "late",
    [lambda turn: turn.report(1.0), lambda turn: turn.stop_run(), lambda turn: turn.log(a=1)],
)
def test_what_comes_after_the_end_of_a_turn_is_refused(
    turn: tuple[ramet.Run, ramet.Turn], late: Callable[[ramet.Turn], object]
) -> None:
    run, asked = turn
    run.tell(asked, 0.9, state={"w": np.zeros(3)})
    with pytest.raises(TurnMisused, match="turn 0 of member 0 is over"):
        late(asked)


def test_a_loop_that_does_not_count_its_steps_cannot_log_at_each(
    turn: tuple[ramet.Run, ramet.Turn],
) -> None:
    _, asked = turn
    asked.log(loss=1.0, kl=0.5)
    with pytest.raises(MetricError, match="but 'loss' was logged twice with none counted; write"):
        asked.log(loss=0.9)


@pytest.mark.parametrize(
    ("metrics", "match"),
    [
        (
            {"loss": [(5, 0.1)]},
            "'loss' must be at the turn's own steps, 1 to 4, .* at step 5",
        ),
        (
            {"loss": [(0, 0.1)]},
            "'loss' must be at the turn's own steps, 1 to 4, .* at step 0",
        ),
        ({"loss": [(1.5, 0.1)]}, "steps of metric 'loss' must be whole numbers, but got 1.5"),
        ({"loss": [0.1, 0.2]}, "'loss' must be one number or .step, value. pairs, but got"),
        ({"mean": [(2, 0.1)]}, "must not go back, but got 'mean' at step 2 after step 4"),
        (0.5, "must have names, but got 0.5"),
    ],
)
def test_what_makes_no_sense_is_refused_and_the_turn_stays_out(
    turn: tuple[ramet.Run, ramet.Turn], metrics: Any, match: str
) -> None:
    run, asked = turn
    asked.log(mean=4.0)
    with pytest.raises(MetricError, match=match):
        run.tell(asked, 0.9, state={"w": np.zeros(3)}, metrics=metrics)
    assert run.holds(asked)
    run.tell(asked, 0.9, state={"w": np.zeros(3)}, metrics={"loss": 1})
