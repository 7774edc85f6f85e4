"""What a run comes to."""

import math
from typing import Any

import msgspec
import numpy as np
import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.errors import CheckpointMissing, NoBest, StateError
from ramet.events import Copied, Explored, RoundEnded, RunOpened, decode, encode
from ramet.store import MemoryStore
from tests.engine.loops import SPACE, Descent, pbt


class Counts(Descent):
    """Keeps in its state the learning rate of each step."""

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        return {**super().init(rng), "rates": []}

    def step(
        self, state: dict[str, Any], hparams: Any, steps: int, rng: np.random.Generator
    ) -> dict[str, Any]:
        after = super().step(state, hparams, steps, rng)
        return {**after, "rates": [*state["rates"], *[hparams["lr"]] * steps]}


@pytest.mark.parametrize("copies", ["both", "weights", "hparams"])
@pytest.mark.parametrize("synchronous", [False, True])
def test_the_schedule_is_what_the_best_weights_were_trained_with(
    copies: Any, *, synchronous: bool
) -> None:
    strategy = pbt(copies=copies, synchronous=synchronous, exploit=ramet.Truncation(0.4))
    for seed in range(5):
        result = ramet.run(Counts(), SPACE, strategy, steps=40, mode="max", seed=seed)
        schedule, rates = result.schedule(), result.best.load()["rates"]
        assert [schedule(step)["lr"] for step in range(result.best.step)] == rates
        assert [piece.start for piece in schedule.pieces[1:]] == [
            piece.stop for piece in schedule.pieces[:-1]
        ]
        assert schedule.pieces[-1].hparams == result.best.hparams


def test_the_best_is_the_best_score_that_any_turn_ended_with() -> None:
    result = ramet.run(Descent(), SPACE, pbt(), steps=40, mode="max", seed=0)
    ended = [event.points[-1][1] for event in result.events if hasattr(event, "points")]
    assert result.best.score == max(ended)
    assert Descent().evaluate(result.best.load()) == result.best.score


class Perfect(Descent):
    """Reaches the best score there is at once, and goes on."""

    def evaluate(self, state: dict[str, Any]) -> float:
        return 1.0


@pytest.mark.parametrize("synchronous", [False, True])
def test_of_equal_scores_the_latest_is_the_best(*, synchronous: bool) -> None:
    result = ramet.run(Perfect(), SPACE, pbt(synchronous=synchronous), steps=40, mode="max", seed=0)
    assert result.best.step == 40
    assert result.best.load()["seen"] == 40


def test_a_run_from_before_that_goes_on_with_its_first_best() -> None:
    now = ramet.run(Perfect(), SPACE, pbt(), steps=8, mode="max", seed=0).opening
    written = msgspec.json.decode(encode(now))
    del written["ties"]
    before = decode(msgspec.json.encode(written))
    assert isinstance(before, RunOpened)

    place: dict[str, Any] = {"store": ramet.Storage(MemoryStore(), blobs=MemoryBlobs())}
    place["store"].store.open_run(before, worker="an older ramet")
    for steps in (8, 40):
        result = ramet.run(
            Perfect(), SPACE, pbt(), steps=steps, mode="max", existing="extend", **place
        )
        assert result.best.step == 4
        assert result.best.load()["seen"] == 4


class Lucky(Descent):
    """Is measured with luck: far better than it is, in member 2's second turn."""

    def evaluate(self, state: dict[str, Any]) -> float:
        return 9.0 if state["seen"] == 8 and state["w"][0] < 0 else super().evaluate(state)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_final_is_the_best_as_members_stand_at_the_end(mode: Any) -> None:
    sign = 1 if mode == "max" else -1

    class Measured(Lucky):
        def evaluate(self, state: dict[str, Any]) -> float:
            return sign * super().evaluate(state)

    result = ramet.run(Measured(), SPACE, pbt(exploit=None), steps=40, seed=0, mode=mode)
    assert (result.best.score, result.best.step, result.best.trained) == (sign * 9.0, 8, 8)
    assert [member.step for member in result.members] == [40] * 6
    scores = [Measured().evaluate(member.load()) for member in result.members]
    assert [member.score for member in result.members] == scores
    assert sign * result.final.score == max(sign * score for score in scores)
    assert result.final == result.members[result.final.member]
    assert result.schedule(result.final.member).source.score == result.final.score


