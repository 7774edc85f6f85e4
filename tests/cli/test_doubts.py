"""What makes a result worthless is said at the end of the run."""

import math
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ramet
from benchmarks.quadratic import TURN_STEPS, fire
from benchmarks.quadratic import pbt as pbt22
from ramet.blobs import MemoryBlobs
from ramet.history import find_doubts
from ramet.store import MemoryStore
from ramet.testing import QUADRATIC_SPACE, Quadratic
from tests.cli.shell import PATIENCE_S, called
from tests.cli.shell import ramet as ramet_command
from tests.engine.loops import SPACE, Descent, pbt

pytestmark = pytest.mark.slow

SCRIPT = """
import numpy as np
import ramet

space = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0))
strategy = ramet.PBT(population=6, turn_steps=4, synchronous=True)
steps = 40
mode = "max"

def train(session):
    state = {"w": np.zeros(1), "n": 0}
    for turn in session.turns(state):
        for _ in turn:
            state["n"] += turn.hparams["lr"]
            state["w"] = turn.rng.normal(size=1)
        turn.report(SCORE)

if __name__ == "__main__":
    ramet.run(train, space, strategy, steps=steps, mode=mode, seed=0)
"""

GETS_BETTER = "float(state['n'])"
NOT_LEARNING = "-float(state['n'])"
NOISE = "float(state['w'][0])"


def write(folder: Path, score: str, **changes: str) -> Path:
    text = SCRIPT.replace("SCORE", score)
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    (script := folder / "train.py").write_text(text)
    return script


def both_ways(script: Path) -> list[str]:
    """Return what a user reads on standard error, from the script itself and from `ramet run`."""
    command, where = [sys.executable, str(script)], script.parent
    by_itself = subprocess.run(
        command, cwd=where, check=True, capture_output=True, text=True, timeout=PATIENCE_S
    )
    code, _, by_command = called("run", script, "--seed", "0", cwd=where)
    assert code == 0
    return [by_itself.stderr, by_command]


def test_a_run_with_nothing_wrong_ends_in_silence(tmp_path: Path) -> None:
    assert both_ways(write(tmp_path, GETS_BETTER)) == ["", ""]


def test_scores_that_are_no_better_than_the_first_are_said(tmp_path: Path) -> None:
    for said in both_ways(write(tmp_path, NOT_LEARNING)):
        assert said.count("doubtful") == 1
        assert "no later score is better than the best of the first ones" in said
        assert "mode=" in said


def test_hyperparameters_that_are_all_equal_are_said(tmp_path: Path) -> None:
    same = "ramet.PBT(population=6, turn_steps=4, synchronous=True, explore=None, initial=START)"
    script = write(
        tmp_path, GETS_BETTER, **{"ramet.PBT(population=6, turn_steps=4, synchronous=True)": same}
    )
    script.write_text(script.read_text().replace("START", "[{'lr': 0.1}] * 6"))
    for said in both_ways(script):
        assert said.count("doubtful") == 1
        assert "every turn was trained with the same values of ['lr']" in said


def test_hyperparameters_that_never_changed_are_said(tmp_path: Path) -> None:
    tests = "exploit=ramet.TTest(alpha=1e-12), synchronous=True"
    script = write(tmp_path, GETS_BETTER, **{"synchronous=True": tests})
    for said in both_ways(script):
        assert "no turn was trained with changed values of ['lr']" in said


def test_a_best_within_the_noise_is_said(tmp_path: Path) -> None:
    for said in both_ways(write(tmp_path, NOISE)):
        assert said.count("doubtful") == 1
        assert "lies within the noise" in said
        assert "result.final" in said


