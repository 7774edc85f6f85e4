"""A run is its log: folded whole, in parts, or read back from JSON, it is the same population."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ramet import FIRE, PBT, GaussianProcess, Schedule, Strategy
from ramet.description import describe
from ramet.errors import CorruptLog, StoreError, UnknownSchema
from ramet.events import (
    SCHEMA,
    Annotated,
    AnyEvent,
    AttemptFailed,
    Birth,
    Copied,
    Explored,
    LeftUnread,
    Rested,
    RoundEnded,
    RunOpened,
    TurnEnded,
    TurnLost,
    canonical,
    decode,
    encode,
    fold,
)
from ramet.events.opening import NEWER
from ramet.points import Curve, final_score
from ramet.population import (
    Checkpoint,
    Population,
    Ties,
)
from ramet.schedule import Piece
from ramet.strategies import Replay, from_description
from tests import values
from tests.values import TURN_STEPS, attempt_failed, copied, opening, turn_ended, turn_lost


def happened(*events: AnyEvent) -> Population:
    """Return a population of three after some events."""
    return fold([opening(), *events])


FRESH = happened()
# Member 1 has ended two turns, with an evaluation in the midst of each.
ENDED = turn_ended(FRESH[1], 0.1, 0.2)
TRAINED = happened(ENDED, turn_ended(happened(ENDED)[1], 0.3, 0.4))


@given(data=st.data(), log=values.logs())
def test_a_log_read_in_parts_gives_the_population_of_the_whole(
    data: st.DataObject, log: list[AnyEvent]
) -> None:
    population = None
    for part in parts(data, log):
        population = fold([decode(encode(event)) for event in part], population)

    assert population == fold(log)


@given(order=st.permutations([0, 0, 1, 1, 2, 2]))
@pytest.mark.parametrize(("ties", "best"), [("first", "0-0"), ("latest", "0-1")])
def test_the_best_of_equal_scores_is_the_same_in_whichever_order_turns_end(
    ties: Ties, best: str, order: list[int]
) -> None:
    population = fold([replace(opening(), ties=ties)])
    for member in order:
        population = fold([turn_ended(population[member], 0.5)], population)
    found = population.best
    assert found is not None
    assert found.checkpoint.key.startswith(best)


@given(log=values.logs())
@settings(max_examples=50)
def test_an_event_read_back_is_the_event_that_was_written(log: list[AnyEvent]) -> None:
    assert [decode(encode(event)) for event in log] == log


@given(log=values.logs())
@settings(max_examples=50)
def test_folding_leaves_the_population_it_starts_from_alone(log: list[AnyEvent]) -> None:
    begun, again = fold(log[:1]), fold(log[:1])

    fold(log[1:], begun)

    assert begun == again


@given(log=values.logs())
@settings(max_examples=50)
def test_counters_count_their_events(log: list[AnyEvent]) -> None:
    kinds = [type(event).__name__ for event in log]
    after = (
        kinds[len(kinds) - 1 - kinds[::-1].index("RoundEnded") :]
        if "RoundEnded" in kinds
        else kinds
    )

    population = fold(log)

    assert population.turns == kinds.count("TurnEnded")
    assert population.failures == kinds.count("AttemptFailed")
    assert population.copies == kinds.count("Copied")
    assert population.round == kinds.count("RoundEnded")
    resting = 0 if "RoundEnded" in kinds else sum(birth.rests for birth in log[0].births)
    arrivals = ("TurnEnded", "TurnLost", "Rested")
    assert population.arrived == resting + sum(map(after.count, arrivals))


@given(log=values.logs())
@settings(max_examples=50)
def test_the_best_is_the_highest_score_that_a_turn_ended_with(log: list[AnyEvent]) -> None:
    population = fold(log)
    # With goals, only turns within all bounds count.
    assume(not population.goals)
    last = [
        event.points[-1][1]
        for event in log
        if isinstance(event, TurnEnded) and population[event.member].ranked
    ] + [
        final_score(event.weights.points, event.weights.checkpoint.step)
        for event in log
        if isinstance(event, Copied) and event.weights
        if population[event.member].ranked and not population[event.source].ranked
    ]

    best = population.best

    assert (best and best.score) == max(
        (score for score in last if score is not None), default=None
    )


@given(log=values.logs())
@settings(max_examples=50)
def test_a_members_curve_leads_to_its_step(log: list[AnyEvent]) -> None:
    for member in fold(log):
        assert list(member.curve.steps) == sorted(set(member.curve.steps))
        assert not member.curve.steps or member.curve.steps[-1] == member.step
        assert (member.checkpoint.step if member.checkpoint else 0) == member.step


def test_a_run_opens_with_its_births() -> None:
    births = [Birth(hparams={"lr": 0.1}, group=2, data={"base": 1}), Birth(hparams={"lr": 0.2})]

    population = fold([opening(births=births)])

    assert [(m.id, m.hparams, m.group, m.data) for m in population] == [
        (0, {"lr": 0.1}, 2, {"base": 1}),
        (1, {"lr": 0.2}, 0, None),
    ]
    assert population.space == values.UNIT
    assert not population.done


def test_a_turn_adds_to_the_curve_and_leaves_a_checkpoint() -> None:
    member = TRAINED[1]

    assert (member.turn, member.trained, member.step) == (2, 10, 10)
    assert member.curve == Curve(steps=(2, 5, 7, 10), scores=(0.1, 0.2, 0.3, 0.4))
    assert member.checkpoint == Checkpoint(member=1, turn=1, step=10, digest="1-1")
    assert member.score == 0.4


def test_a_score_that_was_not_finite_is_nan_in_the_curve_and_never_the_best() -> None:
    population = happened(turn_ended(FRESH[0], None))

    assert math.isnan(population[0].score or 0)
    assert population.best is None
    assert population[0].curve.points() == ((5, None),)


def test_a_failed_attempt_changes_nothing_but_its_counts() -> None:
    population = happened(attempt_failed(FRESH[0]), attempt_failed(FRESH[0]))

    assert msgspec.structs.replace(population[0], attempts=0) == FRESH[0]
    assert (population[0].attempts, population.failures, population.arrived) == (2, 2, 0)


def test_a_lost_turn_spends_its_steps_and_the_score() -> None:
    population = fold([attempt_failed(TRAINED[1]), turn_lost(TRAINED[1])], TRAINED)

    member = population[1]
    assert (member.trained, member.step, member.turn, member.attempts) == (15, 10, 3, 0)
    assert math.isnan(member.score or 0)
    assert member.checkpoint == TRAINED[1].checkpoint


def test_a_turn_that_ends_after_a_lost_one_has_a_score_again() -> None:
    lost = fold([turn_lost(TRAINED[1])], TRAINED)

    assert fold([turn_ended(lost[1], 0.5)], lost)[1].score == 0.5


def test_weights_bring_their_last_score_and_leave_the_budget_used() -> None:
    before = fold([turn_lost(TRAINED[0])], TRAINED)

    after = fold([copied(0, before[1], weights=True, hparams=False)], before)[0]

    assert after.curve == Curve(steps=(10,), scores=(0.4,))
    assert (after.step, after.trained, after.turn) == (10, 5, 1)
    assert after.checkpoint == before[1].checkpoint
    assert after.hparams == before[0].hparams


def test_a_copy_of_earlier_weights_takes_training_back_unless_they_are_only_measured() -> None:
    ahead = fold([turn_ended(TRAINED[0], 0.5), turn_ended(TRAINED[1], 0.5)], TRAINED)
    copy = copied(1, ahead[0], weights=True, hparams=False)
    behind = ahead[1].step - ahead[0].step

    assert behind > 0
    assert fold([copy], ahead).undone == behind
    assert fold([replace(copy, kind="success")], ahead).undone == behind
    assert fold([replace(copy, kind="evaluation")], ahead).undone == 0


def test_weights_may_bring_their_whole_curve() -> None:
    copy = copied(0, TRAINED[1], weights=True, hparams=False, whole_curve=True)

    assert fold([copy], TRAINED)[0].curve == TRAINED[1].curve


def test_hyperparameters_alone_leave_the_weights_and_the_curve() -> None:
    after = fold([copied(1, TRAINED[0], weights=False, hparams=True)], TRAINED)[1]

    assert after == msgspec.structs.replace(TRAINED[1], hparams=TRAINED[0].hparams, copies=1)


def test_a_copy_brings_what_it_was_decided_on_whatever_happened_since() -> None:
    copy = copied(0, TRAINED[1], weights=True, hparams=True)
    moved_on = fold([Explored(member=1, hparams={"lr": 0.9})], TRAINED)

    assert fold([copy], moved_on)[0].hparams == TRAINED[1].hparams


def test_a_note_is_kept_on_its_member_or_on_the_population() -> None:
    population = happened(Annotated(member=2, data={"a": 1}), Annotated(member=None, data=[1]))

    assert (population[2].data, population.data) == ({"a": 1}, [1])


def test_a_round_that_ended_awaits_everybody_again() -> None:
    population = happened(*(turn_ended(member, 0.1) for member in FRESH), RoundEnded(round=0))

    assert (population.round, population.arrived) == (1, 0)


def test_of_equal_scores_the_best_is_of_the_first_turn_and_the_lowest_member() -> None:
    events = [turn_ended(member, 0.5) for member in FRESH]

    one, other = happened(*events), happened(*reversed(events))

    assert one.best == other.best
    assert one.best is not None
    assert one.best.checkpoint.member == 0


def test_a_run_is_done_when_everybody_has_used_the_budget() -> None:
    population = FRESH
    for _ in range(4):
        assert not population.done
        population = fold([turn_lost(population[0])], population)
        population = fold(
            [turn_ended(member, 0.1) for member in population.members[1:]], population
        )

    assert population.done
    assert population.is_finished(0)


def test_who_rests_spends_its_steps_and_is_not_waited_for() -> None:
    population = happened(Rested(member=1, turn=0, trained=5))
    assert (population[1].turn, population[1].trained, population[1].step) == (1, 5, 0)
    assert population.arrived == 1
    assert population.turns == 0


def test_who_rests_from_birth_has_a_turn_behind_it() -> None:
    births = [Birth(hparams={"lr": 0.1}), Birth(hparams={"lr": 0.2}, rests=True)]
    population = fold([opening(births=births)])
    assert [(m.turn, m.trained) for m in population] == [(0, 0), (1, TURN_STEPS)]
    assert population.arrived == 1


def test_the_best_is_of_those_that_count_and_of_what_they_are_handed() -> None:
    births = [Birth(hparams={"lr": 0.1}), Birth(hparams={"lr": 0.2}, ranked=False)]
    start = fold([opening(births=births)])
    other = turn_ended(start[1], 0.9)
    population = fold([turn_ended(start[0], 0.5), other], start)
    assert population.best is not None
    assert population.best.score == 0.5

    handed = fold([copied(0, population[1], weights=True, hparams=False)], population)
    assert handed.best is not None
    assert (handed.best.score, handed.best.checkpoint) == (0.9, other.checkpoint)


def test_an_empty_log_is_refused() -> None:
    with pytest.raises(StoreError, match="must begin with RunOpened"):
        fold([])


def test_a_log_that_lost_its_beginning_is_refused() -> None:
    with pytest.raises(StoreError, match="must begin with RunOpened"):
        fold([turn_lost(FRESH[0])])


def test_an_event_of_another_schema_is_refused_with_both_versions() -> None:
    newer = msgspec.json.encode({"event": "Teleported", "v": 7, "to": "Mars"})

    with pytest.raises(UnknownSchema, match=rf"schema {SCHEMA} can be read.* is of schema 7"):
        decode(newer)


@given(data=st.data(), log=values.logs())
@settings(max_examples=50)
def test_a_canonical_log_depends_on_no_order_of_arrival(
    data: st.DataObject, log: list[AnyEvent]
) -> None:
    assert canonical(data.draw(interleavings(log))) == canonical(log)


@given(log=values.logs())
@settings(max_examples=50)
def test_a_canonical_log_tells_of_the_same_members(log: list[AnyEvent]) -> None:
    told = canonical(log)

    assert canonical(told) == told
    assert fold(told).members == fold(log).members
    assert fold(told).best == fold(log).best


def test_a_canonical_log_has_each_rounds_turns_in_member_order() -> None:
    first, second, third = (turn_ended(member, 0.1) for member in FRESH)
    unread, ended = LeftUnread(name="lr"), RoundEnded(round=0)

    assert canonical([third, unread, first, second, ended, second, first]) == [
        *(first, second, third, unread, ended),
        *(first, second),
    ]


def parts(data: st.DataObject, log: list[AnyEvent]) -> Iterator[list[AnyEvent]]:
    """Yield a log in batches of drawn sizes."""
    while log:
        size = data.draw(st.integers(1, len(log)))
        yield log[:size]
        log = log[size:]


@st.composite
def interleavings(draw: values.Draw, log: list[AnyEvent]) -> list[AnyEvent]:
    """Draw another order of arrival: each member's own turns stay in their order."""
    told: list[AnyEvent] = []
    waiting: dict[object, list[AnyEvent]] = {}
    for event in [*log, None]:
        match event:
            case TurnEnded() | TurnLost() | AttemptFailed():
                waiting.setdefault(event.member, []).append(event)
            case LeftUnread():
                waiting.setdefault(event.name, []).append(event)
            case _:
                while waiting:
                    queue = waiting[draw(st.sampled_from(list(waiting)))]
                    told.append(queue.pop(0))
                    waiting = {key: rest for key, rest in waiting.items() if rest}
                told += [] if event is None else [event]
    return told


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"v": "one"}', b'{"event": "RunOpened"}', b'{"v": 1}']
)
def test_what_is_no_event_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptLog, match="an event must be"):
        decode(data)


