"""What Lightning's Trainer is refused, because a member could not be trained by it."""

from typing import Any

import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy

import ramet
from ramet.errors import (
    HyperparameterOverwritten,
    MissingScore,
    ScoreError,
    StateError,
    TurnInterrupted,
    UsageError,
)
from ramet.integrations.lightning import Turns
from tests.integrations.lit import Net, fit

# What Lightning says of small loaders, and what it uses itself that is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore")

RATES = ramet.Space(lr=ramet.LogUniform(1e-3, 0.1))
STRATEGY = ramet.PBT(population=6, turn_steps=5, synchronous=True)


def run_badly(module: Any, monitor: Any = "val_loss", **settings: Any) -> None:
    ramet.run(
        lambda member: fit(module, Turns(member, monitor), **settings),
        RATES,
        STRATEGY,
        steps=10,
        mode="max",
    )


def test_a_metric_that_nobody_logs_is_refused_by_name() -> None:
    with pytest.raises(MissingScore, match=r"'val_acc' is not among \['val_loss'\]; log it"):
        run_badly(Net(), "val_acc")


def test_a_metric_of_training_is_refused_though_an_epoch_of_several_members_logged_it() -> None:
    class Logging(Net):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            loss = super().training_step(batch, batch_idx)
            self.log("train_loss", loss, on_step=False, on_epoch=True)
            return loss

    with pytest.raises(MissingScore, match=r"'train_loss' is not among \['val_loss'\]; log it in"):
        run_badly(Logging(), "train_loss")


def test_a_metric_that_only_an_earlier_validation_logged_is_refused() -> None:
    class Once(Net):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            super().validation_step(batch, batch_idx)
            if self.trainer.global_step == 5:
                self.log("once", 1.0)

    with pytest.raises(MissingScore, match=r"'once' is not among \['val_loss'\]; log it in"):
        run_badly(Once(), "once")


def test_a_trainer_that_does_not_validate_is_refused() -> None:
    with pytest.raises(MissingScore, match="due, at step 5, but it did not; pass a val"):
        run_badly(Net(), limit_val_batches=0)


def test_a_trainer_of_several_processes_is_refused_before_it_trains() -> None:
    of_two = SingleDeviceStrategy("cpu")
    of_two.world_size = 2

    class Untouched(Net):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            pytest.fail("it trains")

    with pytest.raises(UsageError, match=r"uses 2, .* set devices=1, .*Processes\(2, gpus=1"):
        run_badly(Untouched(), strategy=of_two)


def test_a_trainer_that_ends_early_is_refused() -> None:
    with pytest.raises(TurnInterrupted, match=r"ended at step 3 of turn 0 .* max_epochs=-1"):
        run_badly(Net(), max_steps=2)


def test_a_trainer_that_somebody_else_stops_is_refused() -> None:
    class Hasty(Net):
        def on_validation_end(self) -> None:
            self.trainer.should_stop = not self.trainer.sanity_checking

    with pytest.raises(TurnInterrupted, match="no EarlyStopping"):
        run_badly(Hasty())


def test_a_trainer_that_does_not_stop_is_refused() -> None:
    with pytest.raises(ramet.RametError, match="leave out min_epochs"):
        run_badly(Net(), min_epochs=100)


def test_a_schedule_that_goes_by_scores_is_refused() -> None:
    class Plateau(Net):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
            return [optimizer], [{"scheduler": plateau, "monitor": "val_loss"}]

    with pytest.raises(StateError, match="ReduceLROnPlateau depends on evaluations"):
        run_badly(Plateau())


@pytest.mark.parametrize("clock", [{}, {"interval": "epoch"}, {"interval": "step", "frequency": 2}])
def test_a_schedule_that_goes_by_the_loop_is_refused(clock: dict[str, Any]) -> None:
    class Halving(Net):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            halving = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1)
            return [optimizer], [{"scheduler": halving, **clock}]

    with pytest.raises(StateError, match=r"of StepLR has interval=.*\"interval\": \"step\"}"):
        run_badly(Halving())


def test_a_module_without_an_optimizer_is_refused() -> None:
    class Untrained(Net):
        def configure_optimizers(self) -> Any:
            return None

    with pytest.raises(StateError, match="Untrained has none"):
        run_badly(Untrained())


def test_a_module_that_sets_the_rate_itself_is_told_so() -> None:
    class Stubborn(Net):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            self.optimizers().param_groups[0]["lr"] = 0.5

    with pytest.raises(HyperparameterOverwritten, match="'lr' must stay as applied"):
        run_badly(Stubborn())


def test_a_score_function_that_returns_nothing_is_refused_with_advice_that_fits() -> None:
    with pytest.raises(ScoreError, match=r"the function that monitor= names.* raise evaluate_ev"):
        run_badly(Net(), lambda module: None)
