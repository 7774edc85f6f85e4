"""A control changes nothing for the others, and says whether the search was worth it."""

import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ramet
from ramet import Controlled
from ramet.errors import NoBest, SpaceError, StrategyError, UsageError
from ramet.events import canonical
from ramet.history import Verdict, find_doubts
from ramet.plots.story import groups_of
from ramet.strategies import Copy, Strategy, from_description
from ramet.testing import QUADRATIC_SPACE, Quadratic
from tests.engine.loops import SPACE, Descent, pbt

GUESS = {"lr": 0.01, "decay": 0.0}
FIRE = ramet.FIRE.for_workers(8, turn_steps=16, evaluate_every=2)


class Interrupted(Descent):
    """Ends with Ctrl-C after some turns."""

    def __init__(self, after: int) -> None:
        self.left = after

    def evaluate(self, state: dict[str, Any]) -> float:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().evaluate(state)


def controlled(**settings: Any) -> Controlled:
    return Controlled(pbt(**settings), GUESS)


def train(strategy: Strategy, steps: int = 40, **settings: Any) -> ramet.Result:
    return ramet.run(
        Descent(), SPACE, strategy, **{"steps": steps, "mode": "max", "seed": 3, **settings}
    )


@pytest.mark.parametrize("synchronous", [True, False])
def test_the_control_keeps_what_it_began_with_and_the_others_do_as_without_it(
    synchronous: bool,  # noqa: FBT001 - a parameter
) -> None:
    alone = train(pbt(synchronous=synchronous), steps=16)
    beside = train(controlled(synchronous=synchronous), steps=16)
    control = len(alone.population)

    assert {tuple(turn.hparams.items()) for turn in beside.lineage().ancestors(control)} == {
        tuple(GUESS.items())
    }
    assert control not in {
        id_ for copy in beside.lineage().copies for id_ in (copy.member, copy.source)
    }
    if synchronous:
        # Asynchronous members decide when a worker trains them, which one more member changes.
        assert [member.hparams for member in beside.population][:-1] == [
            member.hparams for member in alone.population
        ]
        assert [member.curve for member in beside.population][:-1] == [
            member.curve for member in alone.population
        ]
    assert beside.population.copies > 0


def test_fire_has_a_control_too() -> None:
    strategy = Controlled(FIRE, {"lr": 1.0})
    task = Quadratic()
    alone, beside = (
        ramet.run(task, QUADRATIC_SPACE, one, steps=96, mode="max", seed=1)
        for one in (FIRE, strategy)
    )

    assert [member.curve for member in beside.population][:-1] == [
        member.curve for member in alone.population
    ]
    assert beside.population[len(alone.population)].hparams == {"lr": 1.0}
    assert groups_of(beside) == {1: "P1", 2: "P2", 3: "control", 0: "evaluators"}


def test_a_controlled_run_is_the_same_in_processes_and_after_a_stop(tmp_path: Path) -> None:
    whole = train(controlled(synchronous=True))
    apart = train(controlled(synchronous=True), store=tmp_path / "a.db", engine=ramet.Processes(2))
    with pytest.raises(KeyboardInterrupt):
        ramet.run(
            Interrupted(after=30), SPACE, controlled(synchronous=True), steps=40, mode="max",
            seed=3, store=tmp_path / "b.db",
        )  # fmt: skip
    resumed = train(controlled(synchronous=True), store=tmp_path / "b.db")

    assert canonical(apart.events) == canonical(whole.events)
    assert canonical(resumed.events) == canonical(whole.events)
    assert from_description(whole.opening.strategy) == controlled(synchronous=True)


def test_a_strategy_that_explores_by_a_model_sees_past_turns_beside_a_control() -> None:
    settings = {"explore": ramet.GaussianProcess(), "synchronous": True}
    alone, beside = train(pbt(**settings), steps=16), train(controlled(**settings), steps=16)

    assert [member.past for member in beside.population][:-1] == [
        member.past for member in alone.population
    ]
    assert alone.population[0].past
    assert [member.hparams for member in beside.population][:-1] == [
        member.hparams for member in alone.population
    ]


def test_a_strategy_that_leaves_its_turns_to_the_budget_is_fitted() -> None:
    assert train(Controlled(ramet.PBT(population=6), GUESS)).opening.turn_steps == 2
    fitted = Controlled(ramet.FIRE.for_workers(8), {"lr": 1.0}).fit(960)
    assert fitted.strategy == ramet.FIRE.for_workers(8).fit(960)
    assert fitted.needs_scores
    # What the budget gave is said, whether or not the strategy leaves scores to it as well.
    task = Quadratic()
    strategy = Controlled(ramet.FIRE.for_workers(8), {"lr": 1.0})
    run = ramet.run(task, QUADRATIC_SPACE, strategy, steps=160, mode="max", seed=1)
    assert run.schedule().source.evaluate_every == strategy.fit(160).evaluate_every


