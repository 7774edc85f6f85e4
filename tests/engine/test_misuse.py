"""Mistakes in a loop's use of ramet: each ends the run at once, and names its remedy."""

from collections.abc import Callable
from typing import Any

import pytest

import ramet
from ramet.errors import ScoreError, TurnMisused, UnknownAttribute, UsageError
from ramet.events import AttemptFailed
from tests.engine.loops import SPACE, Descent, pbt

TASK = Descent()


def loop(train: Callable[[ramet.Turn, dict[str, Any]], object]) -> Callable[[ramet.Session], None]:
    """Return a training function whose turns are trained by another function."""

    def whole(session: ramet.Session) -> None:
        state = TASK.init(session.rng)
        for turn in session.turns(state):
            train(turn, state)
            turn.report(TASK.evaluate(state))

    return whole


def run(train: Callable[[ramet.Turn, dict[str, Any]], object], **settings: Any) -> ramet.Result:
    return ramet.run(loop(train), SPACE, pbt(), steps=24, mode="max", seed=0, **settings)


def fixed(turn: ramet.Turn, state: dict[str, Any]) -> None:
    """Train a number of steps of one's own."""
    state.update(TASK.step(state, turn.hparams, 20, turn.rng))


def test_a_loop_that_never_asks_how_long_its_turn_is_is_refused() -> None:
    with pytest.raises(
        TurnMisused, match=r"for its 4 steps, but the loop never asked turn 0 of me"
    ):
        run(fixed)


def test_a_turn_that_ended_without_asking_how_long_it_is_is_refused() -> None:
    opened = ramet.open(space=SPACE, strategy=pbt(), steps=24, mode="max", seed=0)
    turn = opened.ask()
    assert turn is not None
    with pytest.raises(TurnMisused, match=r"or train turn\.steps steps in a loop of your own"):
        opened.tell(turn, 0.5, state={"w": 0.0})
    assert turn.steps == 4
    opened.tell(turn, 0.5, state={"w": 0.0})


@pytest.mark.parametrize(
    "asks",
    [
        list,
        lambda turn: list(turn.stretches()),
        lambda turn: turn.steps,
        lambda turn: turn.stop,
    ],
    ids=["steps", "stretches", "how many", "until when"],
)
def test_a_loop_that_asks_in_any_way_how_long_its_turn_is_is_trained(
    asks: Callable[[ramet.Turn], object],
) -> None:
    assert run(lambda turn, state: (asks(turn), fixed(turn, state))).population.done


def test_showing_a_turn_is_not_asking_how_long_it_is() -> None:
    with pytest.raises(TurnMisused):
        run(lambda turn, state: (repr(turn), turn.step, fixed(turn, state)))


def test_an_attribute_that_a_turn_does_not_have_ends_the_run_and_names_the_nearest() -> None:
    with pytest.raises(UnknownAttribute, match=r"no attribute 'hparam'; did you mean 'hparams'"):
        run(lambda turn, state: turn.hparam)


def test_an_attribute_that_a_member_does_not_have_ends_the_run_and_names_the_nearest() -> None:
    def train(session: ramet.Session) -> None:
        session.turn({})

    with pytest.raises(UnknownAttribute, match=r"type Session .* 'turn'; did you mean 'turns'"):
        ramet.run(train, SPACE, pbt(), steps=24, mode="max", seed=0)


def test_whether_a_turn_has_an_attribute_can_be_asked() -> None:
    run(lambda turn, state: (list(turn), hasattr(turn, "elsewhere") and 1 / 0))


def test_an_attribute_missing_from_the_loops_own_things_is_the_members_failure() -> None:
    def once(turn: ramet.Turn, state: dict[str, Any]) -> None:
        list(turn)
        if (turn.member, turn.number) == (2, 1):
            state["w"].hparam  # noqa: B018 - an array has none

    events = run(once).events
    assert [event.member for event in events if isinstance(event, AttemptFailed)] == [2, 2]


def test_misuse_that_is_reported_as_a_failure_ends_the_run_all_the_same() -> None:
    opened = ramet.open(space=SPACE, strategy=pbt(), steps=24, mode="max", seed=0)
    turn = opened.ask()
    assert turn is not None
    with pytest.raises(UsageError) as misuse:
        turn.report("0.9")
    with pytest.raises(ScoreError, match="must be one number"):
        opened.fail(turn, misuse.value)
    assert not opened.holds(turn)
    assert not [event for event in opened.result().events if isinstance(event, AttemptFailed)]


@pytest.mark.slow
def test_misuse_in_a_worker_process_is_not_tried_again(tmp_path: Any) -> None:
    store = tmp_path / "runs.db"
    with pytest.raises(UnknownAttribute, match="did you mean 'hparams'"):
        run(lambda turn, state: turn.hparam, workers=2, store=store)
    events = ramet.history.load(store).events
    assert not [event for event in events if isinstance(event, AttemptFailed)]