@pytest.mark.parametrize("copies", ["both", "weights", "hparams"])
@pytest.mark.parametrize("synchronous", [False, True])
def test_a_member_has_the_score_and_values_of_the_weights_that_it_stands_on(
    copies: Any, *, synchronous: bool
) -> None:
    strategy = pbt(copies=copies, synchronous=synchronous, exploit=ramet.Truncation(0.4))
    run = ramet.open(space=SPACE, strategy=strategy, steps=40, mode="max", seed=0)
    seen = set()
    while (turn := run.ask()) is not None:
        state = turn.load(default=Counts().init)
        state = Counts().step(state, turn.hparams, turn.steps, turn.rng)
        run.tell(turn, scores=Counts().evaluate(state), state=state)
        if run.population.turns % 6:
            continue
        for member, now in zip(run.result().members, run.population, strict=True):
            loaded = member.load()
            assert Counts().evaluate(loaded) == member.score
            assert loaded["rates"][-1] == member.hparams["lr"]
            assert (member.step, member.trained) == (len(loaded["rates"]), now.trained)
            seen.add(member.checkpoint.member == member.member)
    assert seen == ({True} if copies == "hparams" else {True, False})


def test_the_final_of_fire_is_of_its_first_sub_population() -> None:
    fire = ramet.FIRE(turn_steps=4, evaluate_every=1, size=3)
    result = ramet.run(Descent(), SPACE, fire, steps=48, mode="max", seed=0)
    ranked = [member.id for member in result.population if member.ranked]
    assert len(ranked) < len(result.population)
    assert result.final.member in ranked
    assert result.final.score == max(result.members[member].score for member in ranked)


def test_members_without_a_score_are_no_final() -> None:
    class Fails(Descent):
        def evaluate(self, state: dict[str, Any]) -> float:
            return super().evaluate(state) if state["seen"] < 8 else float("nan")

    result = ramet.run(Fails(), SPACE, pbt(exploit=None), steps=8, mode="max", seed=0)
    assert result.best.step == 4
    assert all(math.isnan(member.score) for member in result.members)
    with pytest.raises(NoBest, match="a finite score of its present weights, but no member has"):
        _ = result.final


def test_a_member_that_has_ended_no_turn_has_values_and_nothing_to_load() -> None:
    result = ramet.open(space=SPACE, strategy=pbt(), steps=8, mode="max", seed=0).result()
    member = result.members[3]
    assert (member.step, member.trained) == (0, 0)
    assert member.hparams == result.population[3].hparams
    with pytest.raises(NoBest, match="but member 3 has ended none"):
        member.load()


@pytest.mark.parametrize("keep", ["lineage", "live", "all"])
def test_members_can_be_loaded_at_the_end(keep: Any) -> None:
    place: dict[str, Any] = {"store": ramet.Storage(MemoryStore(), blobs=MemoryBlobs(), keep=keep)}
    result = ramet.run(Lucky(), SPACE, pbt(exploit=None), steps=40, mode="max", seed=0, **place)
    for member in result.members:
        assert Lucky().evaluate(member.load()) == member.score
    if keep == "live":
        law = r"has keep='live', and keeps only what members stand on .* result.final is the best"
        with pytest.raises(CheckpointMissing, match=law):
            result.best.load()


def test_who_keeps_only_the_best_has_no_members_to_load() -> None:
    place: dict[str, Any] = {
        "store": ramet.Storage(MemoryStore(), blobs=MemoryBlobs(), keep="best")
    }
    result = ramet.run(Lucky(), SPACE, pbt(exploit=None), steps=40, mode="max", seed=0, **place)
    assert result.best.load()["seen"] == 8
    with pytest.raises(CheckpointMissing, match=r"only the best, not member 3's: result.best.load"):
        result.members[3].load()


def test_a_member_of_a_run_that_went_on_is_to_be_read_again() -> None:
    place: dict[str, Any] = {"store": ramet.Storage(MemoryStore(), blobs=MemoryBlobs()), "seed": 0}
    before = ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", **place)
    ramet.run(Descent(), SPACE, pbt(), steps=40, mode="max", existing="extend", **place)
    with pytest.raises(CheckpointMissing, match="gone on since its result was read, open it again"):
        before.members[0].load()


