"""The best turns of a run are evaluated again before one is called best, and both scores kept."""

import itertools
import logging
import math
import statistics
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import ramet
from ramet import report
from ramet.cli.train import outcome
from ramet.engine.run import run_events
from ramet.errors import (
    CheckpointMissing,
    CorruptLog,
    NoBest,
    RunNotFound,
    ScoreError,
    StoreError,
    UsageError,
)
from ramet.events import Confirmed, Confirming, Stopped, canonical, fold
from ramet.faults import CONFIRMING_POINTS, VARIABLE
from ramet.history import FreshScores, find_doubts
from ramet.history.doctor import examine
from ramet.history.following import Follower
from ramet.history.keeping import find_needed
from ramet.population import Candidate
from ramet.report.subject import Subject
from tests.report.reading import Read

SPACE = {"lr": ramet.Uniform(0.0, 1.0)}
SEARCH = ramet.RandomSearch(population=6, turn_steps=1)


class Noise:
    """Weights that never change, with scores that are noise around 0."""

    def init(self, rng: np.random.Generator) -> dict[str, float]:
        return {"noise": 0.0}

    def step(self, state: Any, hparams: Any, steps: int, rng: np.random.Generator) -> Any:
        hparams["lr"]
        return {"noise": float(rng.normal())}

    def evaluate(self, state: Any) -> float:
        return float(state["noise"])


def measure(state: Any, rng: np.random.Generator) -> float:
    """Return a fresh score: the true one of all weights is 0."""
    del state
    return float(rng.normal())


def train(seed: int = 0, **settings: Any) -> ramet.Result:
    given = {"steps": 4, "mode": "max", **settings}
    return ramet.run(Noise(), SPACE, given.pop("strategy", SEARCH), seed=seed, **given)


def tell(run: ramet.Run, turn: ramet.Turn, score: float) -> None:
    """End a turn without training."""
    assert (turn.steps, turn.hparams["lr"] >= 0) == (1, True)
    run.tell(turn, score, state={"noise": score})


def evaluations(result: ramet.Result) -> list[Confirmed]:
    return [event for event in result.events if isinstance(event, Confirmed)]


def test_the_best_is_chosen_by_fresh_scores_and_both_numbers_are_kept() -> None:
    raw = train()
    result = ramet.confirm(measure, raw, top=3, times=4)

    assert [(it.repeat, it.score is not None) for it in evaluations(result)] == [
        (repeat, True) for _ in range(3) for repeat in range(4)
    ]
    best = result.best
    assert isinstance(best.confirmed, FreshScores)
    now = result.population.confirmation
    assert now is not None
    assert len(now.candidates) == 3
    assert best.confirmed.mean == pytest.approx(max(it.mean for it in now.candidates))
    assert best.confirmed.spread == statistics.stdev(best.confirmed.scores)
    # What the turn ended with, whichever turn it is.
    assert best.score == result.lineage().turns[best.checkpoint.member, best.checkpoint.turn].score
    assert result.population.best == raw.population.best
    assert raw.best.confirmed is None
    assert best.load() == {"noise": best.score}
    assert result.schedule() == result.schedule(best.member)
    assert fold(result.events) == result.population


def test_candidates_are_the_best_turns_whose_weights_are_kept() -> None:
    store = ramet.Storage(None, keep="all")
    result = ramet.confirm(measure, train(store=store), top=5)
    scores = sorted((it.score for it in result.lineage().turns.values() if it.score), reverse=True)
    now = result.population.confirmation
    assert now is not None
    assert [it.score for it in now.candidates] == scores[:5]


def test_fewer_candidates_than_asked_for_are_named(caplog: pytest.LogCaptureFixture) -> None:
    kept_best = train(store=ramet.Storage(None, keep="best"))
    caplog.clear()
    with caplog.at_level(logging.WARNING, "ramet"):
        result = ramet.confirm(measure, kept_best, top=5)
    (said,) = [it.getMessage() for it in caplog.records]
    where = f"{result.best.checkpoint.member}.{result.best.checkpoint.turn}"
    assert said.startswith(
        f"5 turns of run 'run' were to be evaluated again, and 1 are, as member.turn: {where}. "
        f"The run does not keep the weights of 23 others"
    )


