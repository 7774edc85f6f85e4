"""Optimizers as parts of a state. What they remember is saved by the names of parameters."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch.optim import Optimizer

from ramet.state import Tree
from ramet.torch.differences import list_names, names_differ, numbers_differ
from ramet.torch.tensors import Arrays, borrow, fits, rebuild

# Entries of a param group that list its parameters.
MEMBERS = {"params", "param_names"}
# Entries about how to compute, which depends on the device.
OF_THE_MACHINE = {"capturable", "foreach", "fused", "differentiable"}


class Memory:
    """An optimizer's settings, and what it remembers of each parameter."""

    may_refuse = False

    def __init__(
        self, optimizer: Optimizer, label: str, names: Callable[[], Mapping[int, str]]
    ) -> None:
        self.optimizer, self._label = optimizer, label
        # The names of all parameters in the state, by identity.
        self._names = names
        self.kind = type(optimizer).__name__

    def capture(self, arrays: Arrays) -> Tree:
        params = self._params()
        # Some optimizers also remember values that belong to no parameter.
        remembered: dict[Any, Any] = self.optimizer.state
        return {
            "param_groups": [
                {
                    **arrays.of(_settings(group), f"{self._label}.param_groups[{nth}]"),
                    "params": names,
                }
                for nth, (group, names) in enumerate(
                    zip(self._groups(), self._members(), strict=True)
                )
            ],
            "state": {
                name: arrays.of(remembered[param], f"{self._label}.state[{name!r}]")
                for name, param in params.items()
                if param in remembered
            },
            "beside": {
                key: arrays.of(value, f"{self._label}.state[{key!r}]")
                for key, value in remembered.items()
                if not isinstance(key, torch.Tensor)
            },
            "dtypes": {name: str(param.dtype) for name, param in params.items()},
            # Parameters that no module of the state has.
            "loose": {
                name: arrays.of(param, f"{self._label}.{name}")
                for name, param in self._loose().items()
            },
        }

    def differences(self, saved: Tree) -> Iterator[str]:
        theirs, mine = [group["params"] for group in saved["param_groups"]], self._members()
        if len(theirs) != len(mine):
            yield f"{self._label} had {len(theirs)} param groups and has {len(mine)} here"
            return
        for nth, (there, here) in enumerate(zip(theirs, mine, strict=True)):
            what = f"{self._label}'s param group {nth}"
            yield from names_differ(what, there, here)
            if there != here and set(there) == set(here):
                yield f"{what} has its members in another order, which was {list_names(there)}"
        for name, param in self._loose().items():
            if name in saved["loose"]:
                yield from numbers_differ(f"{self._label}'s {name}", saved["loose"][name], param)

    def restore(self, saved: Tree) -> None:
        for group, theirs, names in zip(
            self._groups(), saved["param_groups"], self._members(), strict=True
        ):
            for key in [key for key in theirs if key not in MEMBERS | OF_THE_MACHINE]:
                group[key] = rebuild(theirs[key], group.get(key), _fill_setting)
            for name, param in zip(names, group["params"], strict=True):
                home = _Home(param, group, saved["dtypes"][name])
                self._remember(home, saved["state"].get(name))
        for key, part in saved["beside"].items():
            self.optimizer.state[key] = rebuild(part, self.optimizer.state.get(key), _fill_setting)
        for name, param in self._loose().items():
            param.copy_(borrow(saved["loose"][name]))

    def _remember(self, home: "_Home", saved: Tree | None) -> None:
        """Restore what the optimizer remembers of a parameter, into the tensors that it has."""
        live = self.optimizer.state.pop(home.param, {})
        if saved is not None:
            self.optimizer.state[home.param] = {
                key: rebuild(part, live.get(key), partial(home.fill, key))
                for key, part in saved.items()
            }

    def _groups(self) -> list[dict[str, Any]]:
        return self.optimizer.param_groups

    def _members(self) -> list[list[str]]:
        """Return the names of each group's parameters; their places if they have no names."""
        names = self._names()
        return [
            [
                names.get(id(param), f"param_groups[{nth}]['params'][{place}]")
                for place, param in enumerate(group["params"])
            ]
            for nth, group in enumerate(self._groups())
        ]

    def _params(self) -> dict[str, torch.Tensor]:
        return {
            name: param
            for names, group in zip(self._members(), self._groups(), strict=True)
            for name, param in zip(names, group["params"], strict=True)
        }

    def _loose(self) -> dict[str, torch.Tensor]:
        named = self._names()
        return {name: param for name, param in self._params().items() if id(param) not in named}


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key not in MEMBERS}


def _fill_setting(array: NDArray[Any], live: Any) -> torch.Tensor:
    """Return a saved setting as a tensor, the existing one if it fits."""
    if fits(live, array):
        filled: torch.Tensor = live.copy_(borrow(array))
        return filled
    return borrow(array).clone()


class _Home(NamedTuple):
    """A parameter that an optimizer remembers something of."""

    param: torch.Tensor
    group: dict[str, Any]
    # The dtype of the saved parameter.
    dtype: str

    def fill(self, key: str, array: NDArray[Any], live: Any) -> torch.Tensor:
        """Return a remembered value as a tensor, the existing one if it fits."""
        if fits(live, array):
            return _fill_setting(array, live)
        tensor = borrow(array)
        if key == "step" and not (self.group.get("capturable") or self.group.get("fused")):
            return tensor.clone()  # PyTorch counts on the CPU.
        # A value with the saved parameter's dtype gets the dtype of the parameter here.
        follows = str(tensor.dtype) == self.dtype and key != "step"
        return tensor.to(self.param.device, self.param.dtype if follows else None, copy=True)
