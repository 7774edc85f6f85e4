"""Is the schedule good, or was a network lucky? The README's loop, and its proof, over five seeds.

    python -m benchmarks.readme
    python -m benchmarks.readme --figures docs/figures

Each seed trains the population of examples/noisy_digits.py. New networks are then trained on the
schedule behind its best weights, and others on the schedule's last value throughout, for as many
steps. ``random search`` is the best of as many members that keep their first learning rate. All
losses are of 397 test images that no run saw. ``--figures`` draws the population of the median loss
beside the losses of all, for a light and for a dark page; it takes matplotlib.
"""

import os
import statistics
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import ramet
import ramet.torch
from benchmarks.reporting import parser, report
from examples import noisy_digits as loop
from ramet.history import Snapshot

STEPS = 1_000
SEEDS = 5
# New networks for each schedule.
FRESH = 3
# What is printed of each, in this order.
SAID = {
    "population": "the population's best",
    "replay": "new networks, trained on its schedule",
    "last values": "new networks, with its last value alone",
    "random search": "random search, as many steps",
}
QUIET = ramet.Inline(progress=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The test losses that one seed came to, and the turns of its population."""

    losses: dict[str, float]
    turns: list[dict[str, Any]]
    schedule: ramet.Schedule


def train(seed: int) -> Trial:
    torch.set_num_threads(1)
    result = search(loop.strategy, seed)
    schedule = result.schedule()
    seeds = range(FRESH * seed, FRESH * (seed + 1))
    control = ramet.RandomSearch(population=8, turn_steps=50, synchronous=True)
    losses = {
        "population": test(result.best),
        "replay": replay(schedule, seeds),
        "last values": replay(schedule.last_values(), seeds),
        "random search": test(search(control, seed).best),
    }
    return Trial(losses=losses, turns=result.rows("turns"), schedule=schedule)


def search(strategy: ramet.Strategy, seed: int) -> ramet.Result:
    return ramet.run(
        loop.train, loop.space, strategy, steps=STEPS, mode="min", seed=seed, engine=QUIET
    )


def replay(schedule: ramet.Schedule, seeds: range) -> float:
    """Return the mean test loss of new networks that are trained on a schedule."""
    replayed = ramet.replay(loop.train, schedule, seeds=seeds, mode="min", engine=QUIET)
    return statistics.fmean(test(member) for member in replayed.result.members)


def test(weights: Snapshot) -> float:
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    ramet.torch.load_model(model, weights.load())
    return float(loop.test(model, 1_400, None))  # type: ignore[no-untyped-call]  # as users write


def summary(method: str, losses: list[float]) -> dict[str, Any]:
    return {
        "method": method,
        "mean": statistics.fmean(losses),
        "sd": statistics.stdev(losses),
        "losses": losses,
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes to run in")
    options.add_argument("--figures", type=Path, help="the folder to draw in")
    chosen = options.parse_args()
    with ProcessPoolExecutor(chosen.jobs) as pool:
        trials = list(pool.map(train, range(SEEDS)))
    losses = {name: [trial.losses[name] for trial in trials] for name in SAID}
    for name, found in losses.items():
        figures = summary(name, found)
        if chosen.json:
            report(figures, as_json=True)
        else:
            print(f"{SAID[name]:<41} {figures['mean']:.3f} ± {figures['sd']:.3f}")
    if chosen.figures:
        from benchmarks.readme_figure import draw  # noqa: PLC0415 - takes matplotlib

        middle = sorted(trials, key=lambda trial: trial.losses["population"])[SEEDS // 2]
        draw(middle.turns, middle.schedule, losses, chosen.figures)


if __name__ == "__main__":
    main()
