"""A log is held against what a run can have written, event by event."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from ramet.errors import CorruptLog
from ramet.events import (
    AnyEvent,
    AttemptFailed,
    CheckpointLost,
    Confirmed,
    Confirming,
    Explored,
    Extended,
    LeftUnread,
    Logged,
    Rested,
    RoundEnded,
    StopAsked,
    Stopped,
    TurnEnded,
    TurnLost,
    decode,
    encode,
    fold,
    follow,
)
from ramet.history import Lineage
from ramet.population import Candidate, Population
from ramet.replica import Replica
from tests.values import copied, opening, turn_ended

BEGUN = fold([opening()])
ENDED = turn_ended(BEGUN[1], 0.1, 0.2)
TRAINED = fold([ENDED], BEGUN)
NEXT = turn_ended(TRAINED[1], 0.3, 0.4)


def log_of(*events: AnyEvent, **columns: Any) -> list[Logged]:
    """Return events as a log has them, from its beginning."""
    at = {"at": 0.0, "worker": "me"} | columns
    return [Logged(number=number, event=event, **at) for number, event in enumerate(events)]


def followed(log: list[Logged], run: str = "lm") -> Population:
    replica = Replica()
    follow(log, replica, run)
    return replica.population


def test_a_log_that_is_whole_is_followed() -> None:
    assert followed(log_of(opening(), ENDED)) == TRAINED


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (opening(), "opened once"),
        (replace(NEXT, turn=0), "of member 1's turn 1, but is of turn 0"),
        (replace(NEXT, turn=10**17), "of member 1's turn 1"),
        (replace(NEXT, trained=4), "used 5 to 20 steps of its budget, but has 4"),
        (replace(NEXT, trained=21), "used 5 to 20 steps of its budget, but has 21"),
        (replace(NEXT, step=5), "must end after step 5"),
        (replace(NEXT, points=((4, 0.5),)), "scores must be of steps 5 to 10"),
        (replace(NEXT, points=((7, 0.5), (7, 0.5))), "each behind the last"),
        (replace(NEXT, points=((11, 0.5),)), "one is of step 11"),
        (replace(NEXT, member=3), "0 to 2, but got 3"),
        (Explored(member=3, hparams={"lr": 0.5}), "what the events before it describe"),
        (TurnLost(member=1, turn=0, why="failed", trained=10), "turn 1, but is of turn 0"),
        (TurnLost(member=1, turn=1, why="failed", trained=99), "has 99"),
        (Rested(member=1, turn=2, trained=10), "is of turn 2"),
        (AttemptFailed(member=1, turn=0, error="", traceback=""), "is of turn 0"),
        (Explored(member=1, hparams={"lr": "x"}), r"'lr' in Uniform.*, but has 'x'"),
        (Explored(member=1, hparams={"lr": 5.0}), "but has 5.0"),
        (Explored(member=1, hparams={}), r"must have the hyperparameters \['lr'\]"),
        (LeftUnread(name="other"), "one of \\['lr'\\], but names 'other'"),
        (RoundEnded(round=1), "round 0 must end, but round 1 does"),
        (Extended(steps=19), "must grow"),
        (StopAsked(member=3, turn=0), "0 to 2, but got 3"),
        (CheckpointLost(member=3, key="", error=""), "0 to 2, but got 3"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_an_event_that_cannot_come_next_is_refused_by_its_number(event: AnyEvent, why: str) -> None:
    with pytest.raises(CorruptLog, match=f"run 'lm' .* event 2 is not: .*{why}"):
        followed(log_of(opening(), ENDED, event))


def test_weights_of_a_turn_that_has_not_ended_are_refused() -> None:
    copy = copied(0, TRAINED[1], weights=True, hparams=False)
    assert copy.weights is not None
    future = replace(copy.weights.checkpoint, turn=1)
    with pytest.raises(CorruptLog, match="turn 1 of member 1 has not"):
        fold([replace(copy, weights=replace(copy.weights, checkpoint=future))], TRAINED)
    with pytest.raises(CorruptLog, match="steps 0 to 5"):
        fold([replace(copy, weights=replace(copy.weights, points=((6, 0.5),)))], TRAINED)


def test_a_checkpoint_that_comes_from_itself_is_refused() -> None:
    copy = copied(1, TRAINED[1], weights=True, hparams=False)
    assert copy.weights is not None
    own = replace(copy, weights=replace(copy.weights, checkpoint=NEXT.checkpoint))
    with pytest.raises(CorruptLog, match="none left checkpoint 1-1-1-1"):
        Lineage([opening(), ENDED, own, NEXT])


@pytest.mark.parametrize(
    "columns",
    [
        *({"at": at} for at in (1e300, -1e17, -1.0, float("nan"), "x", None)),
        *({"took_s": took_s} for took_s in (1e300, -1.0, float("nan"), "x")),
    ],
    ids=str,
)
def test_times_that_are_none_are_refused(columns: dict[str, Any]) -> None:
    with pytest.raises(CorruptLog, match="event 0 is not: it must"):
        followed(log_of(opening(), **columns))


def test_a_log_with_a_gap_or_of_another_run_is_refused() -> None:
    log = log_of(opening(), ENDED, NEXT)
    with pytest.raises(CorruptLog, match="event 2 is not: event 1 must come here"):
        followed([log[0], log[2]])
    with pytest.raises(CorruptLog, match="opens 'lm'"):
        followed(log, run="other")


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the opening as it is kept, with one thing changed."""
    data = msgspec.json.decode(encode(opening()))
    change(data)
    return msgspec.json.encode(data)


