"""Schedules trained again."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ramet
from ramet import wording
from ramet.blobs import MemoryBlobs
from ramet.errors import (
    CheckpointMissing,
    HyperparameterUnread,
    RunFailed,
    RunMismatch,
    StrategyError,
    UnknownHyperparameter,
)
from ramet.events import AttemptFailed, Copied, TurnEnded
from ramet.history.replayed import Replayed, replays
from ramet.schedule import Piece, Schedule
from ramet.store import MemoryStore, SQLiteStore
from ramet.strategies import Replay, from_description
from tests.engine.loops import SPACE, Descent, descent_loop, pbt
from tests.engine.stacked import Together

STRATEGIES = {
    "pbt": pbt(synchronous=True, evaluate_every=2),
    "asynchronous": pbt(),
    "short last turns": pbt(synchronous=True, turn_steps=5),
    "of weights": pbt(synchronous=True, copies="weights"),
}


def found(strategy: ramet.Strategy, **settings: Any) -> ramet.Result:
    return ramet.run(
        Descent(), SPACE, strategy, **{"steps": 48, "mode": "max", "seed": 3, **settings}
    )


def exactly(result: ramet.Result, **settings: Any) -> Replayed:
    return ramet.replay(settings.pop("train", Descent()), result.schedule(), seeds=None, **settings)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_draws_of_the_lineage_lead_to_the_very_weights_of_the_best(
    name: str, mode: Any
) -> None:
    result = found(STRATEGIES[name], mode=mode)
    replayed = exactly(result)
    assert replayed.scores == [result.best.score]
    assert replayed.original == result.best.score
    assert (replayed.result.best.load()["w"] == result.best.load()["w"]).all()


class Flags(Descent):
    """Keeps in its state the flag of each step."""

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"flags": []}

    def step(
        self, state: dict[str, Any], hparams: Any, steps: int, rng: np.random.Generator
    ) -> dict[str, Any]:
        return {"flags": [*state["flags"], *[hparams["flag"]] * steps]}

    def evaluate(self, state: dict[str, Any]) -> float:
        return len(state["flags"])


def test_options_that_compare_equal_stay_apart_in_schedules_and_replays() -> None:
    space = ramet.Space(flag=ramet.Choice([1, True, 1.0]))
    explores = ramet.PBT(population=4, turn_steps=1, exploit=None, explore=ramet.Resample())
    result = ramet.run(Flags(), space, explores, steps=12, mode="max", seed=0)
    flags, schedule = result.best.load()["flags"], result.schedule()
    kinds = [type(flag) for flag in flags]
    assert set(kinds) == {int, bool, float}
    assert [type(schedule(step)["flag"]) for step in range(12)] == kinds
    again = ramet.replay(Flags(), schedule, seeds=None).result.best.load()["flags"]
    assert [type(flag) for flag in again] == kinds
    changes = [one is not other for one, other in zip(kinds[1:], kinds[:-1], strict=True)]
    behind = {turn.key for turn in result.lineage().behind(result.best.checkpoint)}
    effects = [each for each in result.lineage().effects() if (each.member, each.turn) in behind]
    assert len(effects) == sum(changes)


class Hidden:
    """A strategy that the log knows by its name only."""

    def __init__(self, strategy: ramet.PBT) -> None:
        self.births, self.decide = strategy.births, strategy.decide
        self.turn_steps, self.evaluate_every = strategy.turn_steps, strategy.evaluate_every
        self.synchronous = strategy.synchronous


def seldom_scored(session: ramet.Session) -> None:
    """Measure with noise whenever it is due, and report each second score."""
    state = {"w": np.zeros(1)}
    for turn in session.turns(state):
        for step in turn:
            state["w"] += turn.hparams["lr"] + turn.rng.normal()
            if turn.evaluation_due:
                measured = state["w"] + turn.rng.normal()
                turn.report(float(measured[0]) if (step + 1 - turn.start) % 4 == 0 else None)


def test_turns_that_report_no_score_in_between_are_replayed_exactly() -> None:
    strategy = pbt(turn_steps=8, evaluate_every=2, synchronous=True)
    result = ramet.run(seldom_scored, SPACE, strategy, steps=48, mode="max", seed=3)
    again = exactly(result, train=seldom_scored, strict=False)
    assert again.result.best.load()["w"] == result.best.load()["w"]


@pytest.mark.parametrize("wrapped", [False, True], ids=["described", "named"])
def test_scores_at_steps_of_a_loops_own_choosing_are_replayed_exactly(*, wrapped: bool) -> None:
    def train(session: ramet.Session) -> None:
        state = {"w": np.zeros(1)}
        for turn in session.turns(state):
            for number, _ in enumerate(turn, 1):
                state["w"] += turn.hparams["lr"] + turn.rng.normal()
                if number in {4, 10}:
                    turn.report(float(state["w"][0]))

    strategy = pbt(turn_steps=10, synchronous=True)
    chosen: Any = Hidden(strategy) if wrapped else strategy
    result = ramet.run(train, SPACE, chosen, steps=40, mode="max", seed=3)
    again = exactly(result, train=train, strict=False)
    assert again.result.best.load()["w"] == result.best.load()["w"]


def test_a_replay_that_kept_only_its_best_is_given_no_more_steps() -> None:
    schedule = found(STRATEGIES["asynchronous"]).schedule()
    place: dict[str, Any] = {
        "store": ramet.Storage(MemoryStore(), blobs=MemoryBlobs(), keep="best")
    }
    before = ramet.replay(Descent(), schedule, **place).result
    with pytest.raises(RunMismatch, match="must go on from their own states, but run 'run-replay'"):
        ramet.replay(Descent(), schedule, steps=60, existing="extend", **place)
    assert place["store"].store.events("run-replay") == before.log


def test_a_schedule_of_fire_with_a_success_on_its_lineage_is_replayed_exactly() -> None:
    fire = ramet.FIRE(turn_steps=4, evaluate_every=1, size=3, max_eval_steps=8)
    seen = 0
    for seed in range(30):
        result = ramet.run(Slow(), SPACE, fire, steps=120, mode="max", seed=seed)
        edges = [turn.edge for turn in result.lineage().behind(result.best.checkpoint)]
        if "success" in edges:
            seen += 1
            assert exactly(result, train=Slow()).scores == [result.best.score]
        if seen == 3:
            return
    pytest.fail("no lineage went through a success")


class Slow(Descent):
    """Descent whose high rates are good at first and bad later, as FIRE is for."""

    def step(self, state: Any, hparams: Any, steps: int, rng: np.random.Generator) -> Any:
        w = state["w"].copy()
        for _ in range(steps):
            w -= hparams["lr"] * (w + 0.6 * rng.normal(size=3)) + 0.01 * hparams["decay"] * w
        return {"w": w, "seen": state["seen"] + steps}


@pytest.mark.parametrize("train", [descent_loop, Together()])
def test_it_is_the_same_in_a_users_loop_and_as_one_program(train: Any) -> None:
    strategy = STRATEGIES["pbt"]
    result = ramet.run(train, SPACE, strategy, steps=48, mode="max", seed=3)
    engine: Any = None if train is descent_loop else ramet.Vectorized()
    assert exactly(result, train=train, engine=engine).scores == [result.best.score]


def test_it_is_the_same_in_worker_processes_and_after_a_file(tmp_path: Path) -> None:
    result = found(STRATEGIES["pbt"])
    result.schedule().save(tmp_path / "s.json")
    schedule = Schedule.load(tmp_path / "s.json")
    here = ramet.replay(Descent(), schedule, seeds=[4, 5, 6])
    there = ramet.replay(
        Descent(), schedule, seeds=[4, 5, 6], workers=2, store=tmp_path / "runs.db"
    )
    assert here.scores == there.scores
    assert SQLiteStore(tmp_path / "runs.db").runs() == ["run-replay"]


def test_fresh_networks_have_weights_and_draws_of_their_own_seed() -> None:
    schedule = found(STRATEGIES["pbt"]).schedule()
    replayed = ramet.replay(Descent(), schedule, seeds=[4, 5, 4])
    first, second, third = replayed.scores
    assert first == third != second
    assert replayed.mean == pytest.approx(np.mean(replayed.scores))
    assert replayed.sd == pytest.approx(np.std(replayed.scores, ddof=1))
    assert str(replayed) == (
        f"replayed: {wording.mean_and_spread(replayed.mean, replayed.sd)} (mean ± sd, 3 seeds), "
        f"the original {replayed.original:.6g}"
    )
    again = ramet.replay(Descent(), schedule, seeds=[5])
    assert again.scores == [second]
    assert math.isnan(again.sd)


def test_every_step_is_trained_with_its_values_whatever_the_length_of_turns() -> None:
    schedule = found(STRATEGIES["asynchronous"]).schedule()
    for some in (schedule, schedule.stretch(31), schedule.stretch(97), schedule.last_values()):
        for steps in (None, 20, some.steps + 7):
            replayed = ramet.replay(Descent(), some, seeds=[0], steps=steps)
            trained = replayed.result.schedule(0)
            assert trained.steps == (steps or some.steps)
            assert all(trained(step) == some(step) for step in range(trained.steps))
            assert not any(isinstance(event, Copied) for event in replayed.result.events)


def test_a_schedule_written_by_hand_can_be_replayed() -> None:
    pieces = (
        Piece(start=0, stop=10, hparams={"lr": 0.5, "decay": 0}),
        Piece(start=10, stop=45, hparams={"lr": 0.1, "decay": 0.5}),
    )
    replayed = ramet.replay(Descent(), Schedule(pieces), seeds=[0, 1], mode="max")
    assert replayed.original is None
    assert replayed.result.schedule(0).pieces == pieces
    turns = [e for e in replayed.result.events if isinstance(e, TurnEnded) and e.member == 0]
    assert [turn.step for turn in turns] == [*range(2, 46, 2)[:5], *range(12, 45, 2), 45]
    assert str(replayed).startswith("replayed: ")


def test_what_was_changed_has_no_draws_to_follow() -> None:
    schedule = found(STRATEGIES["pbt"]).schedule()
    for changed in (schedule.stretch(30), schedule.smooth(2).schedule):
        with pytest.raises(StrategyError, match="stretched or smoothed"):
            ramet.replay(Descent(), changed, seeds=None)


def test_what_the_task_reads_and_the_schedule_lacks_is_named() -> None:
    lacking = Schedule((Piece(start=0, stop=10, hparams={"lr": 0.5}),))
    with pytest.raises(UnknownHyperparameter, match=r"which has \['lr'\], but 'decay' was"):
        ramet.replay(Descent(), lacking, mode="max")


def test_what_the_schedule_has_and_the_task_does_not_read_is_named() -> None:
    hparams = {"lr": 0.5, "decay": 0.1, "momentum": 0.9}
    more = Schedule((Piece(start=0, stop=10, hparams=hparams),))
    with pytest.raises(HyperparameterUnread, match="momentum"):
        ramet.replay(Descent(), more, mode="max")
    assert ramet.replay(Descent(), more, mode="max", strict=False).scores


def test_another_schedule_is_another_replay(tmp_path: Path) -> None:
    schedule, store = found(STRATEGIES["pbt"]).schedule(), tmp_path / "runs.db"
    first = ramet.replay(Descent(), schedule, seeds=[0], store=store)
    assert ramet.replay(Descent(), schedule, seeds=[0], store=store).scores == first.scores
    with pytest.raises(RunMismatch, match="give the new run another name"):
        ramet.replay(Descent(), schedule.last_values(), seeds=[0], store=store)


class Breaks(Descent):
    """Raises in the midst of its schedule, for as long as it is broken."""

    broken = True

    def step(self, state: Any, hparams: Any, steps: int, rng: np.random.Generator) -> Any:
        if self.broken and state["seen"] == 12:
            raise RuntimeError("out of luck")
        return super().step(state, hparams, steps, rng)


def test_a_turn_that_fails_is_not_left_out_of_a_replay() -> None:
    result, task, place = found(STRATEGIES["pbt"]), Breaks(), memory()
    law = r"must train every step of its schedule, .* given up: RuntimeError: out of luck"
    with pytest.raises(RunFailed, match=law):
        exactly(result, train=task, **place)
    # The log has every attempt, and nobody holds the member.
    log = place["store"].store.events("run-replay-exact")
    assert sum(isinstance(logged.event, AttemptFailed) for logged in log) == 2
    assert not any(seat.worker for seat in place["store"].store.seats("run-replay-exact"))
    task.broken = False
    assert exactly(result, train=task, **place).scores == [result.best.score]


def test_a_turn_of_a_replay_is_never_given_up() -> None:
    strategy, place = Replay.by(found(STRATEGIES["pbt"]).schedule(), seeds=[0]), memory()
    settings: dict[str, Any] = {
        "space": SPACE,
        "strategy": strategy,
        "steps": 48,
        "mode": "max",
        "seed": 0,
    }
    slow, other = (ramet.open(**place, **settings, worker=name) for name in ("slow", "other"))
    turn = slow.ask()
    assert turn is not None
    with pytest.raises(RunFailed, match=r"given up: fatal\. .*: remove the cause and run again"):
        other.give_up(0, turn=0, why="fatal")
    assert [seat.worker for seat in place["store"].store.seats("run")] == ["slow"]


def test_a_checkpoint_that_is_lost_is_not_replaced_in_a_replay(tmp_path: Path) -> None:
    schedule, store = found(STRATEGIES["pbt"]).schedule(), tmp_path / "runs.db"
    ramet.replay(Descent(), schedule, seeds=[0, 1], steps=20, store=store)
    for kept in tmp_path.rglob("1-*"):
        kept.unlink()
    with pytest.raises(CheckpointMissing):
        ramet.replay(Descent(), schedule, seeds=[0, 1], steps=40, store=store, existing="extend")


def test_a_score_that_is_not_finite_is_left_out_and_said() -> None:
    class Diverges(Descent):
        def evaluate(self, state: Any) -> float:
            score = super().evaluate(state)
            return score if state["w"][0] < 0 else math.nan

    schedule = found(STRATEGIES["pbt"]).schedule()
    replayed = ramet.replay(Diverges(), schedule, seeds=range(6))
    finite = [score for score in replayed.scores if math.isfinite(score)]
    assert 1 < len(finite) < 6
    assert replayed.mean == pytest.approx(np.mean(finite))
    assert f"(mean ± sd, 6 seeds, {6 - len(finite)} without a finite score)" in str(replayed)


def test_a_replay_that_is_not_over_says_so() -> None:
    schedule = found(STRATEGIES["pbt"]).schedule()
    strategy = Replay.by(schedule, seeds=[0, 1])
    run = ramet.open(space=SPACE, strategy=strategy, steps=schedule.steps, mode="max", seed=0)
    turn, task = run.ask(), Descent()
    assert turn is not None
    state = task.step(turn.load(task.init), turn.hparams, turn.steps, turn.rng)
    run.tell(turn, task.evaluate(state), state=state)
    said = str(Replayed(schedule=schedule, result=run.result()))
    assert "(2 seeds, 1 without a finite score, not over: 0 of " in said


def test_the_draws_of_a_replay_are_not_its_own_to_follow() -> None:
    replayed = ramet.replay(Descent(), found(STRATEGIES["pbt"]).schedule(), seeds=[11, 12])
    with pytest.raises(StrategyError, match="or is of a replay itself"):
        ramet.replay(Descent(), replayed.result.schedule(), seeds=None)


def test_replays_of_a_run_are_found_whatever_their_name(tmp_path: Path) -> None:
    place = {"store": tmp_path / "runs.db"}
    result = found(STRATEGIES["pbt"], **place)
    exactly(result, **place)
    ramet.replay(Descent(), result.schedule(), seeds=[1], name="mine", **place)
    ramet.replay(Descent(), ramet.history.load(**place, name="mine").schedule(), **place)
    names = [one.result.opening.name for one in replays(result)]
    assert names == ["run-replay-exact", "mine"]


def memory() -> dict[str, Any]:
    return {"store": ramet.Storage(MemoryStore(), blobs=MemoryBlobs())}


@pytest.mark.parametrize(
    ("seeds", "law"),
    [
        (5, "seeds must be a list"),
        ([], "a seed for each"),
        ([-1], "a seed must"),
        ([0.5], "a seed must"),
    ],
)
def test_seeds_must_be_seeds(seeds: Any, law: str) -> None:
    with pytest.raises(StrategyError, match=law):
        ramet.replay(Descent(), found(STRATEGIES["pbt"]).schedule(), seeds=seeds)


def test_a_replay_has_no_seed_of_its_own() -> None:
    with pytest.raises(TypeError, match="seed"):
        ramet.replay(Descent(), found(STRATEGIES["pbt"]).schedule(), seed=3)


def test_what_is_no_schedule_is_refused() -> None:
    with pytest.raises(StrategyError, match="must be of a Schedule"):
        Replay.by({"lr": 0.1})


def test_a_log_says_all_of_a_replay() -> None:
    replayed = exactly(found(STRATEGIES["pbt"]))
    strategy = from_description(replayed.result.opening.strategy)
    assert strategy == Replay.by(replayed.schedule)


def test_a_replay_with_the_runs_own_seed_is_fresh_too() -> None:
    def train(session: ramet.Session) -> None:
        state = {"x": session.rng.normal(size=1)}
        for turn in session.turns(state):
            for _ in turn:
                state["x"] += turn.hparams["lr"] * turn.rng.normal(size=1)
            turn.report(state["x"][0])

    space = ramet.Space(lr=ramet.LogUniform(0.1, 1.0))
    strategy = ramet.RandomSearch(population=1, turn_steps=5)
    result = ramet.run(train, space, strategy, steps=20, mode="max", seed=2)
    replayed = ramet.replay(train, result.schedule(), seeds=[2, 3])
    assert result.best.score not in replayed.scores
    exact = ramet.replay(train, result.schedule(), seeds=None)
    assert exact.scores == [result.best.score]
