"""Ray Tune's PBT on the toy of benchmarks.overhead: pip install "ray[tune]"."""

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# Before Ray is imported: nothing is to be logged or sent.
os.environ |= {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # The state of the experiment is written at the end, and not as it goes.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
}

import ray
from ray import tune
from ray.tune.schedulers import PopulationBasedTraining


class Toy(tune.Trainable):  # type: ignore[misc]  # Ray need not be installed here
    """A step of one addition, which notes when each of its turns ended."""

    def setup(self, config: dict[str, Any]) -> None:
        self.progress = 0.0
        self.config = config
        self.notes = Path(str(config["notes"]))

    def step(self) -> dict[str, float]:
        self.progress += float(self.config["lr"]) * (1 - float(self.config["momentum"]))
        with self.notes.open("a") as notes:
            notes.write(f"{time.time()}\n")
        return {"score": self.progress}

    def save_checkpoint(self, folder: str) -> None:
        (Path(folder) / "state").write_text(str(self.progress))

    def load_checkpoint(self, folder: str) -> None:
        self.progress = float((Path(folder) / "state").read_text())

    def reset_config(self, config: dict[str, Any]) -> bool:
        self.config = config
        return True


def train(*, actors: int, members: int, steps: int, synchronous: bool) -> tuple[list[float], float]:
    """Return when each turn ended, and when the call began, Ray's own start included."""
    called = time.time()
    with TemporaryDirectory() as folder:
        ray.init(num_cpus=actors, include_dashboard=False, log_to_driver=False)
        scheduler = PopulationBasedTraining(
            time_attr="training_iteration",
            metric="score",
            mode="max",
            perturbation_interval=1,
            synch=synchronous,
            hyperparam_mutations={
                "lr": tune.loguniform(1e-4, 1.0),
                "momentum": tune.uniform(0.0, 0.99),
            },
        )
        notes = Path(folder) / "notes"
        tuner = tune.Tuner(
            tune.with_resources(Toy, {"cpu": 1}),
            tune_config=tune.TuneConfig(
                scheduler=scheduler, num_samples=members, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                stop={"training_iteration": steps}, storage_path=folder, verbose=0
            ),
            param_space={
                "lr": tune.loguniform(1e-4, 1.0),
                "momentum": tune.uniform(0.0, 0.99),
                "notes": str(notes),
            },
        )
        tuner.fit()
        ray.shutdown()
        return sorted(float(line) for line in notes.read_text().split()), called
