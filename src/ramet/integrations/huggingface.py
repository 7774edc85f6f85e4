"""Hugging Face: a callback that has a Trainer of transformers train a member's turns."""

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

# What TrainingArguments call the entries of an optimiser's parameter groups.
ENTRIES = {"adam_beta1": "betas[0]", "adam_beta2": "betas[1]", "adam_epsilon": "eps"}


class Turns(TrainerCallback):
    """Has a Trainer train a member's turns, and stops it when there are no more.

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

    A step is one of the optimiser, of ``gradient_accumulation_steps`` batches. The Trainer
    evaluates where a score is due; ``monitor`` is a metric that this yields, or a function of the
    model, which then is called instead. A metric may be of any of several evaluation datasets.

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
    the length that you mean. The Trainer's own checkpoints would be of several members, and
    ``load_best_model_at_end`` would bring one's weights to another: ``save_strategy`` has to be
    ``"no"``.
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
        self._awaits_score = False
        # How many datasets the Trainer evaluates on, one by one.
        self._datasets = 1
        # How many of them it has yet to, and the metrics of the others, since a score is due.
        self._to_come = 0
        self._came: dict[str, Any] = {}

    @property
    def turn(self) -> Turn:
        """The turn that is being trained; when all are over, the last."""
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
            # The place in the data is the Trainer's, from turn to turn.
            watch_loaders=False,
        )
        self._stepping = Stepping(self._member, whole)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **at: Any
    ) -> None:
        # It came late if evaluate() is somebody's own, and of fewer datasets, or not at all.
        if self._awaits_score:
            self._score_came(control)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **at: Any
    ) -> None:
        if self._active.score_due and self._score is None:
            self._awaits_score = control.should_evaluate = True
            self._came, self._to_come = {}, self._datasets
        else:
            self._step(control, self._compute_score(at["model"]))

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **at: Any
    ) -> None:
        self._came |= at["metrics"]
        self._to_come -= 1
        # Not before all were, because a step that is counted may put another member in the model.
        if self._awaits_score and self._to_come <= 0 and self._metric in self._came:
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
        with evaluating(model):
            return self._score(model)


def _calling() -> Trainer | None:
    """Return the Trainer that calls, which callbacks are told all of but its datasets."""
    frame = inspect.currentframe()
    while frame is not None:
        if isinstance(caller := frame.f_locals.get("self"), Trainer):
            return caller
        frame = frame.f_back
    return None


def _datasets(trainer: Trainer | None, metric: str) -> int:
    """Return how many datasets a Trainer evaluates on, one by one, and refuse to have none."""
    data = getattr(trainer, "eval_dataset", None)
    if data is None and trainer is not None and not _evaluates_by_itself(type(trainer)):
        raise MissingScore(
            f"a Trainer must have what to evaluate on where a score is due, but there is no "
            f"eval_dataset to have {metric!r} of; give it one, or monitor a function of the model"
        )
    return len(data) if isinstance(data, dict) else 1


def _evaluates_by_itself(kind: type[Trainer]) -> bool:
    """Return whether a Trainer is of a class of somebody's that may need no dataset."""
    methods = (kind.evaluate, kind.get_eval_dataloader)
    return any(not method.__module__.startswith("transformers.") for method in methods)


def _check_saving(args: TrainingArguments) -> None:
    """Refuse checkpoints of the Trainer's own: they are of whichever member is in turn."""
    saving = getattr(args.save_strategy, "value", args.save_strategy)
    if saving != "no":
        raise UsageError(
            f"a Trainer must keep no checkpoints of its own, which would be of whichever member is "
            f"in turn, but save_strategy is {saving!r}; take save_strategy='no': ramet keeps "
            f"one of each member, and result.best has the best"
        )


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


def _unwrap(optimizer: Any) -> Any:
    """Return the optimiser that accelerate put its own around."""
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    return optimizer
