"""All that trains a network as one state of a member."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.optim import Optimizer

from ramet.domains import Value
from ramet.errors import StateError
from ramet.state import State as Capturing
from ramet.state import Tree, freeze
from ramet.torch.binding import Binding
from ramet.torch.compiling import RECOMPILATIONS
from ramet.torch.differences import refuse
from ramet.torch.modules import Weights
from ramet.torch.optimizers import Memory
from ramet.torch.parts import Draws, Loadable, Numbers, Own, Part
from ramet.torch.rng import Everybodys
from ramet.torch.tensors import Arrays

KINDS = "kinds"


class State:
    """A model, its optimiser and whatever else should follow a member, all changed in place.

    Others may be further modules and optimisers, schedulers, scalers, averaged models, samplers and
    loaders with ``state_dict``, generators, tensors, and dicts. With ``rng`` the generators of
    Python, NumPy and PyTorch are part of it.

    A hyperparameter whose name is an entry of all param groups, like ``lr``, goes there. ``bind``
    sends others elsewhere: to an entry (``"betas[0]"``), an attribute (``(module, "p")``), a
    function, or one of ``dropout(model)``, ``base_lr(scheduler)`` and ``param_group(optimizer,
    "lr", group=1)``; to None what the loop itself reads. An empty one binds nothing.

    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = torch.optim.Adam(model.parameters())
    >>> state = State(model, optimizer, bind={"beta": "betas[0]"})
    >>> state.apply({"lr": 0.25, "beta": 0.5})
    >>> optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"]
    (0.25, (0.5, 0.999))
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: Optimizer,
        *others: Any,
        bind: Mapping[str, Any] | None = None,
        rng: bool = True,
    ) -> None:
        _check(model, torch.nn.Module, "the first of a state must be a module")
        _check(optimizer, Optimizer, "the second of a state must be the optimizer")
        self._schedulers = {
            f"others[{nth}]": other
            for nth, other in enumerate(others)
            if hasattr(other, "step") and isinstance(getattr(other, "optimizer", None), Optimizer)
        }
        parts = {"model": model, "optimizer": optimizer}
        parts |= {f"others[{nth}]": other for nth, other in enumerate(others)}
        self._parts = {label: self._part(part, label) for label, part in parts.items()}
        if rng:
            self._parts["rng"] = Everybodys()
        self._binding = Binding(optimizer, bind)
        # The compiled functions that are known to have met PyTorch's limit.
        self._uncompiled = RECOMPILATIONS.heard()

    def capture(self) -> Tree:
        """Return all of it as a state tree, around the very memory of tensors on the CPU."""
        known, self._uncompiled = self._uncompiled, RECOMPILATIONS.heard()
        RECOMPILATIONS.warn(known, self._binding.constants())
        arrays = Arrays()
        kinds = {label: part.kind for label, part in self._parts.items()}
        return {
            KINDS: kinds,
            **{label: part.capture(arrays) for label, part in self._parts.items()},
        }

    @torch.no_grad()
    def restore(self, tree: Tree) -> None:
        """Become what was captured, if all of it fits; or else stay as it is."""
        refuse(list(self._differences(tree)))
        may_refuse = {label: part for label, part in self._parts.items() if part.may_refuse}
        self._restore_or_undo(may_refuse, tree)
        for label in [label for label in self._parts if label not in may_refuse]:
            self._parts[label].restore(tree[label])

    def apply(self, hparams: Mapping[str, Value]) -> None:
        """Put the values where training uses them."""
        self._binding.apply(hparams)

    def applied(self) -> Mapping[str, Value]:
        """Return the values found there now; what cannot be read back counts as applied."""
        return self._binding.applied()

    def explain(self, name: str) -> str | None:
        """Say who overwrites a hyperparameter, and what to do."""
        entry = self._binding.entry(name)
        if entry is None:
            return None
        suspects = {
            label: other
            for label, other in self._schedulers.items()
            if other.optimizer is entry.optimizer
        }
        if entry.key == "lr":
            return _of_the_rate(name, suspects)
        cycling = [other for other in suspects.values() if getattr(other, "cycle_momentum", False)]
        if not cycling:
            return None
        return (
            f"the scheduler {type(cycling[0]).__name__} cycles it; build that with "
            f"cycle_momentum=False, or take {name!r} out of the space"
        )

    def _part(self, thing: Any, label: str) -> Part:
        match thing:
            case torch.nn.Module():
                return Weights(thing, label)
            case Optimizer() if type(thing).state_dict is Optimizer.state_dict:
                return Memory(thing, label, self._names)
            case torch.Generator():
                return Draws(thing, label)
            case torch.Tensor():
                return Numbers(thing, label)
            case dict() | Capturing():
                return Own(thing)
        if hasattr(thing, "state_dict") and hasattr(thing, "load_state_dict"):
            return Loadable(thing, label)
        raise StateError(
            f"what follows a member must be a module, an optimizer, a generator, a tensor, a dict, "
            f"or have state_dict() and load_state_dict(), but {label} is a {type(thing).__name__}"
        )

    def _names(self) -> dict[int, str]:
        """Return the names of all parameters that are in the state, by identity."""
        names: dict[int, str] = {}
        for label, part in self._parts.items():
            if isinstance(part, Numbers):
                names.setdefault(id(part.tensor), label)
            elif isinstance(part, Weights):
                for name, param in part.names():
                    names.setdefault(id(param), name if label == "model" else f"{label}.{name}")
        return names

    def _differences(self, tree: Tree) -> Iterator[str]:
        """Say what of a tree does not fit what is here."""
        if not isinstance(tree, dict) or KINDS not in tree:
            yield "it is not what ramet.torch.State captured"
            return
        here = {label: part.kind for label, part in self._parts.items()}
        if tree[KINDS] != here:
            yield f"there were {_listed(tree[KINDS])} and here are {_listed(here)}"
            return
        for label, part in self._parts.items():
            yield from part.differences(tree[label])

    def _restore_or_undo(self, parts: Mapping[str, Part], tree: Tree) -> None:
        """Restore parts whose own code may refuse; if one does, put them all back."""
        before = {label: freeze(part.capture(Arrays())) for label, part in parts.items()}
        touched: list[str] = []
        for label, part in parts.items():
            touched.append(label)
            try:
                part.restore(tree[label])
            except Exception as error:
                for each in touched:
                    with contextlib.suppress(Exception):  # What it refused comes first.
                        parts[each].restore(before[each])
                raise StateError(
                    f"what is restored must be accepted by what is there, but {label}, a "
                    f"{part.kind}, raised {type(error).__name__}: {error}. Nothing was restored"
                ) from error


def _of_the_rate(name: str, schedulers: Mapping[str, Any]) -> str:
    """Say who sets a learning rate, and that the base of a schedule is what to bind."""
    base = f"{{{name!r}: ramet.torch.base_lr(scheduler)}}"
    if schedulers:
        who = ", ".join(f"{type(one).__name__} ({label})" for label, one in schedulers.items())
        return (
            f"the scheduler {who} sets the optimizer's rate; bind the base of its schedule "
            f"instead: bind={base}"
        )
    return (
        f"a scheduler that the state was not given, or the loop itself, set it; hand the scheduler "
        f"over and bind the base of its schedule: State(model, optimizer, scheduler, bind={base})"
    )


def _check(thing: object, kind: type, law: str) -> None:
    if not isinstance(thing, kind):
        raise StateError(f"{law}, but got a {type(thing).__name__}")


def _listed(kinds: Mapping[str, str]) -> str:
    return ", ".join(f"{label}: {kind}" for label, kind in kinds.items())
