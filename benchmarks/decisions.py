"""How long a strategy takes to decide, depending on the size of the population.

    python -m benchmarks.decisions --json

``ms`` is one decision of an asynchronous run: one member, whose score has just changed, about
itself. ``round_ms`` is that of a synchronous one, for all members at once. A population in mid-run,
four hyperparameters a member, twenty scores a curve; the median of several decisions each.
"""

import statistics
import time
from collections.abc import Sequence

import numpy as np

import ramet
from benchmarks.reporting import parser, report
from ramet.points import Curve
from ramet.population import (
    Checkpoint,
    Member,
    Population,
)
from ramet.replica import Replica

SPACE = ramet.Space(
    lr=ramet.LogUniform(1e-5, 1.0),
    dropout=ramet.Uniform(0.0, 0.6),
    unroll=ramet.Integer(5, 50),
    batch=ramet.Choice([32, 64, 128, 256], ordered=True),
)


def strategies(members: int) -> dict[str, ramet.Strategy]:
    """Return each strategy by its name."""
    return {
        "truncation": ramet.PBT(population=members, turn_steps=10),
        "tournament": ramet.PBT(
            population=members, turn_steps=10, exploit=ramet.BinaryTournament()
        ),
        "t-test": ramet.PBT(population=members, turn_steps=10, exploit=ramet.TTest()),
        "random search": ramet.RandomSearch(population=members, turn_steps=10),
        "hand-tuned": ramet.HandTuned(
            population=members, turn_steps=10, shapes={"lr": ramet.Drops()}
        ),
    }


def population(strategy: ramet.Strategy, members: int) -> Population:
    """Return a population whose members all just ended their twentieth turn."""
    rng = np.random.default_rng(0)
    births = strategy.births(SPACE, 1_000, rng)
    steps = tuple(range(10, 210, 10))
    return Population(
        space=SPACE,
        steps=1_000,
        members=tuple(
            Member(
                id=id_,
                hparams=birth.hparams,
                data=birth.data,
                trained=200,
                step=200,
                turn=20,
                curve=Curve(steps, tuple(rng.normal(size=20).tolist())),
                checkpoint=Checkpoint(member=id_, turn=19, step=200, digest="d"),
            )
            for id_, birth in zip(range(members), births, strict=True)
        ),
    )


def median_ms(
    strategy: ramet.Strategy, population: Population, ready: Sequence[int], times: int
) -> float:
    """Return what a decision takes after its members have trained, as a worker makes it."""
    replica, taken = Replica(population), []
    for repeat in range(times):
        rng = np.random.default_rng(repeat)
        for id_ in ready:
            its = replica.members[id_].curve
            replica.change(id_, curve=Curve(its.steps, (*its.scores[:-1], float(rng.normal()))))
        began = time.perf_counter()
        list(strategy.decide(replica.population, ready, rng))
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e3


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--members", type=int, nargs="+", default=[10, 1_000, 10_000])
    options.add_argument("--strategies", nargs="+", choices=strategies(10), default=None)
    options.add_argument("--times", type=int, default=21)
    chosen = options.parse_args()
    for members in chosen.members:
        for name, strategy in strategies(members).items():
            if name not in (chosen.strategies or strategies(members)):
                continue
            seen = population(strategy, members)
            figures = {
                "strategy": name,
                "members": members,
                "ms": median_ms(strategy, seen, (members // 2,), chosen.times),
                "round_ms": median_ms(strategy, seen, range(members), chosen.times),
            }
            report(figures, as_json=chosen.json)


if __name__ == "__main__":
    main()
