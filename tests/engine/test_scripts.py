"""Scripts that train in worker processes, run as people run them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.engine.scripts import ended, findings_in, finished, ran, result_in, started

pytestmark = pytest.mark.slow

# No guard, and everything that workers need defined in it.
SCRIPT = """\
import dataclasses, json, sys
import numpy as np
import ramet
from ramet.strategies import Birth, Copy

SHRINK = 0.5

@dataclasses.dataclass(frozen=True)
class Own:
    '''Everybody below the best copies it.'''
    turn_steps: int = 4
    evaluate_every: int | None = None
    synchronous: bool = True

    def births(self, space, steps, rng):
        return [Birth(hparams=space.sample(rng)) for _ in range(5)]

    def decide(self, population, ready, rng):
        scores = [population[member].score for member in ready]
        best = ready[int(np.argmax(scores))]
        for member in ready:
            if member != best and rng.random() < 0.5:
                yield Copy(member=member, source=best)

@dataclasses.dataclass(frozen=True)
class Shrink:
    def move(self, domain, value, rng):
        return domain.clip(value * SHRINK)

def train(session):
    state = {"w": session.rng.normal(size=3)}
    for turn in session.turns(state):
        for _ in turn:
            state["w"] -= turn.hparams["lr"] * state["w"] + 0.01 * turn.rng.normal(size=3)
        turn.report(-float(state["w"] @ state["w"]))

space = ramet.Space(
    lr=ramet.LogUniform(1e-3, 1.0, explore=Shrink()), where=lambda h: h["lr"] < 2 * SHRINK
)
strategies = {"own": Own(), "pbt": ramet.PBT(population=5, turn_steps=4, synchronous=True)}
kind, store, workers, steps = sys.argv[1:]
result = ramet.run(
    train, space, strategies[kind], steps=int(steps), mode="max", store=store,
    workers=int(workers), seed=0, existing="extend",
)
print(json.dumps([result.best.score, result.population.turns]))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


@pytest.mark.parametrize("kind", ["own", "pbt"])
def test_a_script_may_define_everything_and_needs_no_guard(kind: str, script: Path) -> None:
    store = script.parent / "runs.db"
    alone = json.loads(ran(script, kind, str(script.parent / "alone.db"), "0", "16"))
    together = json.loads(ran(script, kind, str(store), "2", "16"))
    assert together == alone
    assert together[1] == 20
    assert findings_in(store) == []


def test_a_script_goes_on_with_its_run(script: Path) -> None:
    store = script.parent / "runs.db"
    first = json.loads(ran(script, "own", str(store), "1", "8"))
    again = json.loads(ran(script, "own", str(store), "1", "16"))
    once_more = json.loads(ran(script, "own", str(store), "1", "16"))
    assert (first[1], again[1]) == (10, 20)
    assert once_more == again
    assert findings_in(store) == []


def test_scripts_that_train_one_run_at_once_are_more_workers(script: Path) -> None:
    store = script.parent / "runs.db"
    both = [started(script, "pbt", str(store), "1", "200") for _ in range(2)]
    results: list[Any] = []
    for process in both:
        code, out, err = finished(process)
        assert code == 0, err
        results.append(json.loads(out))
    assert results[0] == results[1]
    result = result_in(store)
    assert ended(result) == [(member, turn) for member in range(5) for turn in range(50)]
    assert len({logged.worker for logged in result.log}) >= 2
    assert findings_in(store) == []
    assert json.loads(ran(script, "pbt", str(script.parent / "x.db"), "0", "200")) == results[0]
