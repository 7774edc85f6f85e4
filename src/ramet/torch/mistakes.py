"""Likely mistakes in what is passed to a state, each answered with the line that works."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.optim import Optimizer

from ramet.errors import StateError
from ramet.state.remedies import TORCH, find_foreign, part_name
from ramet.torch.differences import list_names
from ramet.warned import warn_once

# The tensors that modules of a state have, each with its name, by identity.
Names = Mapping[int, tuple[str, torch.Tensor]]


# What a state gets as its model if it is called without one.
NO_MODEL: Any = object()


def check_model(thing: object) -> None:
    """Refuse a first part that is missing or no module."""
    if thing is NO_MODEL:
        raise StateError(f"a state must have a model, but got none; write {TORCH}")
    if not isinstance(thing, torch.nn.Module):
        raise StateError(
            f"the first part of a state must be a torch.nn.Module, but got an object "
            f"of type {type(thing).__name__}; write {TORCH}"
        )


def check_optimizer(thing: object) -> None:
    """Refuse a second part that is no optimizer."""
    if thing is None or isinstance(thing, Optimizer):
        return
    if isinstance(thing, list | tuple):
        remedy = "pass several optimizers one by one: ramet.torch.State(model, first, second)"
    elif isinstance(thing, Mapping):
        remedy = f"pass the optimizer itself: {TORCH}"
    else:
        name = part_name(thing)
        remedy = (
            f"write ramet.torch.State(model, optimizer, {name}), or without an optimizer "
            f"ramet.torch.State(model, None, {name})"
        )
    raise StateError(
        f"the second part of a state must be a torch.optim.Optimizer, or None, but got an "
        f"object of type {type(thing).__name__}; {remedy}"
    )


def check_other(thing: object, label: str) -> None:
    """Refuse a container with modules, tensors or other objects of PyTorch in it."""
    if not isinstance(thing, dict | list | tuple) or (found := find_foreign(thing)) is None:
        return
    path, part = found
    raise StateError(
        f"each part of a state must be passed by itself, but {label}{path}, inside a "
        f"container, is of type {type(part).__name__}; write "
        f"ramet.torch.State(model, optimizer, {part_name(part)})"
    )


def refuse_keywords(names: Iterable[str]) -> None:
    """Refuse keywords that State does not have: for parts, perhaps, or hyperparameters."""
    if found := sorted(names):
        raise StateError(
            f"the keywords of a state must be model, optimizer, bind, rng, watch_loaders or "
            f"average, but got {found}; pass further parts without a keyword, "
            f"ramet.torch.State(model, optimizer, scheduler), and hyperparameters as "
            f"bind={{'dropout': place}}"
        )


def warn_of_strangers(optimizers: Mapping[str, Optimizer], names: Names) -> None:
    """Warn of an optimizer that seems to train another model than the state's."""
    trained = {id(param): param for one in optimizers.values() for param in _params(one)}
    idle = {
        name: param
        for key, (name, param) in names.items()
        if key not in trained and param.requires_grad
    }
    shapes = {param.shape for param in idle.values()}
    for label, optimizer in optimizers.items():
        strange = [one for one in _params(optimizer) if id(one) not in names]
        if any(one.shape in shapes for one in strange):
            warn_once(
                f"an optimizer should train the parameters of the state's modules, but the "
                f"{type(optimizer).__name__} ({label}) trains {len(strange)} that none of them "
                f"has, and {list_names(list(idle))} are in no optimizer; make the model complete, "
                f"then the optimizer from model.parameters(), then the state"
            )


def refuse_replaced(optimizers: Iterable[Optimizer], before: Names, now: Names) -> None:
    """Refuse parameters that an optimizer trains and that their module no longer has."""
    gone = [
        before[id(param)][0]
        for optimizer in optimizers
        for param in _params(optimizer)
        if id(param) in before and id(param) not in now
    ]
    if gone:
        raise StateError(
            f"a module must keep the parameters that its optimizer trains, but "
            f"{list_names(gone)} were replaced after the state was made, and the optimizer still "
            f"trains the old ones; "
            f"write into them instead: with torch.no_grad(): model.weight.copy_(values)"
        )


def _params(optimizer: Optimizer) -> list[Any]:
    return [param for group in optimizer.param_groups for param in group["params"]]