def test_a_report_says_what_is_doubtful(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    script, store = write(tmp_path, NOISE), tmp_path / "runs.db"
    assert called("run", script, "--seed", "0", cwd=tmp_path)[0] == 0
    page = tmp_path / "page.html"
    assert ramet_command("report", store, "-o", page).exit_code == 0
    assert "lies within the noise" in page.read_text()


class Noise(Descent):
    """Has scores that are noise and nothing else."""

    def evaluate(self, state: dict[str, Any]) -> float:
        return float(np.random.default_rng(zlib.crc32(state["w"].tobytes())).normal())


def kinds(task: Descent, strategy: ramet.Strategy, *, steps: int = 40, seed: int = 0) -> list[str]:
    result = ramet.run(task, SPACE, strategy, steps=steps, mode="max", seed=seed)
    return [doubt.kind for doubt in find_doubts(result)]


def test_a_replay_has_no_doubts() -> None:
    result = ramet.run(Descent(), SPACE, pbt(), steps=40, mode="max", seed=0)
    again = ramet.replay(Noise(), result.schedule(), seeds=range(5))
    assert find_doubts(again.result) == []


@pytest.mark.parametrize(
    "strategy",
    [
        ramet.RandomSearch(population=6, turn_steps=4),
        ramet.Grid([{"lr": lr, "decay": 0.1} for lr in (0.01, 0.1, 0.5)], turn_steps=4),
        ramet.HandTuned(population=3, turn_steps=4, shapes={"lr": ramet.Cosine()}),
        ramet.PBT(population=1, turn_steps=4, exploit=None, explore=None),
    ],
    ids=["random search", "grid", "hand tuned", "one member"],
)
def test_what_differs_or_is_equal_on_purpose_is_not_doubted(strategy: ramet.Strategy) -> None:
    assert kinds(Descent(), strategy, seed=1) == []


@pytest.mark.parametrize("seed", range(6))
def test_noise_is_noticed_and_learning_with_some_noise_is_not(seed: int) -> None:
    assert "noise" in kinds(Noise(), pbt(), steps=80, seed=seed)
    assert kinds(Descent(), pbt(), steps=80, seed=seed) == []


@pytest.mark.parametrize("strategy", [pbt22(22, 4), fire(22, 4)], ids=["PBT", "FIRE"])
def test_a_benchmark_that_learns_under_noise_is_not_doubted(strategy: ramet.Strategy) -> None:
    result = ramet.run(
        Quadratic(), QUADRATIC_SPACE, strategy, steps=20 * TURN_STEPS, mode="max", seed=0
    )
    assert find_doubts(result) == []


class NegatedNoise(Noise):
    """The same noise, as a loss."""

    def evaluate(self, state: dict[str, Any]) -> float:
        return -super().evaluate(state)


def test_a_loss_is_doubted_like_the_score_that_it_is_the_negative_of() -> None:
    low = ramet.run(NegatedNoise(), SPACE, pbt(), steps=80, mode="min", seed=0)
    assert [doubt.kind for doubt in find_doubts(low)] == kinds(Noise(), pbt(), steps=80)


class Capped(Descent):
    """Learns, but scores cannot be higher than the best of the first ones."""

    def evaluate(self, state: dict[str, Any]) -> float:
        return min(super().evaluate(state), -0.1)


def test_members_that_rise_to_the_highest_score_that_there_is_are_not_doubted() -> None:
    result = ramet.run(Capped(), SPACE, pbt(), steps=40, mode="max", seed=0)
    firsts = [row["score"] for row in result.rows() if row["turn"] == 0]
    assert max(firsts) == result.best.score > min(firsts)
    assert find_doubts(result) == []


def test_a_run_without_a_finite_score_has_no_doubts_beside_that() -> None:
    class Unfit(Descent):
        def evaluate(self, state: dict[str, Any]) -> float:
            return math.nan

    result = ramet.run(Unfit(), SPACE, pbt(), steps=8, mode="max", seed=0)
    assert find_doubts(result) == []


def test_a_run_that_is_going_on_has_no_doubts() -> None:
    run = ramet.open(space=SPACE, strategy=pbt(), steps=8, mode="max", seed=0)
    turn = run.ask()
    assert turn is not None
    assert turn.steps == 4
    run.tell(turn, scores=1.0, state={"w": np.ones(1)})
    assert find_doubts(run.result()) == []


@pytest.mark.parametrize("asked", [True, False])
def test_a_run_that_was_stopped_by_a_command_is_not_judged_yet(
    caplog: pytest.LogCaptureFixture, *, asked: bool
) -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": np.zeros(1)}):
            turn.report(-turn.stop)  # It only gets worse.
            if turn.stop >= 40:
                run.stop() if asked else turn.stop_run()

    storage = ramet.Storage(MemoryStore(), blobs=MemoryBlobs())
    strategy = ramet.PBT(population=6, turn_steps=4, synchronous=True)
    settings: dict[str, Any] = {"steps": 400, "mode": "max", "seed": 0, "store": storage}
    run = ramet.open(space=SPACE, strategy=strategy, **settings)
    result = ramet.run(train, SPACE, strategy, **settings)
    assert result.population.why_stopped == ("asked" if asked else "loop")
    assert find_doubts(result)
    assert ("doubtful" in caplog.text) != asked