def test_a_state_is_loaded_into_the_one_that_is_there() -> None:
    result = ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", seed=0)
    state = {"w": np.zeros(3), "seen": 0}
    weights = state["w"]
    assert result.best.load(into=state) is state
    assert state["w"] is weights
    assert Descent().evaluate(state) == result.best.score

    class Machine:
        def restore(self, tree: Any) -> None:
            self.tree = tree

    machine = result.best.load(into=Machine())
    assert Descent().evaluate(machine.tree) == result.best.score


def test_what_no_state_can_be_loaded_into_is_refused() -> None:
    result = ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", seed=0)
    with pytest.raises(StateError, match=r"\['w', 'seen'\] and the dict \['params'\]"):
        result.best.load(into={"params": np.zeros(3)})
    with pytest.raises(StateError, match=r"has restore\(tree\), but got an object of type nd"):
        result.best.load(into=np.zeros(3))


def test_results_of_equal_runs_are_alike_and_short_to_print() -> None:
    one, other = (ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", seed=0) for _ in range(2))
    assert one.best == other.best
    assert repr(one) == (
        f"Result('run': 6 members, 12 turns, 0 copies, best {one.best.score:.6g}, seed 0)"
    )
    assert repr(one.population).startswith("Population(6 members, 12 turns, 0 copies, best ")


def test_the_best_state_is_a_copy_to_write_on() -> None:
    result = ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", seed=0)
    result.best.load()["w"][:] = 0.0
    assert Descent().evaluate(result.best.load()) == result.best.score


def test_a_run_without_a_finite_score_has_no_best() -> None:
    class Fails(Descent):
        def evaluate(self, state: dict[str, Any]) -> float:
            return float("nan")

    result = ramet.run(Fails(), SPACE, pbt(), steps=8, mode="max", seed=0)
    with pytest.raises(ramet.RametError, match="a finite score, but none of 12 did"):
        _ = result.best


def test_memory_holds_no_more_checkpoints_than_members_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[MemoryBlobs] = []

    def make() -> MemoryBlobs:
        made.append(MemoryBlobs())
        return made[-1]

    monkeypatch.setattr("ramet.places.MemoryBlobs", make)
    ramet.run(Descent(), SPACE, pbt(), steps=400, mode="max", seed=0)
    # Those of 6 members and the best one, and what came since the last pruning.
    assert 0 < len(made[0].sizes("run")) <= 7 + 8


def test_a_member_trains_with_what_it_explored_after_it_copied() -> None:
    used: dict[tuple[int, int], float] = {}

    def train(session: ramet.Session) -> None:
        state = Descent().init(session.rng)
        for turn in session.turns(state):
            used[turn.member, turn.number] = turn.hparams["lr"]
            state.update(Descent().step(state, turn.hparams, turn.steps, turn.rng))
            turn.report(Descent().evaluate(state))

    result = ramet.run(train, SPACE, pbt(synchronous=True), steps=24, mode="max", seed=0)
    turn = 0
    copied: dict[int, float] = {}
    explored = 0
    for event in result.events:
        if isinstance(event, Copied):
            assert event.hparams is not None
            copied[event.member] = float(str(event.hparams["lr"]))
        elif isinstance(event, Explored):
            explored += 1
            lr = event.hparams["lr"]
            assert lr in {copied[event.member] * 0.8, min(copied[event.member] * 1.2, 1.0)}
            assert used[event.member, turn + 1] == lr
        elif isinstance(event, RoundEnded):
            turn += 1
    assert explored == result.population.copies == 5


def test_trained_and_step_part_when_an_asynchronous_member_copies_one_that_is_ahead() -> None:
    run = ramet.open(
        space=SPACE,
        strategy=pbt(population=2, exploit=ramet.Truncation(0.5)),
        steps=80,
        mode="max",
        seed=0,
    )
    behind = run.ask()
    assert behind is not None
    for number in range(3):
        ahead = run.ask()
        assert ahead is not None
        list(ahead)
        run.tell(ahead, 1.0 + number, state={"w": 1.0})
    list(behind)
    run.tell(behind, 0.0, state={"w": 0.0})
    copied = run.population[behind.member]
    assert (copied.trained, copied.step) == (4, 12)
