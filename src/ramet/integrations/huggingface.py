"""Hugging Face: a callback by which a Trainer of transformers trains a member's turns."""

try:
    from transformers import (
        Trainer,
        TrainerCallback,
        TrainerControl,
        TrainerState,
        TrainingArguments,
    )
except ImportError as error:
    raise ImportError(
        f"ramet.integrations.huggingface needs transformers and accelerate, but {error}; install "
        f"them: pip install 'ramet[huggingface]'"
    ) from error

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

import ramet.torch
from ramet.averaging import Average
from ramet.engine.run.turn import Turn
from ramet.engine.workers.session import Session
from ramet.errors import MissingScore, UsageError
from ramet.integrations.stepping import (
    Bind,
    Stepping,
    bindings,
    check_alone,
    check_scheduler,
    evaluating,
    metric_of,
)

# The names in TrainingArguments for entries of an optimizer's param groups.
ENTRIES = {"adam_beta1": "betas[0]", "adam_beta2": "betas[1]", "adam_epsilon": "eps"}


class Turns(TrainerCallback):
    """Makes a Trainer train a member's turns, and stops it when there are no more.

    ::

        def train(session):
            ramet.torch.seed(session.seed)
            arguments = TrainingArguments(
                "out",
                max_steps=10**9,
                lr_scheduler_type="constant",
                save_strategy="no",
                seed=session.seed,
            )
            data = {"train_dataset": train_dataset, "eval_dataset": eval_dataset}
            Trainer(model(), arguments, callbacks=[Turns(session, "eval_accuracy")], **data).train()

    A step is an optimizer step, of ``gradient_accumulation_steps`` batches. The Trainer evaluates
    when a score is due.

    These follow a member: the model, the optimizer, the scheduler, a gradient scaler, generators of
    random numbers, and ``others``. The position in the training data does not: the loop continues
    there with the next member. The Trainer draws the order ahead of training, so a run gives the
    same result for any number of workers only if all batches are alike.

    Hyperparameters with names of ``TrainingArguments`` are set where those are used:
    ``learning_rate`` (or ``lr``) is the base of the schedule, ``weight_decay`` that of the group
    that decays, and there are ``adam_beta1``, ``adam_beta2``, ``adam_epsilon`` and
    ``max_grad_norm``. Entries of the optimizer's param groups are set by their own names too.

    ``max_steps`` must be at least the steps that one process may train for all members together.
    The Trainer stretches its own learning rate schedule to this length. So use
    ``lr_scheduler_type="constant"``, or pass a scheduler of the right length. ``save_strategy``
    must be ``"no"``, because the Trainer's checkpoints would mix members.

    Args:
        member: The session.
        monitor: The name of the metric that is the score, of any evaluation dataset; or a function
            of the model that returns the score.
        bind: Where further hyperparameters are set, as ``ramet.torch.State`` takes it, or a
            function of the model that returns that.
        others: Further parts that follow a member, as ``ramet.torch.State`` takes them.
        average: A running average of the weights, as ``ramet.torch.State`` takes it. The model has
            the averaged weights while it is evaluated for a score.
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
        self._stepping: Stepping | None = None
        self._awaits_score = False
        # How many datasets the Trainer evaluates on, one after the other.
        self._datasets = 1
        # How many of them are left since a score is due, and the metrics of the others.
        self._to_come = 0
        self._came: dict[str, Any] = {}

    @property
    def turn(self) -> Turn:
        """The current turn; when all are over, the last."""
        return self._active.turn

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **at: Any,
    ) -> None:
        check_alone(max(args.world_size, args.n_gpu), "start it with python alone, not torchrun")
        _check_saving(args)
        if self._metric is not None:
            self._datasets = _datasets(_calling(), self._metric)
        model, optimizer, scheduler = at["model"], at["optimizer"], at["lr_scheduler"]
        check_scheduler(scheduler)
        scaler = getattr(optimizer, "scaler", None)
        bare = _unwrap(optimizer)

        def place(name: str) -> Any:
            return _place(name, args, bare, scheduler)

        whole = ramet.torch.State(
            model,
            bare,
            *[one for one in (scheduler, scaler) if one is not None],
            *self._others,
            bind=bindings(self._member, place, self._bind, model),
            average=self._average,
            # The Trainer keeps the position in the data from turn to turn.
            watch_loaders=False,
        )
        self._stepping = Stepping(self._member, whole, self._average)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **at: Any
    ) -> None:
        # An evaluate() of the user's own may call back for fewer datasets, or not at all.
        if self._awaits_score:
            self._score_came(control)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **at: Any
    ) -> None:
        if self._active.score_due and self._score is None:
            self._awaits_score = True
            self._came, self._to_come = {}, self._datasets
            if self._active.scores_average:
                self._evaluate_average(control)
            else:
                control.should_evaluate = True
        else:
            self._step(control, self._compute_score(at["model"]))

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **at: Any
    ) -> None:
        self._came |= at["metrics"]
        self._to_come -= 1
        # Only after all of them, because a counted step may load another member into the model.
        came = self._to_come <= 0 and self._metric in self._came
        if self._awaits_score and came and not self._active.scores_average:
            self._score_came(control)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **at: Any
    ) -> None:
        remedy = "let nothing but its turns stop the Trainer: raise max_steps"
        self._active.refuse_an_early_end(remedy)

    @property
    def _active(self) -> Stepping:
        if self._stepping is None:
            raise UsageError(
                "a member's turns must be trained by trainer.train(), but it has not begun"
            )
        return self._stepping

    def _evaluate_average(self, control: TrainerControl) -> None:
        """Evaluate here and now: the Trainer does not say when its own evaluation has failed."""
        trainer = _calling()
        if trainer is None:
            raise UsageError(
                "averaged weights must be evaluated by the Trainer that trains them, but a "
                "callback was called by something else; monitor a function of the model"
            )
        with self._active.scoring():
            trainer.evaluate()
        self._score_came(control)

    def _score_came(self, control: TrainerControl) -> None:
        if self._metric is not None:
            self._awaits_score = False
            remedy = "return it from compute_metrics, or monitor a function of the model"
            self._step(control, metric_of(self._came, self._metric, remedy))

    def _step(self, control: TrainerControl, score: Any) -> None:
        self._active.step(score)
        if self._active.over:
            control.should_training_stop = True

    def _compute_score(self, model: torch.nn.Module) -> Any:
        if self._score is None or not self._active.score_due:
            return None
        with evaluating(model), self._active.scoring():
            return self._score(model)


def _calling() -> Trainer | None:
    """Return the Trainer that calls, because callbacks do not get its datasets."""
    frame = inspect.currentframe()
    while frame is not None:
        if isinstance(caller := frame.f_locals.get("self"), Trainer):
            return caller
        frame = frame.f_back
    return None


def _datasets(trainer: Trainer | None, metric: str) -> int:
    """Return how many datasets a Trainer evaluates on; refuse a Trainer without any."""
    data = getattr(trainer, "eval_dataset", None)
    if data is None and trainer is not None and not _evaluates_by_itself(type(trainer)):
        raise MissingScore(
            f"a Trainer must have data to evaluate on when a score is due, but there is no "
            f"eval_dataset for {metric!r}; pass one, or monitor a function of the model"
        )
    return len(data) if isinstance(data, dict) else 1


def _evaluates_by_itself(kind: type[Trainer]) -> bool:
    """Say whether a Trainer's class has evaluation of its own, which may need no dataset."""
    methods = (kind.evaluate, kind.get_eval_dataloader)
    return any(not method.__module__.startswith("transformers.") for method in methods)


def _check_saving(args: TrainingArguments) -> None:
    """Refuse checkpoints of the Trainer, which would mix members."""
    saving = getattr(args.save_strategy, "value", args.save_strategy)
    if saving != "no":
        raise UsageError(
            f"a Trainer must keep no checkpoints of its own, because they would mix members, but "
            f"save_strategy is {saving!r}; use save_strategy='no': ramet keeps a checkpoint of "
            f"each member, and result.best has the best"
        )


def _place(name: str, args: TrainingArguments, optimizer: Optimizer, scheduler: Any) -> Any:
    """Return the place of the argument with this name."""
    match name:
        case "learning_rate" | "lr":
            return ramet.torch.base_lr(scheduler)
        case "weight_decay":
            # The second group has biases and norms, which do not decay.
            return ramet.torch.param_group(optimizer, "weight_decay", group=0)
        case "max_grad_norm":
            return args, "max_grad_norm"
    return ENTRIES.get(name)


def _unwrap(optimizer: Any) -> Any:
    """Return the optimizer inside the wrapper of accelerate."""
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    return optimizer
