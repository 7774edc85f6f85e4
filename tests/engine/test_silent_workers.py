"""Workers that fall silent in the midst of a turn, and live: their turn ends all the same."""

import logging
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.errors import LeaseLost
from ramet.store import MemoryStore
from ramet.testing import FakeClock
from tests.engine.loops import SPACE
from tests.engine.scripts import findings_in, ran

TTL_S = 30.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def place(clock: FakeClock) -> dict[str, Any]:
    return {
        "store": ramet.Storage(MemoryStore(clock), blobs=MemoryBlobs()),
        "space": SPACE,
        "strategy": ramet.RandomSearch(population=1, turn_steps=4),
        "steps": 8,
        "mode": "max",
        "seed": 0,
        "clock": clock,
        "failures": ramet.Failures(lease_ttl_s=TTL_S),
    }


def asked(run: ramet.Run) -> ramet.Turn:
    turn = run.ask()
    assert turn is not None
    return turn


def test_each_lease_that_is_lost_in_one_turn_is_followed_by_one_twice_as_long(
    place: dict[str, Any], clock: FakeClock
) -> None:
    one, other = (ramet.open(**place, worker=name) for name in ("one", "other"))
    lasts: list[float] = []
    for run in (one, other) * 5:
        lasts.append(asked(run).lease.expires_at - clock.uptime())
        clock.sleep(lasts[-1])
    assert lasts == [TTL_S * times for times in (1, 2, 4, 8, 16, 32, 64, 64, 64, 64)]


def test_a_turn_that_takes_longer_than_its_lease_ends_at_the_second_attempt(
    place: dict[str, Any], clock: FakeClock
) -> None:
    one, other = (ramet.open(**place, worker=name) for name in ("one", "other"))
    silent = asked(one)
    clock.sleep(TTL_S + 1)
    turn = asked(other)
    clock.sleep(TTL_S + 1)
    list(silent)
    with pytest.raises(LeaseLost, match="'other' holds it now"):
        one.tell(silent, 0.5, state={"w": 1.0})
    list(turn)
    other.tell(turn, 0.5, state={"w": 1.0})
    # The next turn is another matter.
    assert asked(one).lease.expires_at == clock.uptime() + TTL_S


def test_no_strategy_decides_on_a_turn_that_another_worker_has_ended(
    place: dict[str, Any], clock: FakeClock
) -> None:
    seen: list[tuple[int, ...]] = []

    class Watching(ramet.RandomSearch):
        def decide(self, population: ramet.Population, ready: Any, rng: Any) -> Any:
            seen.extend(population[id_].curve.steps for id_ in ready)
            return super().decide(population, ready, rng)

    place["strategy"] = Watching(population=1, turn_steps=4)
    one, other = (ramet.open(**place, worker=name) for name in ("one", "other"))
    silent = asked(one)
    clock.sleep(TTL_S + 1)
    turn = asked(other)
    for each in (turn, silent):
        list(each)
    other.tell(turn, 0.5, state={"w": 1.0})
    with pytest.raises(LeaseLost, match="'one' no longer holds member 0"):
        one.tell(silent, 0.25, state={"w": 2.0})
    assert seen == [(4,)]


def test_a_warning_names_the_turn_that_a_worker_fell_silent_in(
    place: dict[str, Any], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    asked(ramet.open(**place, worker="one"))
    clock.sleep(TTL_S + 12.5)
    with caplog.at_level(logging.WARNING, "ramet"):
        asked(ramet.open(**place, worker="other"))
    (warned,) = [record for record in caplog.records if hasattr(record, "silent_s")]
    assert (
        "turn 0 of member 0 of run 'run' sent no sign of life for 42.5 s. Worker 'other' trains "
        "the turn again and holds it for 60 s (leases lost in this turn: 1)"
    ) in warned.getMessage()
    assert "raise lease_ttl_s=30 above the longest call" in warned.getMessage()


# One call keeps all of Python waiting for three times as long as the lease lasts.
HOLDS_GIL = """\
import ctypes
import ramet
from tests.engine.loops import SPACE, Descent, pbt

def train(session):
    task, state = Descent(), Descent().init(session.rng)
    for turn in session.turns(state):
        state.update(task.step(state, turn.hparams, turn.steps, turn.rng))
        if (turn.member, turn.number) == (2, 1):
            ctypes.PyDLL(None).usleep(900_000)
        turn.report(task.evaluate(state))

ramet.run(train, SPACE, pbt(population=5), steps=12, mode="max", seed=0, store="runs.db",
          engine=ramet.Processes(2, failures=ramet.Failures(lease_ttl_s=0.3)))
"""


@pytest.mark.slow
def test_a_call_that_holds_pythons_lock_for_longer_than_the_lease_holds_up_the_run_no_more(
    tmp_path: Path,
) -> None:
    script = tmp_path / "train.py"
    script.write_text(HOLDS_GIL)
    ran(script)
    assert findings_in(tmp_path / "runs.db") == []
