"""Hugging Face: a callback that has a Trainer of transformers train a member's turns."""

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ImportError as error:
    raise ImportError(
        f"ramet.integrations.huggingface needs transformers and accelerate, but {error}; install "
        f"them: pip install 'ramet[huggingface]'"
    ) from error

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

import ramet.torch
from ramet.engine.turn import Turn
from ramet.engine.worker import Trainee
from ramet.errors import UsageError
from ramet.integrations.stepping import (
    Bind,
    Stepping,
    bindings,
    check_scheduler,
    evaluating,
    metric_of,
)

# What TrainingArguments call the entries of an optimiser's parameter groups.
ENTRIES = {"adam_beta1": "betas[0]", "adam_beta2": "betas[1]", "adam_epsilon": "eps"}


class Turns(TrainerCallback):
    """Has a Trainer train a member's turns, and stops it when there are no more.

    ::

        def train(member):
            ramet.torch.seed(member.seed)
            arguments = TrainingArguments("out", max_steps=10**9, seed=member.seed)
            data = {"train_dataset": train_dataset, "eval_dataset": eval_dataset}
            Trainer(model(), arguments, callbacks=[Turns(member, "eval_accuracy")], **data).train()

    A step is one of the optimiser, of ``gradient_accumulation_steps`` batches. The Trainer
    evaluates where a score is due; ``monitor`` is a metric that this yields, or a function of the
    model, which then is called instead. Of several evaluation datasets, it has to be of the last.

    What follows a member: the model, the optimiser, the scheduler, a gradient scaler, generators of
    random numbers, and ``others``, as ``ramet.torch.State`` takes them. What does not: the place in
    the training data, where the loop goes on with whoever is next. The Trainer draws it ahead of
    training, so that a run is the same for any number of workers only if all batches are alike.

    Hyperparameters that are named as in ``TrainingArguments`` go where those do:
    ``learning_rate``, or ``lr``, is the base of the schedule, ``weight_decay`` is of the group that
    has one, and there are ``adam_beta1``, ``adam_beta2``, ``adam_epsilon`` and ``max_grad_norm``.
    Entries of the optimiser's parameter groups go by their own names too, and ``bind`` says where
    others go, as ``ramet.torch.State`` takes it; if it is a function, it is called with the model.

    ``max_steps`` is to be as much as one process may train for all members together. A schedule of
    the Trainer's own is as long: take ``lr_scheduler_type="constant"``, or hand over a scheduler of
    the length that you mean. The Trainer's own checkpoints would be of several members: take
    ``save_strategy="no"``.
    """

    def __init__(
        self,
        member: Trainee,
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
        self._awaits_score = False
        # The metrics of the latest evaluation.
        self._came: dict[str, Any] = {}

    @property
    def turn(self) -> Turn:
        """The turn that is being trained; when all are over, the last."""
        return self._begun.turn

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **at: Any,
    ) -> None:
        model, optimizer, scheduler = at["model"], at["optimizer"], at["lr_scheduler"]
        check_scheduler(scheduler)
        scaler = getattr(optimizer, "scaler", None)
        bare = _unwrapped(optimizer)

        def place(name: str) -> Any:
            return _place(name, args, bare, scheduler)

        whole = ramet.torch.State(
            model,
            bare,
            *[one for one in (scheduler, scaler) if one is not None],
            *self._others,
            bind=bindings(self._member, place, self._bind, model),
        )
        self._stepping = Stepping(self._member, whole)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **at: Any
    ) -> None:
        if self._awaits_score and self._metric is not None:
            remedy = "return it from compute_metrics, or monitor a function of the model"
            metric_of(self._came, self._metric, remedy)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **at: Any
    ) -> None:
        if self._begun.score_due and self._score is None:
            self._awaits_score = control.should_evaluate = True
        else:
            self._step(control, self._scored(at["model"]))

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **at: Any
    ) -> None:
        self._came = at["metrics"]
        if self._awaits_score and self._metric in self._came:
            self._awaits_score = False
            self._step(control, self._came[self._metric])

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **at: Any
    ) -> None:
        remedy = "let nothing but its turns stop the Trainer: raise max_steps"
        self._begun.refuse_an_early_end(remedy)

    @property
    def _begun(self) -> Stepping:
        if self._stepping is None:
            raise UsageError(
                "a member's turns must be trained by trainer.train(), but it has not begun"
            )
        return self._stepping

    def _step(self, control: TrainerControl, score: Any) -> None:
        self._begun.step(score)
        if self._begun.over:
            control.should_training_stop = True

    def _scored(self, model: torch.nn.Module) -> Any:
        if self._score is None or not self._begun.score_due:
            return None
        with evaluating(model):
            return self._score(model)


def _place(name: str, args: TrainingArguments, optimizer: Optimizer, scheduler: Any) -> Any:
    """Return where the argument of that name takes effect."""
    match name:
        case "learning_rate" | "lr":
            return ramet.torch.base_lr(scheduler)
        case "weight_decay":
            # The second group is of biases and norms, which are not to decay.
            return ramet.torch.param_group(optimizer, "weight_decay", group=0)
        case "max_grad_norm":
            return args, "max_grad_norm"
    return ENTRIES.get(name)


def _unwrapped(optimizer: Any) -> Any:
    """Return the optimiser that accelerate put its own around."""
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    return optimizer