class Levels:
    """A score is the hyperparameter, and noise that the step decides."""

    def __init__(self, noise: float = 0.0, sign: float = 1.0) -> None:
        self.noise, self.sign = noise, sign

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"level": 0.0, "noise": 0.0}

    def step(
        self, state: dict[str, Any], hparams: Any, steps: int, rng: np.random.Generator
    ) -> dict[str, Any]:
        return {"level": hparams["level"], "noise": self.noise * rng.normal()}

    def evaluate(self, state: dict[str, Any]) -> float:
        return self.sign * float(state["level"] + state["noise"])


def search(guess: float, *, noise: float = 0.0, minimise: bool = False, turns: int = 12) -> Verdict:
    mode = "min" if minimise else "max"
    strategy = Controlled(ramet.PBT(population=10, turn_steps=1), {"level": guess})
    task = Levels(noise, -1.0 if minimise else 1.0)
    space = {"level": ramet.Uniform(0.0, 1.0, start=(0.4, 0.6))}
    return ramet.run(task, space, strategy, steps=turns, mode=mode, seed=0).verdict()


@pytest.mark.parametrize("minimise", [False, True])
def test_a_search_is_worth_it_if_it_ends_clearly_better_than_the_control(minimise: bool) -> None:  # noqa: FBT001 - a parameter
    better = search(0.1, minimise=minimise)
    assert better.worth == "yes"
    assert better.gain == pytest.approx(abs(better.found) - 0.1)
    assert "the search was worth it: up to step 12, the best member at the end scored" in str(
        better
    )

    worse = search(1.0, minimise=minimise)
    assert worse.worth == "no"
    assert worse.gain <= 0
    assert str(worse).startswith("the search was not worth it: up to step 12, the best")


def test_what_noise_could_give_is_unclear() -> None:
    verdict = search(0.5, noise=3.0)
    assert verdict.worth == "unclear"
    assert verdict.needed == pytest.approx(
        3.0 * (2 * math.sqrt(2 / 5) + math.sqrt(2 * math.log(10))), rel=0.35
    )
    assert verdict.turns == 5
    assert "is unclear: up to step 11, the best member at the end scored" in str(verdict)


def test_with_too_few_scores_for_an_estimate_nothing_is_clear() -> None:
    verdict = search(0.1, turns=2)
    assert (verdict.worth, verdict.turns) == ("unclear", 2)
    assert "what noise in them could give is not known" in str(verdict)


@pytest.mark.parametrize(
    "strategy",
    [
        ramet.RandomSearch(population=20, turn_steps=1),
        ramet.PBT(population=20, turn_steps=1),
        ramet.PBT(population=20, turn_steps=1, exploit=ramet.BinaryTournament()),
        # Each ancestor of the best was chosen for its luck.
        ramet.PBT(population=20, turn_steps=1, exploit=ramet.Truncation(0.5), synchronous=True),
    ],
    ids=["random", "truncation", "tournament", "half"],
)
def test_the_verdict_of_noise_alone_is_hardly_ever_clear(strategy: Strategy) -> None:
    space = {"level": ramet.Uniform(0.0, 1e-6)}
    controlled = Controlled(strategy, {"level": 0.0})
    worths = [
        ramet.run(Levels(1.0), space, controlled, steps=12, mode="max", seed=seed).verdict().worth
        for seed in range(15)
    ]
    assert worths.count("unclear") >= 13


class Ages(Levels):
    """A score is the number of steps behind the weights, whatever the hyperparameters."""

    def step(
        self, state: dict[str, Any], hparams: Any, steps: int, rng: np.random.Generator
    ) -> dict[str, Any]:
        hparams["level"]
        return {"level": state["level"] + steps, "noise": 0.0}


def test_both_are_compared_at_the_same_step() -> None:
    rule = ramet.Truncation(0.34)
    pbt = ramet.PBT(population=3, turn_steps=5, exploit=rule, explore=None)
    space, task = {"level": ramet.Uniform(0.0, 1.0)}, Ages()
    strategy = Controlled(pbt, {"level": 0.5})
    run = ramet.open(space=space, strategy=strategy, steps=40, mode="max", seed=0)

    def train(members: Sequence[int], turns: int) -> None:
        for _ in range(turns):
            run.ask_only(members)
            for _ in members:
                turn = run.ask()
                assert turn is not None
                state = turn.load(default=task.init)
                state = task.step(state, turn.hparams, turn.steps, turn.rng)
                run.tell(turn, task.evaluate(state), state=state)

    # Member 0 is fast. The others copy it when they train at last, and get further than 40 steps.
    train([0], 8)
    train([1], 8)
    train([2], 8)
    train([3], 8)
    assert max(member.step for member in run.population) > 40
    verdict = run.result().verdict()
    assert (verdict.step, verdict.gain, verdict.worth) == (40, 0, "no")


def test_a_run_that_goes_on_has_no_verdict() -> None:
    run = ramet.open(space=SPACE, strategy=controlled(), steps=40, mode="max", seed=0)
    with pytest.raises(UsageError, match="needs a run that is over, but run 'run' goes on"):
        run.result().verdict()


