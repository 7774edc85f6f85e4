"""Weights of a saved state, for a model by itself."""

from typing import Any

import torch

from ramet.errors import StateError
from ramet.state import Tree
from ramet.torch.averages import SCORED, WEIGHTS, is_saved
from ramet.torch.differences import names_differ, numbers_differ, refuse
from ramet.torch.modules import ModulePart
from ramet.torch.tensors import borrow
from ramet.torch.weights import find, widen

MODEL = "model"


def load_model(model: torch.nn.Module, state: Tree, *, averaged: bool | None = None) -> None:
    """Load the weights of a saved state into a model.

    Args:
        model: The model to change in place.
        state: A tree that ``ramet.torch.State`` captured, such as ``result.best.load()``.
        averaged: Whether to load the averaged weights of a state that has them. None loads the
            weights that its scores were measured with.
    """
    weights = ModulePart(model, MODEL)
    saved = state.get(MODEL) if isinstance(state, dict) else None
    if not isinstance(saved, dict):
        raise StateError(
            "weights must come from a state that ramet.torch.State captured, but this one has no "
            "'model'; pass result.best.load(), for instance"
        )
    means = _find_means(state, averaged)
    here = {
        name: place.read()
        for place in find({MODEL: weights})
        for name in place.names
        if name in means
    }
    differences = list(weights.differences(saved))
    differences += names_differ("the model's average", means, here)
    for name, tensor in here.items():
        differences += numbers_differ(f"the average of {name!r}", means[name], widen(tensor))
    refuse(differences)
    with torch.no_grad():
        weights.restore(saved)
        for name, tensor in here.items():
            tensor.copy_(borrow(means[name]))


def _find_means(state: dict[Any, Any], averaged: bool | None) -> dict[str, Any]:  # noqa: FBT001 - as it was given
    """Return the averaged weights of the model to load; none to load its own."""
    saved = state.get("average")
    none: dict[Any, Any] = {SCORED: False, WEIGHTS: {}}
    found = saved if isinstance(saved, dict) and is_saved(saved) else none
    if not (found[SCORED] if averaged is None else averaged):
        return {}
    means = {name: mean for name, mean in found[WEIGHTS].items() if name.startswith(f"{MODEL}.")}
    if averaged and not means:
        raise StateError(
            "averaged weights must come from a state that keeps them, but this one has no average "
            "of its model; train with ramet.torch.State(..., average=ramet.PolynomialAverage())"
        )
    return means
