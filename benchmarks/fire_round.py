"""How long FIRE takes to decide what follows a round.

    python -m benchmarks.fire_round --workers 50 --points 500 --json

Every member has a curve of ``--points`` points, and every evaluator is at work. ``ms`` is the
median of several decisions, each on curves of its own and of one more point than the last, as
rounds bring them, so that nothing is smoothed twice. ``first_ms`` is the first decision of a
process, which imports what it needs and works out what all later ones share.
"""

import statistics
import time

import msgspec
import numpy as np

import ramet
from benchmarks.reporting import parser, report
from ramet.points import Curve
from ramet.population import (
    Checkpoint,
    Member,
    Population,
)
from ramet.strategies import Annotate, Evaluation, Rating

SPACE = ramet.Space(lr=ramet.LogUniform(1e-5, 1.0))
TURN_STEPS, EVERY = 48, 4


def population(fire: ramet.FIRE, points: int, rng: np.random.Generator) -> Population:
    """Return a population in mid-run, of curves that rise, flatten and overlap."""
    births = fire.births(SPACE, 10**6 * EVERY, rng)
    stop = points * EVERY
    steps = tuple(range(EVERY, stop + 1, EVERY))
    parents = [id_ for id_, birth in enumerate(births) if birth.group > 1]
    targets = {group: (group - 2) * fire.size for group in range(2, fire.subpopulations + 1)}
    members = []
    for id_, birth in enumerate(births):
        data = None
        if not birth.group:
            parent = parents.pop(0)
            target = targets[births[parent].group]
            data = msgspec.to_builtins(Evaluation(parent=parent, reference=target, since=EVERY))
        along = np.arange(1, points + 1) / points
        scores = rng.normal() / 2 + np.log1p(rng.uniform(5, 50) * along)
        scores += 0.05 * rng.normal(size=points)
        members.append(
            Member(
                id=id_,
                hparams=birth.hparams,
                group=birth.group,
                data=data,
                trained=stop,
                step=stop,
                turn=stop // TURN_STEPS,
                curve=Curve(steps, tuple(scores.tolist())),
                checkpoint=Checkpoint(member=id_, turn=0, step=stop, digest="d"),
            )
        )
    return Population(space=SPACE, steps=10**6 * EVERY, members=tuple(members))


def decision_ms(fire: ramet.FIRE, seen: Population, seed: int) -> float:
    everybody, rng = range(len(seen)), np.random.default_rng(seed)
    began = time.perf_counter()
    actions = fire.decide(seen, everybody, rng)
    taken_ms = (time.perf_counter() - began) * 1e3
    rated = [a for a in actions if isinstance(a, Annotate) and isinstance(a.data, Rating)]
    if len({action.member for action in rated}) < fire.evaluator_count:
        raise SystemExit("every evaluator's parent should have been rated, but some were not")
    return taken_ms


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--workers", type=int, nargs="+", default=[22, 36, 50])
    options.add_argument("--points", type=int, nargs="+", default=[36, 500])
    options.add_argument("--times", type=int, default=11)
    chosen = options.parse_args()
    rng = np.random.default_rng(0)
    for workers in chosen.workers:
        fire = ramet.FIRE.for_workers(workers, turn_steps=TURN_STEPS, evaluate_every=EVERY)
        for points in chosen.points:
            seen = [population(fire, points + more, rng) for more in range(chosen.times + 1)]
            first, *rest = [decision_ms(fire, each, seed) for seed, each in enumerate(seen)]
            figures = {
                "workers": fire.workers,
                "points": points,
                "ms": statistics.median(rest),
                "first_ms": first,
            }
            report(figures, as_json=chosen.json)


if __name__ == "__main__":
    main()
