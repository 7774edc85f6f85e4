"""The three ways to hand over training."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.errors import StateError, TurnMisused, UsageError
from ramet.events import TurnEnded, canonical
from ramet.population import Member
from ramet.store import MemoryStore
from ramet.testing import FakeClock
from tests.engine.loops import SPACE, Descent, by_hand, descent_loop, pbt


def test_a_loop_a_task_and_ask_tell_train_the_same_population() -> None:
    strategy = pbt(synchronous=True, evaluate_every=2)
    task = ramet.run(Descent(), SPACE, strategy, steps=24, mode="max", seed=3)
    told = by_hand(list, strategy, seed=3).result()
    assert canonical(task.events) == canonical(told.events)
    # Step by step the loop draws the same batches, so it ends where the task does.
    loop = ramet.run(descent_loop, SPACE, strategy, steps=24, mode="max", seed=3)
    assert canonical(loop.events) == canonical(task.events)


def test_a_space_may_be_a_dict_of_domains() -> None:
    settings: dict[str, Any] = {"strategy": pbt(), "steps": 8, "mode": "max", "seed": 0}
    store = ramet.Storage(MemoryStore(), blobs=MemoryBlobs())
    whole = ramet.run(Descent(), SPACE, **settings)

    as_dict = ramet.run(Descent(), dict(SPACE), store=store, **settings)

    assert as_dict.events == whole.events
    assert ramet.open(store, space=dict(SPACE), **settings).done


def test_every_member_begins_with_weights_of_its_own() -> None:
    strategy = ramet.RandomSearch(population=6, turn_steps=4)
    result = ramet.run(Descent(), SPACE, strategy, steps=4, mode="max", seed=0)
    digests = {event.digest for event in result.events if isinstance(event, TurnEnded)}
    assert len(digests) == 6


def test_a_training_function_is_called_anew_only_for_fresh_members() -> None:
    calls: list[int] = []

    def train(session: ramet.Session) -> None:
        calls.append(session.member)
        descent_loop(session)

    ramet.run(train, SPACE, pbt(), steps=40, mode="max", seed=0)
    assert calls == [0, 1, 2, 3, 4, 5]


def test_a_turn_says_where_it_is() -> None:
    seen: list[tuple[int, int, bool]] = []

    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            assert (turn.start, turn.stop, turn.steps) == (turn.number * 4, turn.trained + 4, 4)
            for step in turn:
                seen.append((step, turn.step, turn.evaluation_due))
                if turn.evaluation_due:
                    turn.report(step)

    strategy = pbt(population=1, exploit=None, evaluate_every=2)
    result = ramet.run(train, SPACE, strategy, steps=8, mode="max", seed=0)
    assert seen[:5] == [(0, 1, False), (1, 2, True), (2, 3, False), (3, 4, True), (4, 5, False)]
    assert result.population[0].curve.steps == (2, 4, 6, 8)


def test_the_last_turn_is_as_short_as_the_budget() -> None:
    result = ramet.run(Descent(), SPACE, pbt(evaluate_every=2), steps=11, mode="max", seed=0)
    assert [member.trained for member in result.population] == [11] * 6
    assert result.population[0].curve.steps[-1] == 11


def test_a_users_loop_may_run_the_steps_without_iterating() -> None:
    def train(session: ramet.Session) -> None:
        task, state = Descent(), Descent().init(session.rng)
        for turn in session.turns(state):
            state.update(task.step(state, turn.hparams, turn.steps, turn.rng))
            turn.report(task.evaluate(state))

    strategy = pbt(synchronous=True)
    own = ramet.run(train, SPACE, strategy, steps=12, mode="max", seed=1)
    task = ramet.run(Descent(), SPACE, strategy, steps=12, mode="max", seed=1)
    assert canonical(own.events) == canonical(task.events)


def test_the_last_report_at_a_step_counts() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            for _ in turn:
                turn.report(1.0)
            turn.report(2.0)

    strategy = ramet.RandomSearch(population=1, turn_steps=4)
    result = ramet.run(train, SPACE, strategy, steps=4, mode="max", seed=0)
    assert result.population[0].curve.scores == (1.0, 1.0, 1.0, 2.0)


def test_a_users_state_is_captured_and_restored() -> None:
    class Net:
        def __init__(self) -> None:
            self.w = 0.0

        def capture(self) -> dict[str, float]:
            return {"w": self.w}

        def restore(self, tree: dict[str, float]) -> None:
            self.w = tree["w"]

    def train(session: ramet.Session) -> None:
        net = Net()
        for turn in session.turns(net):
            list(turn)
            before = net.w
            net.w += session.member + 1 if turn.fresh else 1
            turn.report(before)

    result = ramet.run(train, SPACE, pbt(exploit=None), steps=12, mode="max", seed=0)
    assert [member.score for member in result.population] == [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]


def test_arrays_held_elsewhere_follow_the_member() -> None:
    def train(session: ramet.Session) -> None:
        state = {"w": np.full(2, float(session.member))}
        view = state["w"]
        for turn in session.turns(state):
            list(turn)
            assert view[0] == turn.member
            turn.report(float(view[0]))

    ramet.run(train, SPACE, pbt(exploit=None), steps=12, mode="max", seed=0)


def test_while_every_member_is_out_ask_returns_nothing_until_a_turn_ends() -> None:
    run = ramet.open(space=SPACE, strategy=pbt(population=5), steps=8, mode="max", seed=0)
    turns = [run.ask() for _ in range(6)]
    assert turns[4] is not None
    assert turns[5] is None
    assert not run.done
    list(turns[4])
    run.tell(turns[4], 0.5, state={"w": 1.0})
    again = run.ask()
    assert again is not None
    assert again.member == 4


def test_a_turn_that_was_released_is_asked_for_again() -> None:
    run = ramet.open(space=SPACE, strategy=pbt(), steps=8, mode="max", seed=0)
    turn = run.ask()
    assert turn is not None
    run.release(turn)
    again = run.ask()
    assert again is not None
    assert (again.member, again.number) == (turn.member, turn.number)


ASKING: dict[str, Callable[[ramet.Run], object]] = {
    "ask": ramet.Run.ask,
    "ask_all": ramet.Run.ask_all,
    "foresight": lambda run: run.foresight.claim([], {}),
}


@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING)
def test_turns_that_cannot_be_made_are_given_back(
    ask: Callable[[ramet.Run], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(ramet.RandomSearch):
        def renews(self, member: Member) -> bool:
            raise RuntimeError("broken")

    run = ramet.open(
        space=SPACE, strategy=Broken(population=3, turn_steps=4), steps=8, mode="max", seed=0
    )
    with pytest.raises(RuntimeError, match="broken"):
        ask(run)
    monkeypatch.setattr(Broken, "renews", lambda *_: False)
    assert [turn.member for turn in run.ask_all()] == [0, 1, 2]


def test_a_turn_told_twice_is_refused() -> None:
    run = ramet.open(space=SPACE, strategy=pbt(), steps=8, mode="max", seed=0)
    turn = run.ask()
    assert turn is not None
    list(turn)
    run.tell(turn, 0.5, state={})
    with pytest.raises(TurnMisused, match="a turn must end once"):
        run.tell(turn, 0.5, state={})


def test_scores_are_at_steps_of_the_turn() -> None:
    run = ramet.open(space=SPACE, strategy=pbt(), steps=8, mode="max", seed=0)
    turn = run.ask()
    assert turn is not None
    with pytest.raises(ramet.RametError, match="turn's own steps, 1 to 4, but got one at step 9"):
        run.tell(turn, [(4, 0.1), (9, 0.2)], state={})


def test_a_run_that_is_over_hands_out_nothing() -> None:
    assert by_hand(list, pbt(synchronous=True)).ask() is None


def test_low_scores_win_when_the_mode_says_so() -> None:
    class Loss(Descent):
        def evaluate(self, state: dict[str, object]) -> float:
            return -super().evaluate(state)

    strategy = pbt(synchronous=True)
    low = ramet.run(Loss(), SPACE, strategy, steps=24, seed=0, mode="min")
    high = ramet.run(Descent(), SPACE, strategy, steps=24, mode="max", seed=0)
    assert low.best.score == -high.best.score > 0
    kept = [[logged.event for logged in run.store.events("run")] for run in (low, high)]
    assert kept[0][1:] == kept[1][1:]


@pytest.mark.parametrize("state", [None, 3, [1.0]])
def test_a_state_that_cannot_be_restored_is_refused(state: object) -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns(state):
            turn.report(0.0)

    with pytest.raises(StateError, match=r"capture\(\) and restore"):
        ramet.run(train, SPACE, pbt(), steps=8, mode="max", seed=0)


def test_a_state_that_is_no_tree_is_named_by_its_path() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"layers": [object()]}):
            list(turn)
            turn.report(0.0)

    with pytest.raises(StateError, match=r"state\['layers'\]\[0\] is of type object"):
        ramet.run(train, SPACE, pbt(), steps=8, mode="max", seed=0)


@pytest.mark.parametrize("train", [Descent, 3, "train"])
def test_what_is_neither_function_nor_task_is_refused(train: object) -> None:
    with pytest.raises(UsageError, match=r"must be a function|the class Descent; make one"):
        ramet.run(train, SPACE, pbt(), steps=8, mode="max")


def test_turns_that_take_longer_than_their_lease_are_not_given_out_twice() -> None:
    clock = FakeClock()
    run = ramet.open(
        ramet.Storage(MemoryStore(clock), blobs=MemoryBlobs()),
        space=SPACE,
        strategy=pbt(),
        steps=8,
        mode="max",
        seed=0,
        failures=ramet.Failures(lease_ttl_s=30.0),
        clock=clock,
    )
    turns = []
    for _ in range(6):
        turns.append(run.ask())
        clock.sleep(20.0)
    assert [turn.member for turn in turns if turn is not None] == [0, 1, 2, 3, 4, 5]