def test_low_scores_that_are_good_keep_their_sign() -> None:
    def one_more(state: Any, rng: np.random.Generator) -> float:
        return float(state["noise"]) + 1.0 + 1e-9 * rng.normal()

    result = ramet.confirm(one_more, train(mode="min"), top=3)
    assert result.population.best is not None
    assert result.best.score == result.population.best.score
    assert result.best.confirmed is not None
    assert result.best.confirmed.mean == pytest.approx(result.best.score + 1.0)
    stored = [
        logged.event
        for logged in result.store.events("run")
        if isinstance(logged.event, Confirmed | Confirming)
    ]
    assert isinstance(stored[0], Confirming)
    assert stored[0].candidates[0].score == -result.best.score
    assert fold(result.events) == result.population


def test_weights_with_a_score_that_is_no_number_are_not_the_best() -> None:
    raw = train()

    def diverge(state: Any, rng: np.random.Generator) -> float:
        return math.nan if state["noise"] == raw.best.score else float(rng.normal())

    result = ramet.confirm(diverge, raw, top=3, times=2)
    assert result.best.score < raw.best.score
    lost = [it.confirmed for it in result.members if it.confirmed and math.isnan(it.confirmed.mean)]
    now = result.population.confirmation
    assert now is not None
    assert now.candidates[0].fresh == (None, None)
    assert lost
    assert all(math.isnan(it.spread) for it in lost)

    nothing = ramet.confirm(lambda state, rng: math.inf, train(), top=2, times=2)
    assert nothing.best.score == raw.best.score
    assert nothing.best.confirmed is not None
    assert str(nothing.best.confirmed) == "nan on 2 fresh evaluations"


@pytest.mark.parametrize("scores", [(1.5e308, 1.5e308), (1.5e308, -1.5e308), (1e200, -1e200)])
def test_scores_too_large_to_be_added_are_no_error(scores: tuple[float, float]) -> None:
    strategy = ramet.Controlled(ramet.PBT(population=5, turn_steps=1), {"lr": 0.5})
    raw, drawn = train(strategy=strategy, steps=12), itertools.cycle(scores)
    result = ramet.confirm(lambda state, rng: next(drawn), raw, top=2, times=2)
    assert result.best.confirmed is not None
    assert result.best.confirmed.mean == statistics.mean(scores)
    assert str(result.best.confirmed).endswith("on 2 fresh evaluations")
    assert find_doubts(result) is not None
    assert result.verdict().worth == "unclear"
    assert Read(report.page(result)).text


def test_confirming_again_evaluates_only_what_is_missing() -> None:
    calls = []

    def counted(state: Any, rng: np.random.Generator) -> float:
        calls.append(1)
        return measure(state, rng)

    once = ramet.confirm(counted, train(), top=3, times=2)
    assert len(calls) == 6
    again = ramet.confirm(counted, once, top=3, times=2)
    assert again.events == once.events
    assert ramet.confirm(counted, once, top=2, times=1).events == once.events
    assert len(calls) == 6
    more = ramet.confirm(counted, once, top=4, times=3)
    assert len(calls) == 12
    assert [len(it.fresh) for it in more.population.confirmation.candidates] == [3] * 4
    # The same draws, however often the calls were interrupted.
    whole = ramet.confirm(measure, train(), top=4, times=3)
    assert more.population.confirmation == whole.population.confirmation


def test_a_call_that_was_stopped_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def stops(state: Any, rng: np.random.Generator) -> float:
        if len(evaluations(ramet.history.load(tmp_path / "runs.db"))) == 4:
            raise KeyboardInterrupt
        return measure(state, rng)

    raw = train(store=tmp_path / "runs.db")
    match = "run 'run' was stopped after 4 of 6 evaluations"
    with pytest.raises(KeyboardInterrupt, match=match) as stopped:
        ramet.confirm(stops, raw, top=3, times=2)
    # Python shows the user's call alone.
    shown = traceback.extract_tb(stopped.value.__traceback__)
    assert [frame.filename for frame in shown] == [__file__]
    partial = ramet.history.load(tmp_path / "runs.db")
    assert len(evaluations(partial)) == 4
    # A call for less says that it goes on with all of it.
    with caplog.at_level(logging.WARNING, "ramet"), pytest.raises(KeyboardInterrupt):
        ramet.confirm(stops, partial, top=2, times=1)
    assert "3 turns of run 'run' again, 2 times each: this call goes on until" in caplog.text
    # Nothing is chosen before all are compared.
    assert (partial.best.checkpoint, partial.best.confirmed) == (raw.best.checkpoint, None)

    result = ramet.confirm(measure, partial, top=3, times=2)
    whole = ramet.confirm(measure, train(), top=3, times=2)
    assert canonical(result.events) == canonical(whole.events)
    assert examine(result.store, result.blobs, "run") == []


