"""Which hyperparameter goes where: as told, or to the optimiser's entry of the same name."""

from collections.abc import Mapping
from typing import Any

from torch.nn import Module
from torch.optim import Optimizer

from ramet.domains import Value
from ramet.errors import StateError, UnknownHyperparameter
from ramet.state.adapters import stayed
from ramet.torch.places import Attributes, GroupEntry, Place, Setter, Several, is_constant


class Binding:
    """Where each hyperparameter goes, and the value that was last put there."""

    def __init__(self, optimizer: Optimizer, bind: Mapping[str, Any] | None) -> None:
        self._optimizer = optimizer
        # None where the loop itself is to read a hyperparameter.
        self._told: dict[str, Place | None] = {
            name: place_of(optimizer, name, where) for name, where in (bind or {}).items()
        }
        self._by_name = bind is None or len(bind) > 0
        self._uneven = _uneven(optimizer)
        self._places: dict[str, Place] = {}
        self._values: dict[str, Value] = {}

    def apply(self, hparams: Mapping[str, Value]) -> None:
        """Put the values where training uses them."""
        if unknown := [name for name in self._told if name not in hparams]:
            raise UnknownHyperparameter(
                f"what is bound must be a hyperparameter of the space, which has {list(hparams)}, "
                f"but {unknown} are bound"
            )
        places = self._told | {name: self._entry(name) for name in hparams if self._is_entry(name)}
        self._places = {name: place for name, place in places.items() if place is not None}
        self._values = {name: hparams[name] for name in self._places}
        for name, place in self._places.items():
            place.write(hparams[name])

    def applied(self) -> Mapping[str, Any]:
        """Return the values found, of several the first that is not what was put there."""
        return {
            name: next(
                (found for found in place.read() if not stayed(self._values[name], found)),
                self._values[name],
            )
            for name, place in self._places.items()
        }

    def entry(self, name: str) -> GroupEntry | None:
        """Return the optimiser's entry that a hyperparameter is bound to, if it is to one."""
        place = self._places.get(name)
        return place if isinstance(place, GroupEntry) else None

    def constants(self) -> list[str]:
        """Return the hyperparameters that are numbers in modules, which compiled code keeps."""
        return [name for name, place in self._places.items() if is_constant(place)]

    def _is_entry(self, name: str) -> bool:
        """Say whether a hyperparameter that nobody bound goes to the entry of its name."""
        groups = self._optimizer.param_groups
        return self._by_name and name not in self._told and all(name in group for group in groups)

    def _entry(self, name: str) -> GroupEntry:
        if name in self._uneven:
            raise StateError(
                f"what is bound by its name must have one value in all param groups, but {name!r} "
                f"has {self._uneven[name]}; say which is meant: bind={{{name!r}: "
                f"ramet.torch.param_group(optimizer, {name!r}, group=0)}}, or bind={{{name!r}: "
                f"{name!r}}} for all of them alike"
            )
        return GroupEntry(self._optimizer, name)


def place_of(optimizer: Optimizer, name: str, where: Any) -> Place | None:
    """Return the place that somebody described."""
    match where:
        case None:
            return None
        case str():
            return GroupEntry(optimizer, where)
        case (holder, str(attribute)):
            return Attributes([holder], attribute)
        case list():
            return Several([_one_of_several(optimizer, name, each) for each in where])
        case Place():
            return where
        case _ if callable(where) and not isinstance(where, Module):
            return Setter(where)
    raise StateError(
        f"a hyperparameter must be bound to an entry of the optimizer, as in 'betas[0]', to an "
        f"attribute, as in (module, 'p'), to a function, to what ramet.torch.dropout, base_lr or "
        f"param_group return, or to a list of these, but {name!r} is bound to {where!r}"
    )


def _one_of_several(optimizer: Optimizer, name: str, where: Any) -> Place:
    place = place_of(optimizer, name, where)
    if place is None:
        raise StateError(
            f"a list of places must name what each is, but one that {name!r} is bound to is None; "
            f"bind a hyperparameter that the loop reads itself to None alone"
        )
    return place


def _uneven(optimizer: Optimizer) -> dict[str, list[Any]]:
    """Return the entries whose values the optimiser's groups do not agree on."""
    first, *others = optimizer.param_groups
    return {
        key: [group[key] for group in optimizer.param_groups]
        for key in first
        if key != "params" and any(key in group and group[key] != first[key] for group in others)
    }
