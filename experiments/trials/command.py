"""The command of an experiment: train what is not on record yet, and print what it comes to."""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ramet
from experiments.trials.comparison import compare
from experiments.trials.record import Record

# Committed, so that no figure of a page is without its trials.
RESULTS = Path(__file__).parents[2] / "docs" / "results"
QUICK_SEEDS = 2
ENGINES = ("vectorized", "inline", "processes")


@dataclass(frozen=True, slots=True)
class Setting:
    """How a trial is trained."""

    # Whether it is a short form that only shows that all of it runs.
    quick: bool
    # The store of its runs, which go on where they were stopped.
    store: str
    engine: ramet.Engine


@dataclass(frozen=True, slots=True)
class Experiment:
    """What an experiment measures, and how its methods are compared."""

    name: str
    # Trains a method with a seed, and returns its figures by name.
    train: Callable[[str, int, Setting], Mapping[str, float]]
    methods: Sequence[str]
    # What results depend on beside method and seed; `quick=` says whether it is the short form.
    settings: Callable[..., Mapping[str, Any]]
    # The figure by which methods are compared, and the pairs that are: names of methods, or a name
    # with another figure behind it, such as "pbt/replay".
    compared: str
    pairs: Sequence[tuple[str, str]]
    # How many seeds it has been designed for.
    seeds: int = 10
    # What trains it if the command does not say.
    engine: str = "vectorized"


def run_experiment(variants: Sequence[Experiment], doc: str | None) -> None:
    """Run the command of an experiment.

    Args:
        variants: What it measures: the first, unless ``--variant`` names another.
        doc: What ``--help`` says about it.
    """
    chosen = _parse(variants, doc)
    experiment = next(one for one in variants if one.name == chosen.variant)
    quick = chosen.quick
    folder = Path(chosen.folder or Path("out") / experiment.name)
    folder.mkdir(parents=True, exist_ok=True)
    results = (
        folder / f"{experiment.name}-quick.json" if quick else RESULTS / f"{experiment.name}.json"
    )
    record = Record(
        chosen.results or results,
        experiment=experiment.name,
        settings=experiment.settings(quick=quick),
    )
    store = folder / f"{experiment.name}{'-quick' if quick else ''}.db"
    setting = Setting(quick, str(store), _make_engine(chosen.engine, chosen.workers))
    count = chosen.seeds or (QUICK_SEEDS if quick else experiment.seeds)
    for seed in range(chosen.first_seed, chosen.first_seed + count):
        for method in chosen.methods:
            if (method, seed) not in record:
                began = time.perf_counter()
                figures = experiment.train(method, seed, setting)
                took_s = round(time.perf_counter() - began, 1)
                trial = record.add(method, seed, {**figures, "wall_s": took_s})
                print(json.dumps(trial._asdict()), flush=True)
    for line in summarise(experiment, record):
        print(json.dumps(line) if chosen.json else "  ".join(f"{k} {v}" for k, v in line.items()))


def summarise(experiment: Experiment, record: Record) -> list[dict[str, Any]]:
    """Return a line for each method that is on record, and one for each pair that is compared."""
    methods = [name for name in experiment.methods if any(t.method == name for t in record.trials)]
    seeds = record.seeds(methods)
    lines: list[dict[str, Any]] = []
    for method in methods:
        names = next(trial.figures for trial in record.trials if trial.method == method)
        line: dict[str, Any] = {"method": method, "seeds": len(seeds)}
        for name in names:
            line[name], line[f"{name}_sd"] = _spread(record.figures(method, name, seeds))
        lines.append(line)

    def find(side: str) -> list[float]:
        method, _, figure = side.partition("/")
        return record.figures(method, figure or experiment.compared, seeds)

    pairs = [
        (one, other, find(one), find(other))
        for one, other in experiment.pairs
        if seeds and {one.partition("/")[0], other.partition("/")[0]} <= set(methods)
    ]
    lines += [{**found._asdict(), "verdict": found.verdict} for found in compare(pairs)]
    return lines


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation."""
    if not values:
        return float("nan"), float("nan")
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def _make_engine(name: str, workers: int) -> ramet.Engine:
    if name == "vectorized":
        return ramet.Vectorized(progress=False)
    if name == "processes":
        return ramet.Processes(workers, progress=False)
    return ramet.Inline(progress=False)


def _parse(variants: Sequence[Experiment], doc: str | None) -> argparse.Namespace:
    experiment = variants[0]
    options = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [one.name for one in variants]
    options.add_argument("--variant", choices=names, default=names[0])
    options.add_argument("--quick", action="store_true", help="a short form, to see that it runs")
    options.add_argument("--seeds", type=int, help=f"how many; {experiment.seeds} if not given")
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument(
        "--methods",
        nargs="+",
        choices=experiment.methods,
        default=list(experiment.methods),
        metavar="METHOD",
    )
    options.add_argument("--engine", choices=ENGINES, default=experiment.engine)
    options.add_argument("--workers", type=int, default=os.cpu_count(), help="worker processes")
    options.add_argument("--folder", type=Path, help="of the runs; out/NAME if not given")
    options.add_argument("--results", type=Path, help="the JSON file of the trials")
    options.add_argument("--json", action="store_true", help="print the summary as JSON lines")
    return options.parse_args()