SCRIPT = """
import sys
import numpy as np
import ramet
def measure(state, rng):
    return float(rng.normal())
if __name__ == "__main__":
    ramet.confirm(measure, ramet.history.load(sys.argv[1]), top=3, times=2)
"""


@pytest.mark.parametrize("point", CONFIRMING_POINTS)
def test_a_killed_process_loses_at_most_the_score_that_was_not_written(
    point: str, tmp_path: Path
) -> None:
    train(store=tmp_path / "runs.db")
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "runs.db")]
    killed = subprocess.run(command, check=False, env={VARIABLE: f"{point}:3"})
    assert killed.returncode == -9
    partial = ramet.history.load(tmp_path / "runs.db")
    assert len(evaluations(partial)) == (2 if point == "evaluated" else 3)

    subprocess.run(command, check=True)
    result = ramet.history.load(tmp_path / "runs.db")
    whole = ramet.confirm(measure, train(), top=3, times=2)
    assert canonical(result.events) == canonical(whole.events)
    assert examine(result.store, result.blobs, "run") == []


def test_two_processes_at_once_record_each_score_once(tmp_path: Path) -> None:
    train(store=tmp_path / "runs.db")
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "runs.db")]
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]

    result = ramet.history.load(tmp_path / "runs.db")
    whole = ramet.confirm(measure, train(), top=3, times=2)
    assert canonical(result.events) == canonical(whole.events)


def test_a_score_that_another_process_wrote_meanwhile_is_not_written_again() -> None:
    raw = train()

    def beaten(state: Any, rng: np.random.Generator) -> float:
        if len(evaluations(ramet.history.load(raw.store, "run"))) == 0:
            ramet.confirm(measure, raw, top=2, times=2)
        return measure(state, rng)

    result = ramet.confirm(beaten, raw, top=2, times=2)
    assert len(evaluations(result)) == 4


def test_a_run_of_processes_is_confirmed_to_the_same_record(tmp_path: Path) -> None:
    strategy = ramet.PBT(population=6, turn_steps=1, synchronous=True)
    apart = train(strategy=strategy, store=tmp_path / "runs.db", engine=ramet.Processes(2))
    alone = train(strategy=strategy)
    assert canonical(ramet.confirm(measure, apart).events) == canonical(
        ramet.confirm(measure, alone).events
    )


def test_a_result_of_worker_processes_without_a_store_is_confirmed() -> None:
    result = ramet.confirm(measure, train(engine=ramet.Processes(1)), top=2)
    assert result.best.confirmed is not None
    assert result.best.load()


def test_a_run_that_goes_on_must_be_confirmed_again(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"store": tmp_path / "runs.db"}
    first = ramet.confirm(measure, train(**settings), top=6)
    assert first.best.confirmed is not None
    extended = train(**settings, steps=8, existing="extend")
    assert extended.population.confirmation is None
    assert extended.best.confirmed is None
    assert extended.best.score == extended.population.best.score
    assert ramet.confirm(measure, extended).best.confirmed is not None


def test_only_a_run_that_is_over_is_confirmed() -> None:
    run = ramet.open(space=SPACE, strategy=SEARCH, steps=4, mode="max", seed=0)
    with pytest.raises(UsageError, match="only a run that is over can be confirmed"):
        ramet.confirm(measure, run.result())
    run.stop()
    with pytest.raises(NoBest, match="needs a turn that ended with a finite score"):
        ramet.confirm(measure, run.result())


def test_a_turn_that_ends_meanwhile_ends_the_confirmation() -> None:
    run = ramet.open(space=SPACE, strategy=SEARCH, steps=4, mode="max", seed=0)
    turns = [turn for _ in range(2) if (turn := run.ask()) is not None]
    tell(run, turns[0], 0.1)
    run.stop()

    def overtaken(state: Any, rng: np.random.Generator) -> float:
        tell(run, turns[1], 0.2)
        return measure(state, rng)

    with pytest.raises(UsageError, match="must stay over, but run 'run' went on meanwhile"):
        ramet.confirm(overtaken, run.result(), top=1)
    assert evaluations(run.result()) == []


