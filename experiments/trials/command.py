"""The command of an experiment: train what is not on record yet, and print what it comes to."""

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import ramet
from experiments.trials.experiment import Experiment, Setting, summarise
from experiments.trials.page import make_tables, write_page
from experiments.trials.record import Record

# Committed, so that no figure of a page is without its trials.
RESULTS = Path(__file__).parents[2] / "docs" / "results"
QUICK_SEEDS = 2
ENGINES = ("vectorized", "inline", "processes")


def run_experiment(variants: Sequence[Experiment], doc: str | None) -> None:
    """Run the command of an experiment.

    Args:
        variants: What it measures: the first, unless ``--variant`` names another.
        doc: What ``--help`` says about it.
    """
    chosen, experiment = _parse(variants, doc)
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
    setting = Setting(quick, str(store), _make_engine(chosen))
    count = chosen.seeds or (QUICK_SEEDS if quick else experiment.seeds)
    for seed in range(chosen.first_seed, chosen.first_seed + count):
        for method in chosen.methods:
            if (method, seed) not in record:
                began = time.perf_counter()
                figures = experiment.train(method, seed, setting)
                took_s = round(time.perf_counter() - began, 1)
                trial = record.add(method, seed, {**figures, "wall_s": took_s})
                print(json.dumps(trial._asdict()), flush=True)
    if chosen.page is not None:
        write_page(experiment.name, make_tables(experiment, record), chosen.page)
    for line in summarise(experiment, record):
        print(json.dumps(line) if chosen.json else "  ".join(f"{k} {v}" for k, v in line.items()))


def _make_engine(chosen: argparse.Namespace) -> ramet.Engine:
    if chosen.engine == "vectorized":
        return ramet.Vectorized(chunk=chosen.chunk or "auto", progress=False)
    if chosen.engine == "processes":
        return ramet.Processes(chosen.workers, progress=False)
    return ramet.Inline(progress=False)


def _parse(
    variants: Sequence[Experiment], doc: str | None
) -> tuple[argparse.Namespace, Experiment]:
    """Return the options, and the variant that they name."""
    options = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [one.name for one in variants]
    options.add_argument("--variant", choices=names, default=names[0])
    options.add_argument("--quick", action="store_true", help="a short form, to see that it runs")
    options.add_argument(
        "--seeds", type=int, help="how many; as many as it is designed for if not given"
    )
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument("--methods", nargs="+", metavar="METHOD", help="all if not given")
    options.add_argument("--engine", choices=ENGINES, help="what trains; its own if not given")
    options.add_argument("--workers", type=int, default=os.cpu_count(), help="worker processes")
    options.add_argument(
        "--chunk", type=int, help="members that the vectorized engine maps at once; else measured"
    )
    options.add_argument("--folder", type=Path, help="of the runs; out/NAME if not given")
    options.add_argument("--results", type=Path, help="the JSON file of the trials")
    options.add_argument("--page", type=Path, help="a page to write the tables of all trials into")
    options.add_argument("--json", action="store_true", help="print the summary as JSON lines")
    chosen = options.parse_args()
    experiment = next(one for one in variants if one.name == chosen.variant)
    chosen.methods = chosen.methods or list(experiment.methods)
    chosen.engine = chosen.engine or experiment.engine
    if unknown := [name for name in chosen.methods if name not in experiment.methods]:
        named = ", ".join(experiment.methods)
        options.error(f"the methods of {experiment.name} are {named}, but got {unknown}")
    return chosen, experiment
