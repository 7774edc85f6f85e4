"""Failures of members: training that raises, and scores that are not finite."""

import logging
import math
from typing import Any

import numpy as np
import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.errors import RunFailed
from ramet.events import AttemptFailed, Copied, TurnLost
from ramet.store import MemoryStore
from tests.engine.loops import SPACE, Descent, descent_loop, pbt


class Breaks(Descent):
    """Raises or scores NaN in some attempts of some turns."""

    def __init__(self, member: int, *, times: int, score: float | None = None) -> None:
        self.member, self.times, self.score = member, times, score
        self.calls = 0

    def loop(self, session: ramet.Session) -> None:
        state = self.init(session.rng)
        for turn in session.turns(state):
            state.update(self.step(state, turn.hparams, turn.steps, turn.rng))
            if turn.member == self.member and turn.number >= 1 and self.calls < self.times:
                self.calls += 1
                if self.score is None:
                    raise ZeroDivisionError("the loss exploded")
                turn.report(self.score)
            else:
                turn.report(self.evaluate(state))


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("synchronous", [False, True])
def test_a_member_without_a_finite_score_is_replaced_and_never_copied(
    score: float, *, synchronous: bool
) -> None:
    train = Breaks(2, times=1, score=score)
    result = ramet.run(
        train.loop, SPACE, pbt(synchronous=synchronous), steps=12, mode="max", seed=0
    )
    copies = [event for event in result.events if isinstance(event, Copied)]
    first = next(event for event in copies if event.member == 2)
    assert first.weights is not None
    assert first.weights.points[-1][1] is not None
    assert math.isfinite(result.best.score)


def test_a_run_without_any_finite_score_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Diverges(Descent):
        def evaluate(self, state: object) -> float:
            return math.nan

    with caplog.at_level(logging.WARNING, "ramet"):
        ramet.run(Diverges(), SPACE, pbt(), steps=24, mode="max", seed=0)
    assert [record.message[:41] for record in caplog.records] == [
        "some turn must end with a finite score, o"
    ]


def test_a_turn_that_raises_once_is_tried_again_from_its_checkpoint(
    caplog: pytest.LogCaptureFixture,
) -> None:
    strategy = pbt(synchronous=True)
    with caplog.at_level(logging.WARNING, "ramet"):
        broken = ramet.run(Breaks(2, times=1).loop, SPACE, strategy, steps=24, mode="max", seed=0)
    whole = ramet.run(Breaks(2, times=0).loop, SPACE, strategy, steps=24, mode="max", seed=0)
    failures = [event for event in broken.events if isinstance(event, AttemptFailed)]
    assert [event for event in broken.events if event not in failures] == whole.events
    assert failures[0].error == "ZeroDivisionError: the loss exploded"
    assert "raise ZeroDivisionError" in failures[0].traceback
    assert "member 2 raised in turn 1" in caplog.text


def raises_in_a_library(state: dict[str, Any]) -> None:
    np.stack([state["w"], np.zeros(2)])


def test_a_failed_attempt_shows_the_users_file_and_line(caplog: pytest.LogCaptureFixture) -> None:
    def train(session: ramet.Session) -> None:
        state = Descent().init(session.rng)
        for turn in session.turns(state):
            list(turn)
            if (turn.member, turn.number) == (2, 1):
                raises_in_a_library(state)
            turn.report(0.0)

    result = ramet.run(train, SPACE, pbt(), steps=8, mode="max", seed=0)
    where = f"{__file__}:{raises_in_a_library.__code__.co_firstlineno + 1}"
    failures = [event for event in result.events if isinstance(event, AttemptFailed)]
    assert [failure.where for failure in failures] == [where, where]
    assert f"must have the same shape ({where})" in caplog.text


def test_an_end_for_too_many_failures_shows_the_users_file_and_line() -> None:
    def train(session: ramet.Session) -> None:
        raise MemoryError(session.member)

    with pytest.raises(RunFailed, match=rf"The last error: .* \({__file__}:\d+\)\. Correct"):
        ramet.run(train, SPACE, pbt(), steps=8, mode="max", seed=0)


@pytest.mark.parametrize("synchronous", [False, True])
def test_a_turn_that_keeps_raising_is_given_up_and_its_member_reborn_by_copy(
    caplog: pytest.LogCaptureFixture, *, synchronous: bool
) -> None:
    strategy = pbt(synchronous=synchronous)
    with caplog.at_level(logging.WARNING, "ramet"):
        result = ramet.run(Breaks(2, times=2).loop, SPACE, strategy, steps=24, mode="max", seed=0)
    said = [record.message for record in caplog.records]
    assert [text.startswith("member 2 raised in turn 1: ") for text in said] == [True, True, False]
    assert said[2].startswith("member 2, turn 1 is given up: it failed too often; its steps ")
    lost = [place for place, event in enumerate(result.events) if isinstance(event, TurnLost)]
    assert len(lost) == 1
    reborn = next(e for e in result.events[lost[0] :] if isinstance(e, Copied) and e.member == 2)
    assert reborn.weights is not None
    assert result.population.done
    assert not any(member.failing or member.lost for member in result.population)