def test_an_event_with_a_field_missing_is_refused() -> None:
    with pytest.raises(CorruptLog, match=r"as schema 1 has it, but .*`round`"):
        decode(b'{"v": 1, "event": "RoundEnded"}')


def test_a_member_given_other_weights_is_no_longer_lost() -> None:
    lost = fold([values.turn_lost(TRAINED[0])], TRAINED)
    rescued = fold([values.copied(0, TRAINED[1], weights=True, hparams=True)], lost)
    kept = fold([values.copied(0, TRAINED[1], weights=False, hparams=True)], lost)

    assert (lost[0].lost, rescued[0].lost, kept[0].lost) == (True, False, True)
    assert (rescued[0].score, rescued[0].weights_score) == (None, TRAINED[1].score)
    assert rescued[0].failing == 1


def test_what_two_workers_say_is_unread_is_unread_once() -> None:
    assert fold([LeftUnread(name="lr"), LeftUnread(name="lr")], TRAINED).unread == ("lr",)


def test_a_score_that_came_with_weights_is_the_donors_until_the_next_turn() -> None:
    copied = fold([values.copied(0, TRAINED[1], weights=True, hparams=True)], TRAINED)
    assert (copied[0].score, copied[0].own_scores) == (None, ())
    assert copied[0].weights_score == TRAINED[1].score

    ended = values.turn_ended(copied[0], 0.6, 0.7)
    trained = fold([ended], copied)
    assert trained[0].score == ended.points[-1][1]
    assert trained[0].own_scores == tuple(score for _, score in ended.points)
    assert trained[1].score == TRAINED[1].score


