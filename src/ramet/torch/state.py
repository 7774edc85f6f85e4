"""The state of a member in PyTorch: a model, an optimizer and other parts."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Never

import numpy as np
import torch
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from ramet.averaging import Average, check_average, no_average
from ramet.domains import Value
from ramet.errors import HyperparameterOverwritten, StateError
from ramet.state import State as Capturing
from ramet.state import Tree, check_stayed, freeze
from ramet.torch import mistakes
from ramet.torch.averages import AveragePart
from ramet.torch.binding import Binding
from ramet.torch.compiling import RECOMPILATIONS
from ramet.torch.differences import refuse
from ramet.torch.loaders import Loader, Watch
from ramet.torch.modules import ModulePart
from ramet.torch.optimizers import Memory
from ramet.torch.overwriting import FirstSteps, Schedulers
from ramet.torch.parts import GeneratorPart, Loadable, NumpyDraws, Own, Part, TensorPart
from ramet.torch.rng import Everybodys
from ramet.torch.stepping import Steps
from ramet.torch.tensors import Arrays

KINDS = "kinds"
PARTS: dict[type, Callable[[Any, str], Part]] = {
    torch.nn.Module: ModulePart,
    torch.Generator: GeneratorPart,
    np.random.Generator: NumpyDraws,
    torch.Tensor: TensorPart,
}


class State:
    """The model, the optimizer and all other parts that follow a member from turn to turn.

    Parts are restored in place, so the training loop keeps using the same objects. A hyperparameter
    with the name of an entry in all param groups, such as ``lr``, is set there.

    Args:
        model: The module that is trained.
        optimizer: Its optimizer, or None.
        others: Further parts: modules, optimizers, schedulers, gradient scalers, data loaders,
            samplers, generators of PyTorch or NumPy, tensors, dicts of arrays and numbers, and
            other objects with ``state_dict`` and ``load_state_dict``.
        bind: Where hyperparameters are set, by their names: an entry of the optimizer
            (``"betas[0]"``), an attribute (``(module, "p")``), a function that is called with the
            value, or what ``dropout(model)``, ``base_lr(scheduler)`` or ``param_group(optimizer,
            "lr", group=1)`` returns. A hyperparameter that is bound to None is left to the loop. An
            empty dict binds none.
        rng: Whether the default generators of Python, NumPy and PyTorch are part of the state.
        watch_loaders: Whether a data loader with workers that outlive a turn is refused.
        average: A running average of the weights to keep, such as
            ``ramet.PolynomialAverage(power=8)``. It is updated after each step of ``optimizer``;
            without that, call ``update_average()``. Scores must then be reported within
            ``with state.averaged()``.
        misnamed: Anything else is refused, with a message that says how parts are passed.

    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = torch.optim.Adam(model.parameters())
    >>> state = State(model, optimizer, bind={"beta": "betas[0]"})
    >>> state.apply({"lr": 0.25, "beta": 0.5})
    >>> optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"]
    (0.25, (0.5, 0.999))
    """

    def __init__(
        self,
        model: torch.nn.Module = mistakes.NO_MODEL,
        optimizer: Optimizer | None = None,
        *others: Any,
        bind: Mapping[str, Any] | None = None,
        rng: bool = True,
        watch_loaders: bool = True,
        average: Average | None = None,
        **misnamed: Never,
    ) -> None:
        mistakes.refuse_keywords(misnamed)
        mistakes.check_model(model)
        mistakes.check_optimizer(optimizer)
        further = {f"others[{nth}]": other for nth, other in enumerate(others)}
        parts = {"model": model, "optimizer": optimizer, **further}
        if optimizer is None:
            del parts["optimizer"]
        self._schedulers = Schedulers(further)
        self._parts = {label: self._part(part, label) for label, part in parts.items()}
        self._average: AveragePart | None = None
        if average is not None:
            check_average(average)
            self._average = AveragePart(average, dict(self._parts), optimizer)
            self._parts["average"] = self._average
        if rng:
            self._parts["rng"] = Everybodys()
        self._optimizers = {key: one for key, one in parts.items() if isinstance(one, Optimizer)}
        optimizers = {key: one for key, one in self._optimizers.items() if key in further}
        self._binding = Binding(optimizer, bind, optimizers)
        # The parameters when the state was made, to notice if one is replaced later.
        self._params = self._find_params()
        mistakes.warn_of_strangers(self._optimizers, self._params)
        for base in self._binding.bases():
            self._schedulers.warn_of_others(base)
        self._first_steps = FirstSteps(self._check_step)
        self._steps = Steps()
        self._hparams: Mapping[str, Value] = {}
        self._watch = Watch() if rng and watch_loaders else None
        # How many compiled functions are known to have reached PyTorch's limit.
        self._uncompiled = RECOMPILATIONS.count()

    def capture(self) -> Tree:
        """Return all parts as a state tree. Tensors on the CPU are not copied."""
        self._first_steps.disarm()
        if self._average is not None:
            self._average.end_turn()
        mistakes.refuse_replaced(self._optimizers.values(), self._params, self._find_params())
        self._steps.warn_of_others(self._optimizers)
        known, self._uncompiled = self._uncompiled, RECOMPILATIONS.count()
        RECOMPILATIONS.warn(known, self._binding.constants())
        arrays = Arrays()
        kinds = {label: part.kind for label, part in self._parts.items()}
        captured = {label: part.capture(arrays) for label, part in self._parts.items()}
        if self._watch is not None:
            self._watch.end_turn()
        return {KINDS: kinds, **captured}

    @torch.no_grad()
    def restore(self, tree: Tree) -> None:
        """Restore what was captured. If any of it does not fit, nothing changes."""
        refuse(list(self._differences(tree)))
        may_refuse = {label: part for label, part in self._parts.items() if part.may_refuse}
        self._restore_or_undo(may_refuse, tree)
        for label in [label for label in self._parts if label not in may_refuse]:
            self._parts[label].restore(tree[label])

    def apply(self, hparams: Mapping[str, Value]) -> None:
        """Set the hyperparameters where training uses them, at the beginning of a turn."""
        self._begin_turn()
        self._first_steps.disarm()
        for name in self._binding.place(hparams):
            self._refuse_if_overwritten(name)
        self._binding.apply(hparams)
        self._hparams = hparams
        entries = (entry for name in hparams for entry in self._binding.entries(name))
        self._first_steps.arm(entry.optimizer for entry in entries)
        self._steps.begin_turn()

    def sets(self, name: str) -> bool:
        """Say whether the state sets a hyperparameter whenever its condition holds.

        Args:
            name: The hyperparameter.
        """
        return self._binding.sets(name)

    def read_back(self) -> Mapping[str, Value]:
        """Return the values that are set now. What cannot be read back counts as applied."""
        return self._binding.read_back()

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Put the averaged weights into the modules for a ``with`` block, then their own again.

        >>> from ramet import PolynomialAverage
        >>> model = torch.nn.Linear(1, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> state = State(model, optimizer, average=PolynomialAverage(power=8))
        >>> with state.averaged():
        ...     score = model(torch.ones(1)).item()
        """
        return self._require_average().shown()

    def update_average(self) -> None:
        """Update the average after a step that was not one of the state's optimizer."""
        self._require_average().update()

    def explain(self, name: str) -> str:
        """Explain what overwrites a hyperparameter, and what to do.

        Args:
            name: The hyperparameter.
        """
        return self._schedulers.explain(name, self._binding.entries(name))

    def _require_average(self) -> AveragePart:
        if self._average is None:
            raise no_average("ramet.torch.State(model, optimizer")
        return self._average

    def _begin_turn(self) -> None:
        """Begin to watch the average, the workers of loaders and iterators over loaders."""
        if self._average is not None:
            self._average.begin_turn()
        for part in self._parts.values():
            if isinstance(part, Loader):
                part.let_go_of_workers()
        if self._watch is not None:
            self._watch.begin_turn()

    def _refuse_if_overwritten(self, name: str) -> None:
        """Refuse a hyperparameter that a scheduler is going to overwrite."""
        for entry in self._binding.entries(name):
            if foreseen := self._schedulers.foresee(name, entry):
                raise HyperparameterOverwritten(
                    f"hyperparameter {name!r} must stay as applied in {entry.entry!r}, but "
                    f"{foreseen}"
                )

    def _check_step(self, when: str) -> None:
        """Refuse an overwritten hyperparameter as early as a step of the optimizer."""
        applied = self._binding.read_back()
        found = {name: applied[name] for name in applied if self._binding.entries(name)}
        check_stayed(found, self._hparams, when, self.explain)

    def _part(self, thing: Any, label: str) -> Part:
        mistakes.check_other(thing, label)
        for kind, make in PARTS.items():
            if isinstance(thing, kind):
                return make(thing, label)
        if isinstance(thing, Optimizer) and type(thing).state_dict is Optimizer.state_dict:
            return Memory(thing, label, self._names)
        if isinstance(thing, dict | Capturing):
            return Own(thing)
        if hasattr(thing, "state_dict") and hasattr(thing, "load_state_dict"):
            return Loadable(thing, label)
        if isinstance(thing, DataLoader):
            return Loader(thing, label)
        raise StateError(
            f"what follows a member must be a module, an optimizer, a generator, a tensor, a dict, "
            f"or have state_dict() and load_state_dict(), or capture() and restore(tree), but "
            f"{label} is of type {type(thing).__name__}; leave out what training never changes"
        )

    def _names(self) -> dict[int, str]:
        """Return the names of all parameters in the state, by identity."""
        return {key: name for key, (name, _) in self._find_params().items()}

    def _find_params(self) -> dict[int, tuple[str, torch.Tensor]]:
        """Return all parameters in the state with their names, by identity."""
        named: dict[int, tuple[str, torch.Tensor]] = {}
        for label, part in self._parts.items():
            if isinstance(part, TensorPart):
                named.setdefault(id(part.tensor), (label, part.tensor))
            elif isinstance(part, ModulePart):
                for name, param in part.names():
                    whole = name if label == "model" else f"{label}.{name}"
                    named.setdefault(id(param), (whole, param))
        return named

    def _differences(self, tree: Tree) -> Iterator[str]:
        """Yield a sentence for each part of a tree that does not fit the state."""
        if not isinstance(tree, dict) or KINDS not in tree:
            yield "it was not captured by ramet.torch.State"
            return
        here = {label: part.kind for label, part in self._parts.items()}
        if tree[KINDS] != here:
            yield f"there were {_list_kinds(tree[KINDS])} and here are {_list_kinds(here)}"
            return
        for label, part in self._parts.items():
            yield from part.differences(tree[label])

    def _restore_or_undo(self, parts: Mapping[str, Part], tree: Tree) -> None:
        """Restore parts with code of their own. If one raises, put all of them back."""
        before = {label: freeze(part.capture(Arrays())) for label, part in parts.items()}
        touched: list[str] = []
        for label, part in parts.items():
            touched.append(label)
            try:
                part.restore(tree[label])
            except Exception as error:
                for each in touched:
                    with contextlib.suppress(Exception):  # The first error is the one to report.
                        parts[each].restore(before[each])
                raise StateError(
                    f"a saved state must fit the objects that it is restored into, but {label} "
                    f"({part.kind}) raised {type(error).__name__}: {error}. Nothing was restored"
                ) from error


def _list_kinds(kinds: Mapping[str, str]) -> str:
    return ", ".join(f"{label}: {kind}" for label, kind in kinds.items())