@pytest.mark.parametrize(
    "change",
    [
        {"births": []},
        {"space": {}},
        {"space": {"names": 5}},
        {"space": {"names": ["lr"], "domains": [1]}},
        {"space": {"names": ["lr"], "domains": {"lr": {"type": "os.system"}}}},
        {"space": {"names": ["lr"], "domains": {"lr": {"type": "Uniform", "low": 0}}}},
        {"space": {"names": ["lr"], "domains": {"lr": {"type": "Uniform", "low": 1, "high": 0}}}},
        {"space": opening().space | {"names": ["lr", "lr"]}},
        {"space": opening().space | {"where": [5]}},
        {"births": [{"hparams": {"lr": 7.0}}]},
        {"births": [{"hparams": {}}]},
    ],
    ids=str,
)
def test_an_opening_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CorruptLog, match="event 0 is not"):
        followed(log_of(decode(changed(lambda data: data.update(change)))))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1},
        {"seed": "x"},
        {"steps": 0},
        {"ready": 0},
        {"steps": 2**63},
        {"mode": "evil"},
        {"births": [{"hparams": {"lr": [1]}}]},
    ],
    ids=str,
)
def test_an_opening_out_of_range_is_no_event(change: dict[str, Any]) -> None:
    with pytest.raises(CorruptLog, match="an event must be as schema 1 has it"):
        decode(changed(lambda data: data.update(change)))


@pytest.mark.parametrize(
    "change",
    [
        {"member": -1},
        {"turn": -1},
        {"digest": "../../etc/passwd"},
        {"digest": ""},
        {"digest": "a\n"},
        {"points": [[-1, 0.5]]},
        {"step": 1e300},
    ],
    ids=str,
)
def test_a_turn_out_of_range_is_no_event(change: dict[str, Any]) -> None:
    data = msgspec.json.decode(encode(ENDED)) | change
    with pytest.raises(CorruptLog, match="an event must be as schema 1 has it"):
        decode(msgspec.json.encode(data))


def test_seeds_of_any_size_that_a_log_can_hold_are_read_back() -> None:
    seeded = replace(opening(), seed=2**64 - 1)
    assert decode(encode(seeded)) == seeded


def test_a_turn_that_is_refused_leaves_a_readers_view_as_it_was() -> None:
    replica = Replica(BEGUN)
    (logged,) = log_of(replace(ENDED, turn=4))
    with pytest.raises(CorruptLog):
        follow([logged], replica, "lm")
    assert replica.population == BEGUN


def test_points_of_a_turn_may_begin_where_the_last_ended() -> None:
    first: TurnEnded = replace(ENDED, points=((0, 0.1), (5, 0.2)))
    assert fold([first], BEGUN)[1].curve.steps == (0, 5)