def test_members_that_diverged_are_not_found() -> None:
    class DivergesLate(Levels):
        """With a level above a half, the score is high and then no number."""

        def step(
            self, state: dict[str, Any], hparams: Any, steps: int, rng: np.random.Generator
        ) -> dict[str, Any]:
            age = state["noise"] + steps
            high = hparams["level"] > 0.5
            return {"level": (5.0 if age <= 2 else math.nan) if high else 0.1, "noise": age}

        def evaluate(self, state: dict[str, Any]) -> float:
            return float(state["level"])

    space = {"level": ramet.Uniform(0.0, 1.0)}
    search = ramet.RandomSearch(population=6, turn_steps=1)
    fine = ramet.run(
        DivergesLate(), space, Controlled(search, {"level": 0.2}), steps=8, mode="max", seed=0
    )
    assert fine.verdict().found == 0.1
    late = ramet.run(
        DivergesLate(), space, Controlled(search, {"level": 0.9}), steps=8, mode="max", seed=0
    )
    with pytest.raises(NoBest, match="a finite score of the control at its end, but it has none"):
        late.verdict()


def test_a_control_that_took_weights_of_another_gives_no_verdict(tmp_path: Path) -> None:
    settings = {"store": ramet.Storage(tmp_path / "runs.db", keep="best")}
    train(controlled(synchronous=True), steps=16, **settings)
    extended = train(controlled(synchronous=True), steps=32, existing="extend", **settings)
    with pytest.raises(NoBest, match="a control that trained all its steps itself, but it went on"):
        extended.verdict()


def test_doubts_are_about_those_that_decide() -> None:
    def doubts(strategy: Strategy) -> list[str]:
        return [doubt.kind for doubt in find_doubts(train(strategy, steps=16))]

    same = ramet.PBT(population=5, turn_steps=4, explore=None, initial=[GUESS] * 5)
    other = {"lr": 0.5, "decay": 0.1}
    assert "nothing explored" in doubts(same)
    assert "nothing explored" in doubts(Controlled(same, other))
    assert doubts(Controlled(ramet.Grid([GUESS], turn_steps=4), GUESS)) == []


def test_groups_are_called_by_what_they_do() -> None:
    one = ramet.FIRE.for_workers(8, turn_steps=16, evaluate_every=2)
    alone = replace(one, subpopulations=1, evaluators=None)
    run = ramet.run(
        Quadratic(), QUADRATIC_SPACE, Controlled(alone, {"lr": 1.0}), steps=32, mode="max", seed=1
    )
    assert groups_of(run) == {1: "members", 2: "control"}


def test_a_strategy_without_turns_is_refused_by_its_own_name() -> None:
    class Own:
        turn_steps, evaluate_every, synchronous = None, None, True

        def births(self, *_: object) -> list[Any]:
            return []

        def decide(self, *_: object) -> list[Any]:
            return []

    with pytest.raises(StrategyError, match="Own must know its turn_steps"):
        train(Controlled(Own(), GUESS))


def test_a_run_without_a_control_has_no_verdict() -> None:
    with pytest.raises(UsageError, match=r"run 'run' has none; train it with strategy=ramet.Contr"):
        train(pbt(), steps=8).verdict()


def test_a_verdict_takes_a_score_of_the_control() -> None:
    class Diverges(Descent):
        def evaluate(self, state: dict[str, Any]) -> float:
            return math.nan

    with pytest.raises(
        NoBest, match="a finite score of the search at its end, but no member has one"
    ):
        ramet.run(Diverges(), SPACE, controlled(), steps=8, mode="max", seed=0).verdict()


@pytest.mark.parametrize(
    ("strategy", "hparams", "said"),
    [
        (ramet.PBT, GUESS, "stands beside a strategy such as PBT"),
        (Controlled(pbt(), GUESS), GUESS, "but Controlled has a control"),
        (pbt(), [0.1], "hparams must be a mapping"),
    ],
)
def test_what_cannot_have_a_control_is_refused(strategy: Any, hparams: Any, said: str) -> None:
    with pytest.raises(StrategyError, match=said):
        Controlled(strategy, hparams)


def test_a_control_outside_the_space_is_refused_by_name() -> None:
    with pytest.raises(SpaceError, match="the control"):
        train(Controlled(pbt(), {"lr": 7.0, "decay": 0.0}))


def test_a_strategy_sees_neither_the_control_nor_its_turns() -> None:
    seen: list[tuple[int, Sequence[int]]] = []

    class Looks(ramet.PBT):
        def decide(
            self, population: ramet.Population, ready: Sequence[int], rng: np.random.Generator
        ) -> Iterator[Copy]:
            seen.append((len(population), tuple(ready)))
            return iter(())

    train(Controlled(Looks(population=6, turn_steps=4), GUESS), steps=8)
    assert {size for size, _ in seen} == {6}
    assert {id_ for _, ready in seen for id_ in ready} == set(range(6))


def test_the_report_says_what_the_control_says(tmp_path: Path) -> None:
    train(controlled(), store=tmp_path / "runs.db")
    command = [sys.executable, "-m", "ramet", "report", "runs.db", "-o", "page.html"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    page = (tmp_path / "page.html").read_text()
    assert "Against the control: " in page
    assert "the search was worth it" in page
    assert "(6 that decide, 1 control)" in page
