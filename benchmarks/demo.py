"""What `ramet demo` comes to, over many seeds.

    python -m benchmarks.demo --seeds 10 --json

A line for each run, then one for each strategy, with means over the seeds: ``test`` is the accuracy
on the test images, ``loss`` that on which members are scored, ``wall_s`` and ``cpu_s`` what a run
took with its worker processes. Of the seeds, ``fire_ahead`` is how often FIRE had the higher
accuracy, ``level`` how often the same one, and ``fire_lower_loss`` how often the lower loss.
Settings of the demo were chosen on seeds 100 to 105, which therefore tell nothing.
"""

import resource
import statistics
import time
from collections import defaultdict
from typing import Any

from benchmarks.reporting import parser, report
from ramet.cli.demo import MEMBERS, STEPS, WORKERS, strategies
from ramet.cli.digits import best_of, compete, load

FIRE = "FIRE"


def measured(name: str, seed: int, *, steps: int, members: int, workers: int) -> dict[str, Any]:
    digits = load(seed)
    cpu_s, began = _cpu_s(), time.perf_counter()
    strategy = strategies(members)[name]
    result = compete(strategy, digits, name=name, steps=steps, seed=seed, workers=workers)
    found = best_of(result, digits)
    return {
        "strategy": name,
        "seed": seed,
        "test": found.recognised / len(digits.test.labels),
        "loss": found.loss,
        "wall_s": time.perf_counter() - began,
        "cpu_s": _cpu_s() - cpu_s,
    }


def summary(name: str, runs: list[dict[str, Any]], fires: list[dict[str, Any]]) -> dict[str, Any]:
    means = {
        key: statistics.fmean(run[key] for run in runs)
        for key in ("test", "loss", "wall_s", "cpu_s")
    }
    if name == FIRE:
        return {"strategy": name, "seeds": len(runs), **means}
    pairs = list(zip(fires, runs, strict=True))
    return {
        "strategy": name,
        "seeds": len(runs),
        **means,
        "fire_ahead": sum(fire["test"] > run["test"] for fire, run in pairs),
        "level": sum(fire["test"] == run["test"] for fire, run in pairs),
        "fire_lower_loss": sum(fire["loss"] < run["loss"] for fire, run in pairs),
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=10, help="how many")
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument("--members", type=int, default=MEMBERS)
    options.add_argument("--steps", type=int, default=STEPS)
    options.add_argument("--workers", type=int, default=WORKERS)
    chosen = options.parse_args()
    settings = {"steps": chosen.steps, "members": chosen.members, "workers": chosen.workers}
    runs: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds):
        for name in strategies(chosen.members):
            runs[name].append(measured(name, seed, **settings))
            report(runs[name][-1], as_json=chosen.json)
    for name, of_all in runs.items():
        report(summary(name, of_all, runs[FIRE]), as_json=chosen.json)


def _cpu_s() -> float:
    """Return the processor time of this process and of its children that have ended."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


if __name__ == "__main__":
    main()
