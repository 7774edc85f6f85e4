"""An experiment: what it measures, how its methods are compared, and what its trials come to."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ramet
from experiments.trials.comparison import compare
from experiments.trials.record import Record


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
    # The figures of its tables, with their headings.
    headings: Mapping[str, str]
    # How many seeds it has been designed for.
    seeds: int = 10
    # What trains it if the command does not say.
    engine: str = "vectorized"


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
