"""The tables of a page of results are those that its trials give."""

import importlib
import json
from pathlib import Path

import pytest

from experiments.trials import Experiment, Record, make_tables
from tests.frameworks import framework

framework("jax")

RESULTS = Path(__file__).parents[2] / "docs" / "results"
# The module that has each experiment, which is also the name of its page.
MODULES = {
    "acrobot": "reinforcement",
    "alternatives": "alternatives",
    "analyses": "analyses",
    "breakout": "reinforcement",
    "cartpole": "reinforcement",
    "clean": "image",
    "gan": "gan",
    "image": "image",
    "large-batches": "image",
    "one-layer": "image",
    "pendulum": "reinforcement",
    "protocol-acrobot": "protocol",
    "protocol-breakout": "protocol",
    "protocol-fashion": "protocol",
    "residual": "image",
    "translation": "translation",
}


def find(name: str) -> Experiment:
    module = importlib.import_module(f"experiments.{MODULES[name]}")
    return next(each for each in module.EXPERIMENTS if each.name == name)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_the_page_has_the_tables_of_its_trials(path: Path) -> None:
    experiment = find(path.stem)
    record = Record(path, experiment=experiment.name, settings=experiment.settings(quick=False))
    assert json.loads(path.read_text())["trials"]
    tables = "\n".join(make_tables(experiment, record))
    page = path.with_name(f"{MODULES[path.stem]}.md").read_text()
    assert f"<!-- {experiment.name} -->\n{tables}\n<!-- end -->" in page


def test_the_first_page_has_the_answers_of_the_trials() -> None:
    from experiments.overview import make_table  # noqa: PLC0415 - it imports JAX

    table = "\n".join(make_table())
    assert f"<!-- overview -->\n{table}\n<!-- end -->" in (RESULTS / "README.md").read_text()
