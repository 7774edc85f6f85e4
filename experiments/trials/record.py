"""The record of an experiment: one JSON file, which grows by one trial at a time.

A trial is one method with one seed. Whoever repeats the command goes on with the trials that are
not on record yet.
"""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ramet.errors import UsageError


class Trial(NamedTuple):
    """What one method came to with one seed."""

    method: str
    seed: int
    # Figures by name, such as the accuracy on test images.
    figures: dict[str, float]
    # Where it was trained.
    machine: str


class Record:
    """The trials of an experiment, in a file.

    Args:
        path: The file; it need not exist yet.
        experiment: The name of the experiment.
        settings: What its results depend on beside method and seed. A file that was begun with
            others is refused, because its trials cannot be compared with new ones.
    """

    def __init__(self, path: Path, *, experiment: str, settings: Mapping[str, Any]) -> None:
        self.path, self.experiment = path, experiment
        self.settings = json.loads(json.dumps(settings))
        self.trials: list[Trial] = []
        if path.exists():
            self._read()

    def __contains__(self, key: tuple[str, int]) -> bool:
        return any((trial.method, trial.seed) == key for trial in self.trials)

    def add(self, method: str, seed: int, figures: Mapping[str, float]) -> Trial:
        """Write a trial that has ended."""
        trial = Trial(method, seed, dict(figures), machine())
        self.trials.append(trial)
        self._write()
        return trial

    def figures(self, method: str, figure: str, seeds: Sequence[int]) -> list[float]:
        """Return a figure of a method for each seed, in their order."""
        found = {
            trial.seed: trial.figures[figure] for trial in self.trials if trial.method == method
        }
        return [found[seed] for seed in seeds]

    def seeds(self, methods: Sequence[str]) -> list[int]:
        """Return the seeds with which all of these methods are on record."""
        seeds = {trial.seed for trial in self.trials}
        return sorted(seed for seed in seeds if all((method, seed) in self for method in methods))

    def _read(self) -> None:
        found = json.loads(self.path.read_text())
        if found["experiment"] != self.experiment or found["settings"] != self.settings:
            raise UsageError(
                f"the trials in one file must have the same settings, but {self.path} is of "
                f"{found['experiment']!r} with {found['settings']}, and these are of "
                f"{self.experiment!r} with {self.settings}; choose another file with --results, or "
                f"delete this one"
            )
        self.trials = [Trial(**trial) for trial in found["trials"]]

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        trials = [json.dumps(trial._asdict()) for trial in sorted(self.trials, key=_order)]
        head = json.dumps({"experiment": self.experiment, "settings": self.settings}, indent=1)
        text = f'{head[:-2]},\n "trials": [\n  ' + ",\n  ".join(trials) + "\n ]\n}\n"
        # A whole file or none: the trials took hours.
        beside = self.path.with_name(f"{self.path.name}.new")
        beside.write_text(text)
        beside.replace(self.path)


def _order(trial: Trial) -> tuple[int, str]:
    return trial.seed, trial.method


def machine() -> str:
    """Return the machine in a few words: its device, if that is a GPU, or its cores."""
    # Experiments without JAX are not to load it: its threads are in the way of Ray's processes.
    jax = sys.modules.get("jax")
    if jax is not None and (device := jax.devices()[0]).platform != "cpu":
        return str(device.device_kind)
    return f"{os.cpu_count()} cores, {platform.machine()}"
