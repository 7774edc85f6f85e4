"""Lightning: a callback by which a Trainer trains a member's turns."""

try:
    import lightning.pytorch as pl
except ImportError as error:
    raise ImportError(
        f"ramet.integrations.lightning needs Lightning, but {error}; install it: "
        f"pip install 'ramet[lightning]'"
    ) from error

import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.types import LRSchedulerConfig

import ramet.torch
from ramet.averaging import Average
from ramet.engine.run.turn import Turn
from ramet.engine.workers.session import Session
from ramet.errors import MissingScore, StateError, UsageError
from ramet.integrations.stepping import (
    Bind,
    Stepping,
    bindings,
    check_alone,
    check_scheduler,
    evaluating,
    metric_of,
)


class Turns(Checkpoint):
    """Makes a Trainer train a member's turns, and stops it when there are no more.

    ::

        def train(session):
            ramet.torch.seed(session.seed)
            turns = Turns(session, monitor="val_acc")
            trainer = lightning.Trainer(max_epochs=-1, devices=1, callbacks=[turns], logger=False)
            trainer.fit(Model(), train_loader, val_loader)

    A step is an optimizer step: with ``accumulate_grad_batches=4``, four batches. Lightning
    validates when a score is due, and only then.

    These follow a member: the module, all optimizers, schedulers, a gradient scaler, generators of
    random numbers, and ``others``. The position in the training data does not, nor does what
    modules keep outside of their ``state_dict``: the loop continues there with the next member. So
    a run gives the same result for any number of workers if batches are drawn from PyTorch's
    default generator when they are needed. A shuffled loader draws once for an epoch, and of a
    loader without a length, such as that of an ``IterableDataset``, Lightning prefetches a batch.

    ``lr`` is that of the first optimizer, or the base of its schedule, which must depend on steps:
    ``{"scheduler": s, "interval": "step"}``. Other entries of its param groups are set by their
    names too. The module itself can read all others from ``turn.hparams``.

    The callback replaces Lightning's own checkpoints, which would mix members: leave out
    ``enable_checkpointing=False``.

    Args:
        member: The session.
        monitor: The name of the metric that is the score, logged in validation; or a function of
            the module that returns the score.
        bind: Where further hyperparameters are set, as ``ramet.torch.State`` takes it, or a
            function of the module that returns that.
        others: Further parts that follow a member, as ``ramet.torch.State`` takes them.
        average: A running average of the weights, as ``ramet.torch.State`` takes it. The module
            has the averaged weights while Lightning validates for a score.
    """

    def __init__(
        self,
        member: Session,
        monitor: str | Callable[[Any], Any],
        *,
        bind: Bind | None = None,
        others: Sequence[Any] = (),
        average: Average | None = None,
    ) -> None:
        self._member = member
        # The name of a metric, or else a function.
        self._metric = monitor if isinstance(monitor, str) else None
        self._score = None if isinstance(monitor, str) else monitor
        self._bind = bind
        self._others = others
        self._average = average
        # Gives the module its own weights back, if it has the averaged ones.
        self._shown = ExitStack()
        self._stepping: Stepping | None = None
        # The optimizer's steps that were counted.
        self._counted = 0
        self._awaits_score = False
        self._on_interrupt = signal.getsignal(signal.SIGINT)

    @property
    def turn(self) -> Turn:
        """The current turn; when all are over, the last."""
        return self._active.turn

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        check_alone(trainer.world_size, "set devices=1")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stepping = Stepping(self._member, self._state(trainer, pl_module), self._average)
        self._counted = trainer.global_step
        # Count the batches between validations from the start, not within epochs.
        trainer.check_val_every_n_epoch = None
        self._stop_when_over(trainer)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._awaits_score:
            raise MissingScore(
                f"Lightning must validate when a score is due, at step {self.turn.step}, but it "
                f"did not; pass a validation loader to fit(), do not set limit_val_batches=0 or a "
                f"val_check_interval in time, or monitor a function of the module"
            )
        if self._active.over:
            raise UsageError(
                "Lightning must stop when there are no more turns, but it goes on; leave out "
                "min_epochs and min_steps"
            )

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        stepped = trainer.global_step > self._counted
        self._counted = trainer.global_step
        self._awaits_score = stepped and self._active.score_due and self._score is None
        # Lightning validates next if this divides the number of batches so far.
        this_one = trainer.fit_loop.total_batch_idx + 1
        trainer.val_check_batch = this_one if self._awaits_score else this_one + 1
        if stepped and not self._awaits_score:
            self._step(trainer, self._compute_score(pl_module))

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._awaits_score and self._metric is not None:
            # Lightning keeps old metrics, and this one may be of another member.
            trainer.callback_metrics.pop(self._metric, None)
            self._shown.enter_context(self._active.scoring())

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._awaits_score and self._metric is not None:
            self._awaits_score = False
            self._shown.close()
            remedy = "log it in validation_step: self.log(name, value)"
            self._step(trainer, metric_of(trainer.callback_metrics, self._metric, remedy))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._active.refuse_an_early_end(
            "let nothing but its turns stop the Trainer: max_epochs=-1, and no EarlyStopping"
        )

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Let Ctrl-C reach the caller: Lightning would end the process and ignore a second one."""
        self._shown.close()
        if isinstance(exception, KeyboardInterrupt):
            signal.signal(signal.SIGINT, self._on_interrupt)
            raise exception

    @property
    def _active(self) -> Stepping:
        if self._stepping is None:
            raise UsageError(
                "a member's turns must be trained by trainer.fit(), but it has not begun"
            )
        return self._stepping

    def _step(self, trainer: pl.Trainer, score: Any) -> None:
        self._active.step(score)
        self._stop_when_over(trainer)

    def _stop_when_over(self, trainer: pl.Trainer) -> None:
        if self._active.over:
            trainer.should_stop = True

    def _compute_score(self, module: pl.LightningModule) -> Any:
        if self._score is None or not self._active.score_due:
            return None
        with evaluating(module), self._active.scoring():
            return self._score(module)

    def _state(self, trainer: pl.Trainer, module: pl.LightningModule) -> ramet.torch.State:
        # Without one, Lightning has an optimizer that is empty.
        if not any(optimizer.param_groups for optimizer in trainer.optimizers):
            raise StateError(
                f"a module must have an optimizer for a member to be trained with, but "
                f"{type(module).__name__} has none; return it from configure_optimizers"
            )
        first, *more = trainer.optimizers
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        for config in trainer.lr_scheduler_configs:
            check_scheduler(config.scheduler)
            if module.automatic_optimization:
                _check_interval(config)
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        of_the_rate = [one for one in schedulers if one.optimizer is first]
        return ramet.torch.State(
            module,
            first,
            *more,
            *schedulers,
            *([] if scaler is None else [scaler]),
            *self._others,
            bind=bindings(self._member, partial(_place, of_the_rate), self._bind, module),
            average=self._average,
            # The Trainer keeps the position in the data from turn to turn.
            watch_loaders=False,
        )


def _check_interval(config: LRSchedulerConfig) -> None:
    """Refuse a schedule that depends on the loop's own count of epochs or batches."""
    if (config.interval, config.frequency) != ("step", 1):
        raise StateError(
            f"a schedule must advance at every step, so that it follows its member, but that of "
            f"{type(config.scheduler).__name__} has interval={config.interval!r} and "
            f"frequency={config.frequency}, and an epoch is of several members; return it as "
            f'{{"scheduler": s, "interval": "step"}}, with its lengths in steps'
        )


def _place(schedulers: Sequence[Any], name: str) -> Any:
    """Return the base of the first optimizer's only schedule, the place of its rate."""
    return ramet.torch.base_lr(schedulers[0]) if name == "lr" and len(schedulers) == 1 else None
