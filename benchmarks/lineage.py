"""What it takes to trace the lineage of a large run.

    python -m benchmarks.lineage --members 1000 --turns 100 --json

A line for each thing asked of a log that is in memory, each of a lineage made anew: ``tree`` reads
the log, the others come on top. The log is that of a synchronous run in which the worst fifth of
each round copies from the best and explores.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import ramet
from benchmarks.reporting import parser, report
from ramet.events import (
    AnyEvent,
    Birth,
    Copied,
    Explored,
    RoundEnded,
    RunOpened,
    TurnEnded,
    Weights,
)
from ramet.history.lineage import Lineage
from ramet.history.schedule import schedule_behind
from ramet.population import Checkpoint

TURN_STEPS = 10


def log(members: int, turns: int, *, synchronous: bool = True) -> Iterator[AnyEvent]:
    """Yield the events of a run."""
    rng = np.random.default_rng(0)
    space = ramet.Space(lr=ramet.LogUniform(1e-4, 1.0), decay=ramet.Uniform(0.0, 1.0))
    yield RunOpened(
        name="run",
        seed=0,
        mode="max",
        steps=TURN_STEPS * turns,
        synchronous=synchronous,
        turn_steps=TURN_STEPS,
        keep="lineage",
        space=space.describe(),
        strategy={},
        births=tuple(Birth(hparams=space.sample(rng)) for _ in range(members)),
    )
    skill = rng.random(members)
    for turn in range(turns):
        step = TURN_STEPS * (turn + 1)
        kept = [Checkpoint(member=m, turn=turn, step=step, digest="0" * 32) for m in range(members)]
        for member in range(members):
            yield TurnEnded(
                member=member,
                turn=turn,
                trained=step,
                step=step,
                points=((step, float(skill[member])),),
                digest="0" * 32,
            )
        order = skill.argsort()
        worst, best = order[: members // 5], order[-(members // 5) :]
        for loser, winner in zip(worst.tolist(), best.tolist(), strict=True):
            points = ((step, float(skill[winner])),)
            weights = Weights(checkpoint=kept[winner], points=points)
            yield Copied(member=loser, source=winner, kind="exploit", weights=weights, hparams=None)
            yield Explored(member=loser, hparams=space.sample(rng))
            skill[loser] = skill[winner]
        if synchronous:
            yield RoundEnded(round=turn)
        skill += 0.1 * rng.random(members)


ASKED: dict[str, Callable[[Lineage], Any]] = {
    "tree": lambda tree: tree,
    "founders": lambda tree: tree.founders(),
    "common_ancestor": lambda tree: tree.common_ancestor(),
    "effects": lambda tree: list(tree.effects()),
    "schedule": lambda tree: schedule_behind(next(reversed(tree.turns.values())).checkpoint, tree),
}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--members", type=int, default=1_000)
    options.add_argument("--turns", type=int, default=100)
    chosen = options.parse_args()
    events = list(log(chosen.members, chosen.turns))
    for asked, answer in ASKED.items():
        began = time.perf_counter()
        answer(Lineage(events))
        figures = {
            "asked": asked,
            "members": chosen.members,
            "turns": chosen.turns,
            "events": len(events),
            "seconds": time.perf_counter() - began,
        }
        report(figures, as_json=chosen.json)


if __name__ == "__main__":
    main()
