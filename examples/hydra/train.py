"""A run whose space and strategy are in Hydra's configuration, as are the constants of training.

    python train.py steps=1000
    python train.py --multirun seed=0,1,2      # three runs in one store
    python train.py --multirun hidden=1,2 seed=0,1      # four more

pip install hydra-core
"""

import hydra
import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate

import ramet


@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(config):
    # What was set on the command line, as in "climb,hidden=2,seed=0"; see config.yaml.
    job = HydraConfig.get().job
    name = ",".join(filter(None, (job.name, job.override_dirname)))
    # Plain values, which worker processes get.
    hidden = config.hidden

    def train(session):
        state = {"x": np.zeros(1)}
        for turn in session.turns(state):
            for _ in turn:
                state["x"] += hidden * turn.hparams["lr"]
            turn.report(state["x"][0])

    result = ramet.run(
        train,
        instantiate(config.space, _convert_="all"),
        instantiate(config.strategy, _convert_="all"),
        steps=config.steps,
        mode="max",
        seed=config.seed,
        store=config.store,
        # A run is known by its name: whatever is set on the command line has one of its own.
        name=name,
        workers=config.workers,
    )
    print(f"{name}: best {result.best.score:.1f}")


if __name__ == "__main__":
    main()