def test_a_member_that_rests_keeps_its_score() -> None:
    before = TRAINED[1]
    rested = fold([Rested(member=1, turn=before.turn, trained=before.trained + 5)], TRAINED)
    assert (rested[1].score, rested[1].untried) == (before.score, False)
    assert before.score is not None


def test_a_copy_of_hyperparameters_alone_leaves_a_member_its_score() -> None:
    copied = fold([values.copied(0, TRAINED[1], weights=False, hparams=True)], TRAINED)
    assert (copied[0].score, copied[0].own_scores) == (TRAINED[0].score, TRAINED[0].own_scores)


@pytest.mark.parametrize("kind", ["fallback", "rebirth", "success", "evaluation"])
def test_weights_from_elsewhere_come_without_a_score_whatever_brings_them(kind: str) -> None:
    copy = msgspec.structs.replace(
        values.copied(0, TRAINED[1], weights=True, hparams=False), kind=kind
    )
    assert fold([copy], TRAINED)[0].score is None


def test_a_log_from_before_turn_steps_had_that_name_is_the_same_run() -> None:
    strategy = {"type": "PBT", "population": 3, "turn_steps": TURN_STEPS}
    now = replace(opening(), strategy=strategy)
    before = encode(now).replace(b'"turn_steps":', b'"ready":')
    assert before != encode(now)
    assert decode(before) == now


