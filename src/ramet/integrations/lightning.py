"""Lightning: a callback that has a Trainer train a member's turns."""

try:
    import lightning.pytorch as pl
except ImportError as error:
    raise ImportError(
        f"ramet.integrations.lightning needs Lightning, but {error}; install it: "
        f"pip install 'ramet[lightning]'"
    ) from error

import signal
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.types import LRSchedulerConfig

import ramet.torch
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
    """Has a Trainer train a member's turns, and stops it when there are no more.

    ::

        def train(session):
            ramet.torch.seed(session.seed)
            turns = Turns(session, monitor="val_acc")
            trainer = lightning.Trainer(max_epochs=-1, devices=1, callbacks=[turns], logger=False)
            trainer.fit(Model(), train_loader, val_loader)

    A step is one of the optimiser: with ``accumulate_grad_batches=4``, four batches. Lightning
    validates where a score is due and nowhere else; ``monitor`` is a metric that this logs, none
    of training, or a function of the module, which then is called instead.

    What follows a member: the module, all optimisers, schedulers, a gradient scaler, generators of
    random numbers, and ``others``, as ``ramet.torch.State`` takes them. What does not: the place in
    the training data, where the loop goes on with whoever is next, and what modules keep outside
    of their ``state_dict``. So a run is the same for any number of workers if batches are drawn
    from PyTorch's own generator when they are needed. A shuffled loader draws once for an epoch,
    and of a loader without a length, as of an ``IterableDataset``, Lightning has a batch ahead.

    ``lr`` is the first optimiser's, or the base of its schedule, which has to go by steps:
    ``{"scheduler": s, "interval": "step"}``. Entries of its parameter groups go
    by their names too, and ``bind`` says where others go, as ``ramet.torch.State`` takes it; if it
    is a function, it is called with the module once that has its optimisers. Whatever the module
    reads itself is in ``turn.hparams``.

    It takes the place of Lightning's own checkpoints, which would be of several members: leave out
    ``enable_checkpointing=False``.
    """

    def __init__(
        self,
        member: Session,
        monitor: str | Callable[[Any], Any],
        *,
        bind: Bind | None = None,
        others: Sequence[Any] = (),
    ) -> None:
        self._member = member
        # The name of a metric, or else a function.
        self._metric = monitor if isinstance(monitor, str) else None
        self._score = None if isinstance(monitor, str) else monitor
        self._bind = bind
        self._others = others
        self._stepping: Stepping | None = None
        # The optimiser's steps of which a turn's were counted.
        self._counted = 0
        self._awaits_score = False
        self._on_interrupt = signal.getsignal(signal.SIGINT)

    @property
    def turn(self) -> Turn:
        """The turn that is being trained; when all are over, the last."""
        return self._active.turn

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        check_alone(trainer.world_size, "set devices=1")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stepping = Stepping(self._member, self._state(trainer, pl_module))
        self._counted = trainer.global_step
        # Where validation runs is counted in batches from the beginning, not within epochs.
        trainer.check_val_every_n_epoch = None
        self._stop_when_over(trainer)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._awaits_score:
            raise MissingScore(
                f"Lightning must validate where a score is due, at step {self.turn.step}, but it "
                f"did not; give fit() a validation loader, do not set limit_val_batches=0 or a "
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
        # Lightning is about to validate if this divides the number of batches so far.
        this_one = trainer.fit_loop.total_batch_idx + 1
        trainer.val_check_batch = this_one if self._awaits_score else this_one + 1
        if stepped and not self._awaits_score:
            self._step(trainer, self._compute_score(pl_module))

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning keeps all metrics there were: this one may be another member's.
        if self._awaits_score and self._metric is not None:
            trainer.callback_metrics.pop(self._metric, None)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._awaits_score and self._metric is not None:
            self._awaits_score = False
            remedy = "log it in validation_step: self.log(name, value)"
            self._step(trainer, metric_of(trainer.callback_metrics, self._metric, remedy))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._active.refuse_an_early_end(
            "let nothing but its turns stop the Trainer: max_epochs=-1, and no EarlyStopping"
        )

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave Ctrl-C to whoever called: Lightning would end the process, deaf to another one."""
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
        with evaluating(module):
            return self._score(module)

    def _state(self, trainer: pl.Trainer, module: pl.LightningModule) -> ramet.torch.State:
        # Where there is none, Lightning has one that holds nothing.
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
            # The place in the data is the Trainer's, from turn to turn.
            watch_loaders=False,
        )


def _check_interval(config: LRSchedulerConfig) -> None:
    """Refuse a schedule that goes by the loop's own count, of epochs or of batches."""
    if (config.interval, config.frequency) != ("step", 1):
        raise StateError(
            f"a schedule must go by every step, so that it follows its member, but that of "
            f"{type(config.scheduler).__name__} has interval={config.interval!r} and "
            f"frequency={config.frequency}, and epochs are of several members; return it as "
            f'{{"scheduler": s, "interval": "step"}}, with its lengths in steps'
        )


def _place(schedulers: Sequence[Any], name: str) -> Any:
    """Return the base of the first optimiser's schedule, where its rate goes if it has one."""
    return ramet.torch.base_lr(schedulers[0]) if name == "lr" and len(schedulers) == 1 else None