@pytest.mark.parametrize("when", ["planning", "reading"])
def test_a_turn_that_ends_before_the_first_evaluation_is_not_left_out(
    when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ramet.open(space=SPACE, strategy=SEARCH, steps=4, mode="max", seed=0)
    turns = [turn for _ in range(2) if (turn := run.ask()) is not None]
    tell(run, turns[0], 0.1)
    run.stop()

    def overtaken(*given: Any) -> Any:
        monkeypatch.undo()
        tell(run, turns[1], 0.2)
        if when == "reading":
            raise CheckpointMissing("it was pruned")

    name = "find_damage" if when == "planning" else "read_state"
    monkeypatch.setattr(f"ramet.engine.confirming.{name}", overtaken)
    with pytest.raises(UsageError, match="must stay over, but run 'run' went on meanwhile"):
        ramet.confirm(measure, run.result(), top=1)
    assert run.result().population.confirmation is None
    assert ramet.confirm(measure, run.result(), top=1).best.score == 0.2


def test_the_weights_of_a_confirmed_best_outlast_pruning(tmp_path: Path) -> None:
    class Chosen:
        """Prefers any turn but the best one."""

        def __init__(self, best: float) -> None:
            self.best = best

        def evaluate(self, state: Any) -> float:
            return -1.0 if state["noise"] == self.best else float(state["noise"])

    # Stopped before its end, so that it still keeps all members' weights.
    run = ramet.open(
        tmp_path / "stopped.db", space=SPACE, strategy=SEARCH, steps=4, mode="max", seed=0
    )
    for score in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
        turn = run.ask()
        assert turn is not None
        tell(run, turn, score)
    run.stop()
    result = ramet.confirm(Chosen(0.6), run.result(), top=3, times=1)
    assert result.best.score == 0.5
    assert run.prune() == {}
    assert result.best.load() == {"noise": 0.5}

    # Turns that are lost may use up the budget of a run that was stopped.
    over, best = replace(result.population, steps=1), result.population.best
    assert over.done
    assert best is not None
    assert find_needed(over, "best") == {result.best.checkpoint, best.checkpoint}


def test_damaged_weights_are_left_out_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    raw = train(store=tmp_path / "runs.db")
    raw.blobs.delete("run", [raw.best.checkpoint.key])
    with caplog.at_level(logging.WARNING, "ramet"):
        result = ramet.confirm(measure, raw, top=2)
    assert "a turn is not evaluated again: " in caplog.text
    assert raw.best.checkpoint.key in caplog.text
    assert result.best.checkpoint != raw.best.checkpoint


def test_evaluations_that_draw_nothing_are_called_by_name(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ramet"):
        result = ramet.confirm(Noise(), train(), top=3, times=2)
    assert "but Noise.evaluate gave the same score all 2 times for the same weights" in caplog.text
    assert result.best.confirmed is not None
    assert result.best.confirmed.scores == (result.best.score,) * 2

    raw = train()
    caplog.clear()
    with caplog.at_level(logging.WARNING, "ramet"):
        ramet.confirm(measure, raw, top=3, times=2)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("evaluate", "why"),
    [
        (Noise, "but got the class Noise; make one"),
        (lambda session: None, r"evaluate\(state, rng\), or a task"),
        (5, "but got 5"),
    ],
)
def test_what_cannot_evaluate_is_refused(evaluate: Any, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        ramet.confirm(evaluate, train())


@pytest.mark.parametrize("result", ["runs.db", None])
def test_what_is_no_result_is_refused(result: Any) -> None:
    with pytest.raises(UsageError, match="must be the result of a run, but got"):
        ramet.confirm(measure, result)


def test_a_run_that_has_overwritten_that_of_the_result_is_not_confirmed(tmp_path: Path) -> None:
    old = train(store=tmp_path / "runs.db")
    new = train(store=tmp_path / "runs.db", existing="overwrite")
    with pytest.raises(RunNotFound, match="run 'run' has been overwritten since it was read"):
        ramet.confirm(measure, old)
    assert evaluations(ramet.history.load(tmp_path / "runs.db")) == []
    assert ramet.confirm(measure, new).best.confirmed is not None


def test_a_result_that_was_loaded_still_only_reads(tmp_path: Path) -> None:
    train(store=tmp_path / "runs.db")
    loaded = ramet.history.load(tmp_path / "runs.db")
    result = ramet.confirm(measure, loaded, top=2, times=1)
    assert result.store is loaded.store
    with pytest.raises(StoreError):
        result.store.append("run", Stopped(), worker="me", after=len(result.log) - 1)


@pytest.mark.parametrize(
    "settings",
    [{"top": 0}, {"times": 0}, {"times": 1.5}, {"top": True}, {"top": 1_001}, {"times": 10_001}],
)
def test_counts_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="must be a whole number from 1 to 1"):
        ramet.confirm(measure, train(), **settings)


@pytest.mark.parametrize(
    ("score", "why"), [(None, "but it returned None"), ("high", "must be one number")]
)
def test_what_is_no_score_is_refused(score: Any, why: str) -> None:
    raw = train()
    with pytest.raises(ScoreError, match=why):
        ramet.confirm(lambda state, rng: score, raw)
    assert evaluations(ramet.history.load(raw.store, "run")) == []


def test_an_evaluation_may_change_the_state_it_gets() -> None:
    seen = []

    def changes(state: Any, rng: np.random.Generator) -> float:
        seen.append(state["w"].sum())
        state["w"] += 1.0
        return float(rng.normal())

    class Arrays(Noise):
        def step(self, state: Any, hparams: Any, steps: int, rng: np.random.Generator) -> Any:
            return super().step(state, hparams, steps, rng) | {"w": np.zeros(2)}

    raw = ramet.run(Arrays(), SPACE, SEARCH, steps=4, mode="max", seed=0)
    ramet.confirm(changes, raw, top=2)
    assert seen == [0.0] * 8


def test_a_loop_of_ones_own_is_confirmed_by_a_function() -> None:
    def loop(session: ramet.Session) -> None:
        state = {"w": session.rng.normal(size=3)}
        for turn in session.turns(state):
            state["w"] *= 1.0 - turn.hparams["lr"] ** turn.steps
            turn.report(-float(np.square(state["w"]).sum()))

    def evaluate(state: Any, rng: np.random.Generator) -> float:
        return -float(np.square(state["w"]).sum()) + 0.01 * float(rng.normal())

    raw = ramet.run(loop, SPACE, SEARCH, steps=4, mode="max", seed=0)
    result = ramet.confirm(evaluate, raw)
    assert result.best.confirmed is not None
    assert result.best.confirmed.mean == pytest.approx(result.best.score, abs=0.05)


def test_the_confirmed_best_of_noise_is_less_biased() -> None:
    raw, confirmed = [], []
    for seed in range(20):
        result = ramet.confirm(measure, train(seed), top=5, times=4)
        assert result.best.confirmed is not None
        raw.append(result.population.best.score)
        confirmed.append(result.best.confirmed.mean)
    # The true score is 0. These figures are in docs/luck.md.
    assert round(statistics.fmean(raw), 2) == 2.07
    assert round(statistics.fmean(confirmed), 2) == 0.66


def test_both_numbers_are_said_everywhere(tmp_path: Path) -> None:
    strategy = ramet.Controlled(ramet.PBT(population=10, turn_steps=1), {"lr": 0.5})
    result = ramet.confirm(measure, train(strategy=strategy, steps=12), top=5)
    best = result.best
    assert best.confirmed is not None
    both = f"{best.score:.6g} when it was measured, {best.confirmed}"
    assert "on 4 fresh evaluations" in both

    assert f"best {both}" in outcome(result)
    verdict = result.verdict()
    assert (verdict.best, verdict.confirmed) == (best.score, best.confirmed)
    assert str(verdict).endswith(f". The best of all turns: {both}")
    (doubt,) = [it for it in find_doubts(result) if it.kind == "noise"]
    assert doubt.what.startswith(f"the best score, {both}, lies within the noise: means of so many")
    assert "times= of ramet.confirm" in doubt.remedy
    assert f"Confirmed: {both}." in Read(report.page(result)).text
    assert Subject(result).best == best


def test_doubts_are_lifted_by_fresh_scores_and_not_by_exact_ones() -> None:
    raw = train(steps=12)
    assert [it.kind for it in find_doubts(raw)] == ["noise"]
    exact = ramet.confirm(Noise(), raw)
    assert [it.kind for it in find_doubts(exact)] == ["noise"]

    def clearly(state: Any, rng: np.random.Generator) -> float:
        return 9.0 * (state["noise"] == best) + 0.1 * float(rng.normal())

    again = train(steps=12)
    best = again.best.score
    assert find_doubts(ramet.confirm(clearly, again)) == []


@pytest.mark.parametrize("steps", [4, 6, 12])
@pytest.mark.parametrize(
    "strategy",
    [
        SEARCH,
        ramet.PBT(population=20, turn_steps=1),
        ramet.PBT(population=8, turn_steps=1, exploit=ramet.BinaryTournament()),
    ],
    ids=["search", "truncation", "tournament"],
)
def test_noise_is_doubted_in_short_runs_and_where_members_copy_often(
    strategy: ramet.Strategy, steps: int
) -> None:
    runs = [train(seed, strategy=strategy, steps=steps) for seed in range(8)]
    doubted = [run for run in runs if "noise" in [it.kind for it in find_doubts(run)]]
    assert len(doubted) >= 6


def test_a_confirmed_best_of_noise_is_doubted() -> None:
    runs = [ramet.confirm(measure, train(seed)) for seed in range(20)]
    doubted = [run for run in runs if "noise" in [it.kind for it in find_doubts(run)]]
    assert len(doubted) >= 19


def test_doubts_of_learning_are_about_the_best_score_and_not_the_confirmed_best() -> None:
    def learn_once(session: ramet.Session) -> None:
        # The best score of all is a later one; all others fall.
        state = {"noise": 0.0}
        for turn in session.turns(state):
            assert (turn.steps, turn.hparams["lr"] >= 0) == (1, True)
            state["noise"] = 10.0 if (turn.member, turn.number) == (0, 1) else -float(turn.stop)
            turn.report(state["noise"])

    raw = ramet.run(learn_once, SPACE, SEARCH, steps=6, mode="max", seed=0)
    assert "no learning" not in [it.kind for it in find_doubts(raw)]

    def prefer_others(state: Any, rng: np.random.Generator) -> float:
        return -float(state["noise"]) + 0.01 * float(rng.normal())

    result = ramet.confirm(prefer_others, raw, top=6, times=2)
    assert result.best.score < 0
    assert "no learning" not in [it.kind for it in find_doubts(result)]


def test_run_events_about_evaluations_change_nothing_twice() -> None:
    result = ramet.confirm(measure, train(), top=2, times=1)
    log = Follower(result.store, "run")
    for event in result.store.events("run"):
        if isinstance(event.event, Confirmed | Confirming):
            assert not run_events.would_change(event.event, log.replica)


def test_a_summary_keeps_the_evaluations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ramet.store.summary.EVERY", 10)
    store = tmp_path / "runs.db"
    ramet.confirm(measure, train(store=store), top=3)
    train(store=store, steps=8, existing="extend")
    again = ramet.confirm(measure, ramet.history.load(store), top=3)
    lean = type(again).without_log(store=again.store, blobs=again.blobs, name="run")
    assert lean.best == again.best
    assert lean.population == again.population
    assert again.best.confirmed is not None
    assert examine(again.store, again.blobs, "run") == []


def test_all_fresh_scores_are_a_table() -> None:
    result = ramet.confirm(measure, train(), top=2, times=2)
    now = result.population.confirmation
    assert now is not None
    assert [
        (row["member"], row["turn"], row["step"], row["score"], row["repeat"], row["fresh"])
        for row in result.rows("confirmations")
    ] == [
        (it.checkpoint.member, it.checkpoint.turn, it.checkpoint.step, it.score, repeat, fresh)
        for it in now.candidates
        for repeat, fresh in enumerate(it.fresh)
    ]


@pytest.mark.parametrize("without_log", [False, True])
@pytest.mark.parametrize(
    ("changes", "why", "promise"),
    [
        ({"digest": "f" * 32}, "none left checkpoint", "I3"),
        ({"member": 99}, "0 to 5, but got 99", "I3"),
        ({"turn": 99}, "but turn 99 of member", "I3"),
        ({"score": 1e308}, "must have the score that its turn ended with", "I4"),
    ],
)
def test_a_forged_log_is_refused(
    changes: dict[str, Any], why: str, promise: str, *, without_log: bool
) -> None:
    raw = train()
    best = raw.population.best
    assert best is not None
    score = changes.get("score", best.score)
    kept = replace(best.checkpoint, **{k: it for k, it in changes.items() if k != "score"})
    plan = Confirming(candidates=(Candidate(score=score, checkpoint=kept),), times=1)
    raw.store.append("run", plan, worker="forger", after=len(raw.log) - 1)

    read = ramet.Result.without_log if without_log else ramet.Result
    with pytest.raises(CorruptLog, match=why):
        read(store=raw.store, blobs=raw.blobs, name="run").lineage()
    (found,) = examine(raw.store, raw.blobs, "run")
    assert found.promise == promise