def test_strategies_within_a_strategy_are_renamed_in_an_older_log_as_well() -> None:
    inner = {"type": "PBT", "population": 3, "turn_steps": TURN_STEPS, "evaluate_every": None}
    now = replace(opening(), strategy={"type": "Own", "inner": inner, "others": [inner]})
    before = encode(now).replace(b'"turn_steps":', b'"ready":')
    assert decode(before) == now


def test_a_setting_called_ready_beside_turn_steps_is_left_alone() -> None:
    own = replace(opening(), strategy={"type": "Own", "ready": 1, "turn_steps": TURN_STEPS})
    assert decode(encode(own)) == own
    assert own.strategy["ready"] == 1


def read_strategy(strategy: dict[str, Any]) -> dict[str, Any]:
    """Return a strategy as it is read from a log that has it like this."""
    read = decode(encode(replace(opening(), strategy=strategy)))
    assert isinstance(read, RunOpened)
    return read.strategy


def test_settings_that_an_older_log_lacks_are_what_was_done_then() -> None:
    inner = {"type": "FIRE", "size": 4}
    before = read_strategy({"type": "Controlled", "strategy": inner})
    assert before["strategy"] == {**inner, "synchronous": True, "greedy_explore": None}
    assert read_strategy({**inner, "synchronous": False})["synchronous"] is False


@pytest.mark.parametrize(
    "strategy",
    [
        FIRE.for_workers(22, turn_steps=TURN_STEPS, evaluate_every=1),
        PBT(population=8, turn_steps=TURN_STEPS, explore=GaussianProcess()),
        Replay.by(Schedule([Piece(start=0, stop=8, hparams={"lr": 0.1})]), seeds=[0, 1]),
    ],
)
def test_strategies_are_rebuilt_from_an_older_log(strategy: Strategy) -> None:
    described = describe(strategy)
    newer = {name for settings in NEWER.values() for name in settings}
    before = json.dumps(described)
    for name in newer - {"synchronous"}:
        before = re.sub(rf', "{name}": ("redraw"|null|\[\])', "", before)
    assert json.loads(before) != described
    assert from_description(read_strategy(json.loads(before))) == strategy