GOOD = Candidate(score=0.2, checkpoint=ENDED.checkpoint)
PLAN = Confirming(candidates=(GOOD,), times=2)
SCORE = Confirmed(member=1, turn=0, repeat=0, score=0.25)
STOPPED = [opening(), ENDED, Stopped()]


def moved(**changes: Any) -> Confirming:
    return replace(
        PLAN, candidates=(replace(GOOD, checkpoint=replace(ENDED.checkpoint, **changes)),)
    )


def test_fresh_evaluations_are_followed_until_a_turn_ends() -> None:
    log = [*STOPPED, PLAN, SCORE, replace(SCORE, repeat=1, score=None)]
    now = followed(log_of(*log)).confirmation
    assert now is not None
    assert (now.complete, now.candidates[0].fresh) == (True, (0.25, None))
    assert followed(log_of(*log, replace(PLAN, times=3))).confirmation == replace(now, times=3)
    assert followed(log_of(*log, NEXT)).confirmation is None
    assert Lineage(log).turns[1, 0].score == 0.2


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([replace(PLAN, candidates=())], "must name turns, each once, but names"),
        ([replace(PLAN, candidates=(GOOD, GOOD))], "must name turns, each once"),
        ([moved(turn=1)], "but turn 1 of member 1 is not"),
        ([moved(member=9)], "0 to 2, but got 9"),
        ([moved(row=3)], "row 3 of none"),
        ([replace(PLAN, candidates=(replace(GOOD, fresh=(0.5,)),))], "and no fresh ones"),
        ([replace(PLAN, candidates=(replace(GOOD, score=float("nan")),))], "a finite score"),
        ([SCORE], "turn 0 of member 1 is none"),
        ([PLAN, replace(SCORE, member=0)], "turn 0 of member 0 is none"),
        ([PLAN, replace(SCORE, turn=1)], "turn 1 of member 1 is none"),
        ([PLAN, replace(SCORE, repeat=1)], "evaluation 0 of 2 must come next .* evaluation 1 does"),
        ([PLAN, SCORE, SCORE], "evaluation 1 of 2 must come next"),
        ([replace(PLAN, times=1), SCORE, replace(SCORE, repeat=1)], "evaluation 1 of 1"),
        ([PLAN, replace(PLAN, times=1)], "must not be taken back"),
        ([PLAN, NEXT, SCORE], "turn 0 of member 1 is none"),
        ([PLAN, replace(SCORE, score=float("inf"))], "a finite number or none, but is inf"),
    ],
)
def test_evaluations_that_cannot_have_been_are_refused(events: list[AnyEvent], why: str) -> None:
    with pytest.raises(CorruptLog, match=why):
        followed(log_of(*STOPPED, *events))


def test_a_run_that_goes_on_cannot_have_been_evaluated_again() -> None:
    with pytest.raises(CorruptLog, match="event 2 is not: only a run that is over is confirmed"):
        followed(log_of(opening(), ENDED, PLAN))


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (moved(digest="other"), "none left checkpoint 1-0-other"),
        (moved(step=4), "none left checkpoint"),
        (replace(PLAN, candidates=(replace(GOOD, score=0.9),)), "ended with, 0.2, but .* has 0.9"),
    ],
)
def test_candidates_that_no_turn_left_are_refused(plan: Confirming, why: str) -> None:
    with pytest.raises(CorruptLog, match=why):
        Lineage([*STOPPED, plan])


@pytest.mark.parametrize(
    "change",
    [
        {"times": 0},
        {"times": 10_001},
        {"times": "x"},
        {"candidates": [{"score": 0.5}]},
        {"candidates": 5},
        {"candidates": msgspec.json.decode(encode(PLAN))["candidates"] * 1_001},
    ],
)
def test_a_plan_out_of_range_is_no_event(change: dict[str, Any]) -> None:
    data = msgspec.json.decode(encode(PLAN)) | change
    with pytest.raises(CorruptLog, match="an event must be as schema 1 has it"):
        decode(msgspec.json.encode(data))
    assert decode(encode(PLAN)) == PLAN
    assert decode(encode(SCORE)) == SCORE
