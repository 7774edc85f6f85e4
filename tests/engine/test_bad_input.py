"""Mistakes, and what each is told."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ramet
from ramet.blobs import DirectoryBlobs, MemoryBlobs
from ramet.engine.run.scores import MOST_SCORES
from ramet.errors import (
    MissingScore,
    ScheduleError,
    ScoreError,
    SpaceError,
    StateError,
    StoreError,
    StrategyError,
    TurnInterrupted,
    TurnMisused,
    UsageError,
)
from ramet.events import MOST_BYTES, TurnEnded, encode
from ramet.store import MemoryStore, SQLiteStore
from tests.engine.loops import SPACE, Descent, pbt


def train_reporting(score: object) -> Any:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            list(turn)
            turn.report(score)

    return train


@pytest.mark.parametrize(
    "score", ["0.9", b"1", True, 1j, [0.5], {}, np.array([0.1, 0.2]), object()]
)
def test_a_score_that_is_not_a_number_is_refused(score: object) -> None:
    with pytest.raises(ScoreError, match="must be one number"):
        ramet.run(train_reporting(score), SPACE, pbt(), steps=8, mode="max", seed=0)


@pytest.mark.parametrize("score", [1, 0.5, np.float32(0.5), np.int64(3), np.array(0.5), math.nan])
def test_a_score_that_is_a_number_is_accepted(score: object) -> None:
    ramet.run(train_reporting(score), SPACE, pbt(), steps=8, mode="max", seed=0)


def test_a_turn_without_a_score_is_refused() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            for _ in turn:
                pass

    with pytest.raises(MissingScore, match=r"turn 0 of member 0 \(steps 0 to 4\) reported none"):
        ramet.run(train, SPACE, pbt(), steps=8, mode="max", seed=0)


def test_a_loop_that_leaves_its_turn_is_refused() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            for _ in turn:
                turn.report(0.0)
                break

    with pytest.raises(TurnInterrupted, match="turn 0 of member 0 was left at step 1"):
        ramet.run(train, SPACE, pbt(), steps=8, mode="max", seed=0)


def test_a_function_that_leaves_its_loop_is_refused() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            list(turn)
            if turn.number == 1:
                return
            turn.report(0.0)

    with pytest.raises(TurnInterrupted, match="during turn 1 of member 0; to stop the run"):
        ramet.run(train, SPACE, pbt(population=1, exploit=None), steps=8, mode="max", seed=0)


def test_a_function_that_never_loops_is_refused() -> None:
    with pytest.raises(UsageError, match=r"must loop over session\.turns"):
        ramet.run(lambda member: None, SPACE, pbt(), steps=8, mode="max", seed=0)


def test_a_turn_trained_twice_is_refused() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            list(turn)
            for _ in [*turn, *turn]:
                turn.report(0.0)

    with pytest.raises(TurnMisused, match="can be trained once"):
        ramet.run(train, SPACE, pbt(), steps=8, mode="max", seed=0)


@pytest.mark.parametrize("steps", [0, -1, 2.5, True])
def test_a_budget_that_is_no_count_is_refused(steps: Any) -> None:
    with pytest.raises(StrategyError, match="steps must be a whole number, at least 1"):
        ramet.run(Descent(), SPACE, pbt(), steps=steps, mode="max")


@pytest.mark.parametrize("begin", [lambda **s: ramet.run(Descent(), **s), ramet.open])
def test_a_run_has_to_say_which_scores_are_good(begin: Any) -> None:
    with pytest.raises(StrategyError, match=r"give mode='max' where high ones .*a loss"):
        begin(space=SPACE, strategy=pbt(), steps=8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": -1}, "seed must be a whole number, at least 0"),
        ({"mode": "maximum"}, "mode must be 'max' or 'min'"),
        ({"workers": -1}, "workers must be a whole number, at least 0"),
        ({"workers": 1.5}, "workers must be a whole number, at least 0"),
        ({"workers": "many"}, "workers must be a whole number of worker processes, or 'auto'"),
        (
            {"existing": "delete"},
            "existing must be 'resume', 'extend' or 'overwrite', but got 'del",
        ),
        (
            # What ``ramet.join`` does, which never begins a run.
            {"existing": "join"},
            "existing must be 'resume', 'extend' or 'overwrite', but got 'join",
        ),
        (
            {"existing": ["resume"]},
            r"existing must be 'resume', 'extend' or 'overwrite', but got \['resume",
        ),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(StrategyError, match=message):
        ramet.run(Descent(), SPACE, pbt(), **{"steps": 8, "mode": "max", **settings})


class StoreOfOld:
    """A store that somebody wrote before runs could be deleted and renamed."""

    def __repr__(self) -> str:
        return "a store"

    def __getattr__(self, name: str) -> Any:
        if name in {"delete_run", "rename_run"}:
            raise AttributeError(name)
        return getattr(MemoryStore(), name)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"store": MemoryStore}, "must be the path of a file, None, or a Store, but got <class"),
        ({"store": 7}, "must be the path of a file, None, or a Store, but got 7$"),
        (
            {"store": StoreOfOld()},
            "but got a store, which lacks delete_run, rename_run$",
        ),
        ({"store": MemoryStore()}, "must come with the blobs="),
        (
            {"store": ramet.Storage(MemoryStore(), blobs=MemoryBlobs()), "workers": 2},
            "must share their store and blobs, but MemoryStore lives in one process",
        ),
    ],
)
def test_a_place_that_cannot_hold_the_run_is_refused(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(StoreError, match=message):
        ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", **settings)


def test_a_starting_point_outside_the_space_is_refused() -> None:
    with pytest.raises(SpaceError, match="'lr' must be in"):
        ramet.run(Descent(), SPACE, pbt(initial=[{"lr": 7.0, "decay": 0.1}]), steps=8, mode="max")


@pytest.mark.parametrize("shape", [lambda _: 0.1, lambda _: math.nan])
def test_a_schedule_that_begins_outside_the_space_is_refused(shape: Any) -> None:
    space = ramet.Space(lr=ramet.Uniform(0.0, 1.0), where=lambda h: h["lr"] > 0.5)
    strategy = ramet.HandTuned(population=2, turn_steps=4, shapes={"lr": shape})
    with pytest.raises(SpaceError, match=r"must accept every turn .* from step 0 on"):
        ramet.run(Descent(), space, strategy, steps=8, mode="max")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"exploit": "truncation"}, r"exploit must be a rule such as Truncation\(0\.2\)"),
        ({"exploit": ramet.Truncation}, "exploit must be a rule"),
        ({"explore": ramet.Uniform(0, 1)}, "explore must be a rule such as Perturb"),
        ({"initial": {"lr": 0.5}}, "initial must be a list of points"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(StrategyError, match=message):
        pbt(**settings)


def test_a_rule_that_overshoots_is_clipped() -> None:
    class Doubles:
        def move(self, domain: Any, value: float, rng: np.random.Generator) -> float:
            return np.float64(value * 2 + 1)

    result = ramet.run(
        Descent(), SPACE, pbt(explore=Doubles(), exploit=None), steps=40, mode="max", seed=0
    )
    assert [dict(member.hparams) for member in result.population] == [{"lr": 1.0, "decay": 0.5}] * 6


def test_a_rule_that_gives_what_is_no_value_is_refused() -> None:
    class Breaks:
        def move(self, domain: Any, value: float, rng: np.random.Generator) -> float:
            return math.nan

    with pytest.raises(SpaceError, match="that a strategy gives member 0 must lie in the space"):
        ramet.run(
            Descent(), SPACE, pbt(explore=Breaks(), exploit=None), steps=40, mode="max", seed=0
        )


@pytest.mark.parametrize(
    "scores",
    [
        "0.9",
        [0.1, 0.2],
        [(4,)],
        [(2.5, 0.1), (4, 0.2)],
        [(True, 0.1), (4, 0.2)],
        [(2, 0.1), (9, 0.2)],
        [(4, "0.2")],
        10**400,
    ],
)
def test_scores_that_are_no_numbers_are_refused_and_can_be_reported_again(scores: Any) -> None:
    run = ramet.open(space=SPACE, strategy=pbt(), steps=8, mode="max", seed=0)
    turn = run.ask()
    assert turn is not None
    list(turn)
    with pytest.raises(ScoreError):
        run.tell(turn, scores, state={"w": 1.0})
    assert run.population.turns == 0
    run.tell(turn, 0.5, state={"w": 1.0})
    assert run.population[turn.member].curve.points() == ((4, 0.5),)


@pytest.mark.parametrize(
    "scores", [0.5, np.array(0.5), {4: 0.5}, [(np.int64(4), 0.5)], [[2, 0.1], [4, np.float32(0.5)]]]
)
def test_scores_can_be_a_number_a_dict_or_pairs(scores: Any) -> None:
    run = ramet.open(space=SPACE, strategy=pbt(), steps=8, mode="max", seed=0)
    turn = run.ask()
    assert turn is not None
    list(turn)
    run.tell(turn, scores, state={"w": 1.0})
    assert run.result().population[0].score == 0.5


def test_a_turn_whose_last_score_is_not_that_of_its_last_step_is_refused() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            for step in turn:
                if step % 4 == 2:
                    turn.report(0.0)

    with pytest.raises(MissingScore, match="reported the last at step 3"):
        ramet.run(train, SPACE, pbt(), steps=8, mode="max", seed=0)


def test_a_score_from_before_the_first_step_is_not_the_turns() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            turn.report(0.0)
            for _ in turn:
                pass

    with pytest.raises(MissingScore, match="reported none"):
        ramet.run(train, SPACE, pbt(), steps=8, mode="max", seed=0)


def test_a_task_that_forgets_to_return_the_state_is_refused() -> None:
    class Forgets(Descent):
        def step(self, *args: Any) -> Any:
            super().step(*args)

    with pytest.raises(StateError, match="step must return the state, but it returned None"):
        ramet.run(Forgets(), SPACE, pbt(), steps=8, mode="max", seed=0)


def test_a_turn_that_ends_without_a_state_is_refused() -> None:
    run = ramet.open(space=SPACE, strategy=pbt(), steps=8, mode="max", seed=0)
    turn = run.ask()
    assert turn is not None
    with pytest.raises(StateError, match="a turn must end with its state"):
        run.tell(turn, 0.5, state=None)


@pytest.mark.parametrize(
    ("space", "strategy", "message"),
    [
        (3, pbt(), "space must be a Space"),
        ({"lr": 0.1}, pbt(), "hyperparameter 'lr' must be a domain"),
        (pbt(), SPACE, "space must be a Space"),
        (SPACE, ramet.PBT, "strategy must be a value such as PBT"),
        (SPACE, "pbt", "strategy must be a value such as PBT"),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused(space: Any, strategy: Any, message: str) -> None:
    with pytest.raises(ramet.RametError, match=message):
        ramet.run(Descent(), space, strategy, steps=8, mode="max")


@pytest.mark.parametrize("name", ["", None, 7])
def test_a_name_that_is_no_text_is_refused(name: Any) -> None:
    with pytest.raises(StrategyError, match="name must be text"):
        ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", name=name)


def test_a_lease_that_lasts_no_time_is_refused() -> None:
    with pytest.raises(StrategyError, match="lease_ttl_s must be above 0"):
        ramet.run(
            Descent(),
            SPACE,
            pbt(),
            steps=8,
            mode="max",
            engine=ramet.Inline(failures=ramet.Failures(lease_ttl_s=0.0)),
        )


def test_a_member_begins_with_a_copy_of_the_default_state() -> None:
    run = ramet.open(space=SPACE, strategy=pbt(), steps=8, mode="max", seed=0)
    turn, default = run.ask(), {"w": np.zeros(2)}
    assert turn is not None
    turn.load(default)["w"] += 1
    assert default["w"].tolist() == [0.0, 0.0]


HALF = "\ud83d"


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"name": HALF}, r"name must be text that a store can hold, but got '\\ud83d'"),
        ({"target": 10**400}, "target must be the score that ends the run, a finite number"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused_by_name(
    more: dict[str, Any], match: str
) -> None:
    arguments: dict[str, Any] = {"steps": 8, "mode": "max"} | more
    with pytest.raises(StrategyError, match=match):
        ramet.run(Descent(), SPACE, pbt(), **arguments)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"retries": -1}, "retries must be a whole number, at least 0"),
        ({"tolerate": 1.5}, "tolerate must be a part of the population, from 0 to 1, but got 1.5"),
        ({"tolerate": "x"}, "tolerate must be a part of the population, from 0 to 1, but got 'x'"),
        ({"tolerate": True}, "tolerate must be a part of the population"),
        ({"tolerate": math.nan}, "tolerate must be a part of the population"),
        ({"lease_ttl_s": 0}, "lease_ttl_s must be above 0 seconds"),
        ({"lease_ttl_s": "x"}, "lease_ttl_s must be above 0 seconds, as a float, but got 'x'"),
        ({"lease_ttl_s": math.nan}, "lease_ttl_s must be above 0 seconds"),
        ({"lease_ttl_s": 10**400}, "lease_ttl_s must be above 0 seconds"),
        ({"straggler_timeout_s": "1"}, "straggler_timeout_s must be above 0 seconds"),
        ({"strict": "yes"}, "strict must be True or False, but got 'yes'"),
    ],
)
def test_failures_that_make_no_sense_are_refused_at_once(
    settings: dict[str, Any], match: str
) -> None:
    with pytest.raises(StrategyError, match=match):
        ramet.Failures(**settings)


@pytest.mark.parametrize("keep", ["most", [], 1])
def test_what_is_kept_must_be_known(keep: Any) -> None:
    with pytest.raises(StrategyError, match="keep must be one of"):
        ramet.Storage("runs.db", keep=keep)


@pytest.mark.parametrize("durability", ["disk", [], 1])
def test_a_durability_that_is_none_is_refused(durability: Any) -> None:
    with pytest.raises(StoreError, match="durability must be 'power' or 'process', but got"):
        ramet.run(
            Descent(), SPACE, pbt(), steps=8, mode="max", store=ramet.Storage(durability=durability)
        )


@pytest.mark.parametrize("blobs", [b"checkpoints", MemoryBlobs, 1])
def test_blobs_that_are_none_are_refused(blobs: Any) -> None:
    with pytest.raises(StoreError, match=r"blobs must be Blobs, such as DirectoryBlobs\("):
        ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", store=ramet.Storage(blobs=blobs))


@pytest.mark.parametrize("blobs", ["", "a\0b", "s4://bucket"])
def test_a_text_that_is_no_place_for_blobs_is_refused(blobs: str) -> None:
    with pytest.raises(StoreError, match=r"(checkpoints|blobs) must be "):
        ramet.Storage("runs.db", blobs=blobs)


def test_half_a_character_is_no_name_of_a_worker_or_a_hyperparameter() -> None:
    with pytest.raises(StrategyError, match="worker must be text that a store can hold"):
        ramet.open(worker=HALF, space=SPACE, strategy=pbt(), steps=8, mode="max")
    with pytest.raises(SpaceError, match="has a lone surrogate"):
        ramet.Space({f"lr{HALF}": ramet.Uniform(0.0, 1.0)})


@pytest.mark.parametrize("path", [".", "", "/", "a\0b.db", f"{HALF}.db", "x" * 5_000])
def test_a_store_must_be_where_a_file_can_be(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=r"store .*must be"):
        ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", store=path)
    with pytest.raises(StoreError, match=r"store .*must be"):
        SQLiteStore(path)
    with pytest.raises(StoreError, match="must be"):
        ramet.history.load(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["a\0b", HALF])
def test_checkpoints_must_be_where_a_folder_can_be(path: str) -> None:
    with pytest.raises(StoreError, match="checkpoints must be in a folder, but"):
        DirectoryBlobs(path)
    with pytest.raises(ScheduleError, match="a schedule must be in a file that can be read"):
        ramet.Schedule.load(path)


@pytest.mark.parametrize("ttl_s", [1e18, math.inf])
def test_a_lease_may_last_for_ever(ttl_s: float, tmp_path: Path) -> None:
    result = ramet.run(
        Descent(),
        SPACE,
        pbt(),
        steps=8,
        mode="max",
        store=tmp_path / "a.db",
        engine=ramet.Inline(failures=ramet.Failures(lease_ttl_s=ttl_s)),
    )
    assert result.population.done


def test_scores_of_which_a_turn_has_more_than_its_event_can_hold_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ramet.engine.run.scores.MOST_SCORES", 3)
    run = ramet.open(space=SPACE, strategy=pbt(), steps=8, mode="max", seed=0)
    turn = run.ask()
    assert turn is not None
    for step in turn:
        if step < turn.start + 3:
            turn.report(0.0)
            turn.report(0.5)
        else:
            with pytest.raises(ScoreError, match=r"at most 3 scores.* would have 4; report less"):
                turn.report(0.5)
    pairs = [(turn.start + 1 + at, 0.5) for at in range(4)]
    with pytest.raises(ScoreError, match=r"at most 3 scores.* would have 4"):
        run.tell(turn, pairs, state={"w": 1.0})


def test_the_most_scores_that_a_turn_may_have_fit_into_an_event() -> None:
    first = 10**18
    points = tuple((first + at, -1.2345678901234567e-300) for at in range(MOST_SCORES))
    last = first + len(points)
    event = TurnEnded(
        member=10**9, turn=10**9, trained=last, step=last, points=points, digest="0" * 32
    )
    assert len(encode(event)) < MOST_BYTES - 2**20


@pytest.mark.parametrize("existing", ["join", ["resume"], None, True])
def test_a_way_to_treat_a_run_that_there_is_not_is_refused_before_a_store_is_made(
    tmp_path: Path, existing: Any
) -> None:
    settings: dict[str, Any] = {"space": SPACE, "strategy": pbt(), "steps": 8, "mode": "max"}
    store = tmp_path / "runs.db"
    schedule = ramet.run(Descent(), **settings, seed=0).schedule()
    for call in (
        lambda: ramet.run(Descent(), **settings, store=store, existing=existing),
        lambda: ramet.open(store, **settings, existing=existing),
        lambda: ramet.replay(Descent(), schedule, store=store, existing=existing),
    ):
        with pytest.raises(StrategyError, match="existing must be 'resume', 'extend' or"):
            call()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failures", [{"retries": 1}, {}, ramet.Failures, 2])
def test_failures_that_are_no_value_are_refused(failures: Any) -> None:
    with pytest.raises(StrategyError, match=r"failures must be a value such as ramet\.Failures"):
        ramet.open(space=SPACE, strategy=pbt(), steps=8, mode="max", failures=failures)


def use_uncalled_turns(session: ramet.Session) -> None:
    for _ in session.turns:  # type: ignore[attr-defined]  # the mistake
        raise AssertionError("a turn was trained")


def use_a_turn_as_a_number(session: ramet.Session) -> None:
    for turn in session.turns({"w": 0.0}):
        for _ in range(turn):  # type: ignore[call-overload]  # the mistake
            raise AssertionError("a step was trained")


@pytest.mark.parametrize(
    ("train", "line"),
    [
        (use_uncalled_turns, r"write for turn in session\.turns\(state\)"),
        (use_a_turn_as_a_number, r"write for step in turn, or range\(turn\.steps\)"),
    ],
)
def test_a_loop_over_the_wrong_thing_is_answered_at_once(
    train: Any, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UsageError, match=line):
        ramet.run(train, SPACE, pbt(), steps=8, mode="max")

    assert "raised in turn" not in caplog.text


class OneTurn:
    """An engine of a user that trains one turn only."""

    failures = ramet.Failures()
    progress = False
    shared = False

    def prepare(self, job: Any) -> Any:
        def train(run: ramet.Run, watch: Any) -> None:
            turn = run.ask()
            assert turn is not None
            list(turn)
            run.tell(turn, 0.5, state={"w": 0.0})

        return train


def test_an_engine_that_returns_before_the_run_is_over_is_named() -> None:
    with pytest.raises(UsageError, match="OneTurn returned after 1 turns of run 'run'"):
        ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", engine=OneTurn())


def test_an_engine_that_lacks_an_attribute_is_refused_with_its_name() -> None:
    class Lacking(OneTurn):
        def __getattribute__(self, name: str) -> Any:
            if name == "shared":
                raise AttributeError(name)
            return super().__getattribute__(name)

    with pytest.raises(UsageError, match="which lacks shared"):
        ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", engine=Lacking())
