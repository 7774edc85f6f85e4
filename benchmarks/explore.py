"""How long a member's exploring takes, by random factors and by a model of past turns.

    python -m benchmarks.explore --json

``first_ms`` is the decision about the first member of a round that explores, which fits the model.
``next_ms`` is that about each further one. By the number of past turns that the model is fitted to,
and of hyperparameters, beside which there may be unordered choices. The median of several decisions
each, in time of the processor, which does not depend on what else runs.
"""

import statistics
import time
from dataclasses import replace as with_fields

import numpy as np
from msgspec.structs import replace

import ramet
from benchmarks.reporting import parser, report
from ramet.points import Curve
from ramet.population import (
    Member,
    PastTurn,
    Population,
)
from ramet.strategies.explore import AnyExplore, explorer_of

MEMBERS, TURN_STEPS = 25, 10
# Members that explore in a round, of which the first is timed apart.
EXPLORING = 6
# Rules by their names, for a number of past turns.
RULES: dict[str, AnyExplore] = {
    "factors": ramet.Perturb(),
    "model": ramet.GaussianProcess(),
    "model, bandit": ramet.GaussianProcess(choices="bandit"),
}


def space(hyperparameters: int, choices: int) -> ramet.Space:
    numbers = {f"x{place}": ramet.Uniform(0.0, 1.0) for place in range(hyperparameters)}
    options = {f"c{place}": ramet.Choice(["a", "b", "c"]) for place in range(choices)}
    return ramet.Space({**numbers, **options})


def population(space: ramet.Space, rows: int) -> Population:
    """Return members that have ended as many turns together."""
    rng = np.random.default_rng(0)
    turns = rows // MEMBERS
    members = []
    for id_ in range(MEMBERS):
        scores = rng.normal(size=turns + 1).cumsum().tolist()
        past = tuple(
            PastTurn(
                hparams=space.sample(rng),
                step=number * TURN_STEPS,
                steps=TURN_STEPS,
                before=scores[number],
                after=scores[number + 1],
            )
            for number in range(turns)
        )
        step = turns * TURN_STEPS
        curve = Curve((step,), (scores[-1],))
        one = Member(id=id_, hparams=space.sample(rng), trained=step, step=step, turn=turns)
        members.append(replace(one, curve=curve, past=past))
    return Population(space=space, steps=2 * turns * TURN_STEPS, members=tuple(members))


def measure(rule: AnyExplore, there: Population, times: int) -> tuple[float, float]:
    """Return the milliseconds of the first decision of a round, and of each further one."""
    first, further = [], []
    for repeat in range(times):
        rng = np.random.default_rng(repeat)
        began = time.process_time()
        explorer = explorer_of(rule, there)
        explorer.move(0, MEMBERS - 1, rng)
        fitted = time.process_time()
        for member in range(1, EXPLORING):
            explorer.move(member, MEMBERS - 1, rng)
        first.append(fitted - began)
        further.append((time.process_time() - fitted) / (EXPLORING - 1))
    return statistics.median(first) * 1e3, statistics.median(further) * 1e3


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rows", type=int, nargs="+", default=[50, 200, 1_000])
    options.add_argument("--hyperparameters", type=int, nargs="+", default=[1, 5, 20])
    options.add_argument("--choices", type=int, default=0, help="unordered ones beside them")
    options.add_argument("--rules", nargs="+", choices=RULES, default=["factors", "model"])
    options.add_argument("--times", type=int, default=5)
    chosen = options.parse_args()
    for rows in chosen.rows:
        for hyperparameters in chosen.hyperparameters:
            there = population(space(hyperparameters, chosen.choices), rows)
            for name in chosen.rules:
                rule = RULES[name]
                if isinstance(rule, ramet.GaussianProcess):
                    rule = with_fields(rule, rows=rows)
                first_ms, next_ms = measure(rule, there, chosen.times)
                figures = {
                    "rule": name,
                    "rows": rows,
                    "hyperparameters": hyperparameters,
                    "choices": chosen.choices,
                    "first_ms": first_ms,
                    "next_ms": next_ms,
                }
                report(figures, as_json=chosen.json)


if __name__ == "__main__":
    main()
