"""Dropout as a hyperparameter of all dropout layers in a model."""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import torch
from torch import nn

from ramet.errors import StateError
from ramet.torch.compiling import is_compiled
from ramet.torch.differences import list_names
from ramet.torch.modules import plain, unwrap
from ramet.torch.places import Attributes, Several, Slot, all_numbers_of
from ramet.warned import warn_once

MODULES = (
    nn.AlphaDropout,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.FeatureAlphaDropout,
)
KNOWN = ((MODULES, "p"), ((nn.RNNBase, nn.MultiheadAttention), "dropout"))
# Names of probabilities in other modules, and of classes that have one named "p".
NAMED = re.compile("drop", re.IGNORECASE)
CLASSES = re.compile("drop|stochasticdepth", re.IGNORECASE)


class Spot(NamedTuple):
    """A number in a module of a model."""

    path: str
    module: nn.Module
    attribute: str

    @property
    def name(self) -> str:
        return f"{self.path}.{self.attribute}".removeprefix(".")

    @property
    def value(self) -> Any:
        return getattr(self.module, self.attribute)

    @property
    def is_known(self) -> bool:
        """Whether it is the dropout probability of a module of PyTorch's own."""
        return any(
            isinstance(self.module, kinds) and self.attribute == attribute
            for kinds, attribute in KNOWN
        )

    @property
    def is_idle(self) -> bool:
        """Whether it has no effect: a recurrent module has dropout only between its layers."""
        return isinstance(self.module, nn.RNNBase) and self.module.num_layers == 1

    @property
    def is_constant(self) -> bool:
        """Whether torch.compile treats it as a constant. It does not compile recurrent modules."""
        is_compiled = not isinstance(self.module, nn.RNNBase)
        return is_compiled and not isinstance(self.value, torch.Tensor)

    @property
    def is_suspect(self) -> bool:
        """Whether it looks like a dropout probability."""
        of_kind = self.attribute == "p" and CLASSES.search(type(self.module).__name__)
        named = NAMED.search(self.attribute)
        return bool(named or of_kind) and 0 <= float(self.value) <= 1

    @property
    def may_be_probability(self) -> bool:
        """Whether its value can be one. A whole number is a size, unless its name says dropout."""
        is_whole = type(self.value) is int or (
            isinstance(self.value, torch.Tensor) and not self.value.is_floating_point()
        )
        return self.is_suspect or (not is_whole and 0 <= float(self.value) <= 1)

    def is_among(self, pairs: Sequence[tuple[object, str]]) -> bool:
        return any(
            holder is self.module and attribute == self.attribute for holder, attribute in pairs
        )


def dropout(model: nn.Module, *, also: str | Sequence[str | tuple[object, str]] = ()) -> Slot:
    """Return the dropout probability of all PyTorch layers in a model, as a place to bind.

    These are dropout modules, recurrent modules of two or more layers, and attention. A warning
    names numbers in other modules that look like dropout; pass them as ``also`` to set them too.

    Args:
        model: The model.
        also: Further probabilities: patterns of their names in the model, such as
            ``"blocks.*.drop_rate"``, or pairs of an object and an attribute.

    >>> model = nn.TransformerEncoderLayer(8, 2)
    >>> dropout(model).write(0.25)
    >>> model.dropout1.p, model.self_attn.dropout
    (0.25, 0.25)
    """
    found = list(_spots(unwrap(model)))
    spots = [spot for spot in found if spot.is_known and not spot.is_idle]
    others = [spot for spot in found if not spot.is_known]
    asked = [also] if isinstance(also, str) else also
    added = [pair for one in asked for pair in _find_asked(one, others)]
    places = [(spot.module, spot.attribute) for spot in spots] + added
    place = Several([Attributes([holder], attribute) for holder, attribute in places])
    missed = [spot for spot in others if spot.is_suspect and not spot.is_among(added)]
    if not places:
        raise _none_found(model, missed)
    if missed:
        warn_once(_not_set(missed))
    if (constants := [spot for spot in spots if spot.is_constant]) and is_compiled(model):
        warn_once(_compiles_anew(constants))
    return place


def _spots(model: nn.Module) -> Iterator[Spot]:
    for path, module in model.named_modules():
        for attribute in all_numbers_of(module):
            if not attribute.startswith("_") or NAMED.search(attribute):
                yield Spot(plain(path), module, attribute)


def _find_asked(one: object, spots: Sequence[Spot]) -> Sequence[tuple[object, str]]:
    """Return the pairs that an entry of ``also`` stands for."""
    match one:
        case str():
            return _matching(one, spots)
        case (holder, str(attribute)):
            return [(holder, attribute)]
    raise StateError(
        f"also= must have names, as in 'blocks.*.dropout', or pairs, as in "
        f"(module, 'p'), but got {one!r}"
    )


def _matching(pattern: str, spots: Sequence[Spot]) -> Sequence[tuple[object, str]]:
    found = [one for one in spots if one.may_be_probability and fnmatchcase(one.name, pattern)]
    if found:
        return [(one.module, one.attribute) for one in found]
    names = list_names([spot.name for spot in spots if spot.is_suspect])
    raise StateError(
        f"also= must name numbers from 0 to 1 in modules of the model, but none is named "
        f"{pattern!r}; these look like dropout: {names}"
    )


def _not_set(missed: Sequence[Spot]) -> str:
    values = [f"{spot.name} = {float(spot.value):g}" for spot in missed]
    return (
        f"ramet.torch.dropout sets PyTorch's own layers, and these numbers look like dropout and "
        f"stay as they are: {list_names(values)}; to set them too: ramet.torch.dropout(model, "
        f"also={patterns(missed)})"
    )


def patterns(spots: Sequence[Spot]) -> list[str]:
    """Return patterns for all of these, one pattern for all modules of a list."""
    return list(dict.fromkeys(re.sub(r"(^|\.)\d+(?=\.)", r"\1*", spot.name) for spot in spots))


def _compiles_anew(constants: Sequence[Spot]) -> str:
    return (
        f"a dropout probability that is a number is a constant to torch.compile, which compiles "
        f"again for each new value until it gives up and runs the model uncompiled: "
        f"{list_names([spot.name for spot in constants])}; ramet.torch.replace_dropout(model) "
        f"makes those of torch.nn.Dropout tensors, and for others raise "
        f"torch._dynamo.config.recompile_limit"
    )


def _none_found(model: nn.Module, missed: Sequence[Spot]) -> StateError:
    remedy = (
        f"it has numbers that look like it: ramet.torch.dropout(model, also={patterns(missed)})"
        if missed
        else "bind an attribute, as in (module, 'p'), or a function"
    )
    return StateError(
        f"ramet.torch.dropout needs a model with dropout layers, but this "
        f"{type(unwrap(model)).__name__} has none; {remedy}"
    )