def test_without_copies_a_failing_member_is_tried_at_every_turn_and_the_others_go_on() -> None:
    strategy = ramet.RandomSearch(population=4, turn_steps=4)
    result = ramet.run(Breaks(1, times=10_000).loop, SPACE, strategy, steps=16, mode="max", seed=0)
    assert [member.failing for member in result.population] == [0, 3, 0, 0]
    assert result.population.done


def test_more_retries_are_a_setting() -> None:
    result = ramet.run(
        Breaks(2, times=4).loop,
        SPACE,
        pbt(),
        steps=24,
        mode="max",
        seed=0,
        engine=ramet.Inline(failures=ramet.Failures(retries=4)),
    )
    assert not any(isinstance(event, TurnLost) for event in result.events)


def test_code_that_never_works_stops_the_run_at_once() -> None:
    def train(session: ramet.Session) -> None:
        raise NameError("name 'optimiser' is not defined")

    with pytest.raises(RunFailed, match=r"before 3 attempts fail.*'optimiser'") as caught:
        ramet.run(train, SPACE, pbt(population=20), steps=24, mode="max", seed=0)
    assert isinstance(caught.value.__cause__, NameError)


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_if_no_member_may_fail_the_first_turn_that_raises_too_often_stops_the_run(
    retries: int,
) -> None:
    attempts = []

    def train(session: ramet.Session) -> None:
        attempts.append(session)
        raise NameError("name 'optimiser' is not defined")

    engine = ramet.Inline(failures=ramet.Failures(retries=retries, tolerate=0.0))
    with pytest.raises(RunFailed, match=f"no member may fail .*retries={retries}.*'optimiser'"):
        ramet.run(train, SPACE, pbt(), steps=24, mode="max", seed=0, engine=engine)
    assert len(attempts) == retries + 1


def test_too_many_failing_members_stop_the_run_which_can_be_resumed() -> None:
    def breaks(session: ramet.Session) -> None:
        state = Descent().init(session.rng)
        for turn in session.turns(state):
            if turn.number >= 2:
                raise MemoryError("CUDA out of memory")
            state.update(Descent().step(state, turn.hparams, turn.steps, turn.rng))
            turn.report(Descent().evaluate(state))

    store, blobs = MemoryStore(), MemoryBlobs()
    with pytest.raises(RunFailed, match=r"50%.*4 of 6.*CUDA out of memory"):
        ramet.run(
            breaks,
            SPACE,
            pbt(),
            steps=24,
            mode="max",
            seed=0,
            store=ramet.Storage(store, blobs=blobs),
        )
    result = ramet.run(
        descent_loop,
        SPACE,
        pbt(),
        steps=24,
        mode="max",
        seed=0,
        store=ramet.Storage(store, blobs=blobs),
    )
    assert result.population.done


def test_stopping_by_hand_gives_the_member_back() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            list(turn)
            if turn.number == 1:
                raise KeyboardInterrupt
            turn.report(turn.hparams["lr"] + turn.hparams["decay"])

    store, blobs = MemoryStore(), MemoryBlobs()
    with pytest.raises(KeyboardInterrupt):
        ramet.run(
            train,
            SPACE,
            pbt(),
            steps=8,
            mode="max",
            seed=0,
            store=ramet.Storage(store, blobs=blobs),
        )
    lease = store.claim("run", worker="next", ttl_s=1.0)
    assert lease is not None
    assert lease.member == 0


def test_what_is_raised_before_the_loop_is_the_members_failure() -> None:
    calls: list[int] = []

    def train(session: ramet.Session) -> None:
        calls.append(session.member)
        if calls == [0, 1]:
            raise MemoryError("no room for the model")
        descent_loop(session)

    result = ramet.run(train, SPACE, pbt(), steps=8, mode="max", seed=0)
    failed = [event.member for event in result.events if isinstance(event, AttemptFailed)]
    assert failed == [1]


@pytest.mark.parametrize("size", [10_001, 2_000_000])
def test_a_log_keeps_head_and_tail_of_a_long_message(size: int) -> None:
    class Verbose(Breaks):
        def evaluate(self, state: object) -> float:
            raise ValueError("the weights were " + "7" * size + ", not finite")

    store, blobs = MemoryStore(), MemoryBlobs()
    with pytest.raises(RunFailed, match="characters left out") as failed:
        ramet.run(
            Verbose(0, times=0).loop,
            SPACE,
            pbt(),
            steps=12,
            mode="max",
            seed=0,
            store=ramet.Storage(store, blobs=blobs),
        )
    assert len(str(failed.value)) < 11_000
    (name,) = store.runs()
    events = [logged.event for logged in store.events(name)]
    first = next(event for event in events if isinstance(event, AttemptFailed))
    assert first.error.startswith("ValueError: the weights were 777")
    assert first.error.endswith("777, not finite")
    assert len(first.error) < 10_100
    assert len(first.traceback) < 100_100
    assert first.traceback.startswith("Traceback (most recent call last)")
    assert first.traceback.rstrip().endswith("777, not finite")
