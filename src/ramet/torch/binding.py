"""Where each hyperparameter is set: as bound, or in the optimizer's entry of the same name."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch.nn import Module
from torch.optim import Optimizer

from ramet.domains import Value
from ramet.errors import StateError, UnknownHyperparameter
from ramet.space.arrays import find_arrays
from ramet.state.checking import is_unchanged
from ramet.torch.places import Attributes, GroupEntry, Setter, Several, Slot, each, is_constant
from ramet.torch.schedules import BaseLr
from ramet.warned import warn_once


class Binding:
    """Where each hyperparameter is set, and the value that was set last."""

    def __init__(
        self,
        optimizer: Optimizer | None,
        bind: Mapping[str, Any] | None,
        others: Mapping[str, Optimizer] | None = None,
    ) -> None:
        _check_bind(bind)
        self._optimizer = optimizer
        # Further optimizers, in which no hyperparameter is set by its name alone.
        self._others = others or {}
        # None for a hyperparameter that the loop reads itself.
        self._bound: dict[str, Slot | None] = {
            name: place_of(optimizer, name, where) for name, where in (bind or {}).items()
        }
        self._by_name = bind is None or len(bind) > 0
        self._uneven = _uneven(self._groups())
        self._places: dict[str, Slot] = {}
        self._values: dict[str, Value] = {}

    def place(self, hparams: Mapping[str, Value]) -> Mapping[str, Slot]:
        """Return the place of each hyperparameter that has one."""
        arrays = find_arrays(hparams)
        for name, names in arrays.items():
            if self._bound.get(name) is not None:
                raise StateError(
                    f"the values of an array must be bound each by itself, but all of {name!r} are "
                    f"bound to one place; write bind={{{names[0]!r}: ..., ...}}, or None to read "
                    f"them in the loop"
                )
        unknown = [name for name in self._bound if name not in hparams and name not in arrays]
        if unknown:
            raise UnknownHyperparameter(
                f"only hyperparameters of the space can be bound, but {unknown} are bound; the "
                f"space has {list(hparams)}"
            )
        by_name: dict[str, Slot] = {
            name: self._entry(self._optimizer, name)
            for name in hparams
            if self._optimizer is not None and self._is_entry(name)
        }
        for array, names in arrays.items():
            if self._optimizer is not None and self._is_array(array, names):
                by_name |= zip(names, self._elements(self._optimizer, array, names), strict=True)
        for name in [name for name in by_name if name not in self._places]:
            self._warn_of_others(name)
        self._places = {
            name: place for name, place in (self._bound | by_name).items() if place is not None
        }
        return self._places

    def sets(self, name: str) -> bool:
        """Say whether a hyperparameter of that name is set somewhere."""
        if name in self._bound:
            return self._bound[name] is not None
        array, _, rest = name.rpartition("[")
        return self._is_entry(name) or (rest.endswith("]") and self._is_entry(array))

    def apply(self, hparams: Mapping[str, Value]) -> None:
        """Set the values where training uses them."""
        self._values = {name: hparams[name] for name in self._places}
        for name, place in self._places.items():
            place.write(hparams[name])

    def read_back(self) -> Mapping[str, Any]:
        """Return the values that are set now; of several places, the first one that differs."""
        return {
            name: next(
                (found for found in place.read() if not is_unchanged(self._values[name], found)),
                self._values[name],
            )
            for name, place in self._places.items()
        }

    def entries(self, name: str) -> Sequence[GroupEntry]:
        """Return the entries of optimizers in which a hyperparameter is set."""
        place = self._places.get(name)
        found = [] if place is None else each(place)
        return [one for one in found if isinstance(one, GroupEntry)]

    def bases(self) -> Sequence[BaseLr]:
        """Return the bases of schedules that hyperparameters are bound to."""
        places = [place for place in self._bound.values() if place is not None]
        return [one for place in places for one in each(place) if isinstance(one, BaseLr)]

    def constants(self) -> list[str]:
        """Return the hyperparameters that are numbers in modules: constants to compiled code."""
        return [name for name, place in self._places.items() if is_constant(place)]

    def _groups(self) -> list[dict[str, Any]]:
        return [] if self._optimizer is None else self._optimizer.param_groups

    def _is_entry(self, name: str) -> bool:
        """Say whether what is not bound, a hyperparameter or array, is set by its name."""
        return self._by_name and name not in self._bound and _anywhere(name, self._groups())

    def _is_array(self, name: str, names: Sequence[str]) -> bool:
        """Say whether an array is set in the entry of its name, since none of it is bound."""
        return self._is_entry(name) and not any(one in self._bound for one in names)

    def _elements(self, optimizer: Optimizer, name: str, names: Sequence[str]) -> list[GroupEntry]:
        """Return the entries that the values of an array are set in: those of the param groups.

        An entry that is a tuple itself, such as betas, gets them in all groups alike.
        """
        groups = self._groups()
        parts = [group[name] for group in groups if isinstance(group.get(name), list | tuple)]
        if parts and all(len(part) == len(names) for part in parts):
            return [GroupEntry(optimizer, f"{name}[{nth}]") for nth in range(len(names))]
        if parts or len(names) != len(groups):
            what = "as many values as there are param groups"
            found = f"{len(groups)} groups"
            if parts:
                what, found = "as many values as the entry", f"entries of length {len(parts[0])}"
            raise StateError(
                f"an array that is bound by its name must have {what}, but {name!r} has "
                f"{len(names)} values and this {type(optimizer).__name__} has {found}; write "
                f"Array(domain, {len(parts[0]) if parts else len(groups)}), or bind each value, as "
                f"in bind={{{names[0]!r}: ramet.torch.param_group(optimizer, {name!r}, group=0)}}"
            )
        return [GroupEntry(optimizer, name, nth) for nth in range(len(names))]

    def _entry(self, optimizer: Optimizer, name: str) -> GroupEntry:
        if not all(name in group for group in self._groups()):
            having = [nth for nth, group in enumerate(self._groups()) if name in group]
            raise StateError(
                f"a hyperparameter that is bound by its name must be in all param groups, but "
                f"{name!r} is only in groups {having} of {len(self._groups())}; "
                f"{self._suggest_group(name, having[0])}, or bind={{{name!r}: None}} if the loop "
                f"reads it"
            )
        if name in self._uneven:
            raise StateError(
                f"a hyperparameter that is bound by its name must have one value in all param "
                f"groups, but {name!r} has {self._uneven[name]}; "
                f"{self._suggest_group(name, 0)}, or bind={{{name!r}: {name!r}}} for all of them "
                f"alike"
            )
        return GroupEntry(optimizer, name)

    def _suggest_group(self, name: str, group: int) -> str:
        return (
            f"say which is meant: bind={{{name!r}: ramet.torch.param_group(optimizer, {name!r}, "
            f"group={group})}}"
        )

    def _warn_of_others(self, name: str) -> None:
        """Warn of further optimizers with an entry of that name, which is not set."""
        having = [label for label, one in self._others.items() if _anywhere(name, one.param_groups)]
        if having:
            who = ", ".join(f"the {type(self._others[one]).__name__} ({one})" for one in having)
            warn_once(
                f"hyperparameter {name!r} is set by its name in the first optimizer of the state "
                f"only, and that of {who} stays as it is; to set both, bind={{{name!r}: "
                f"[{name!r}, ramet.torch.param_group(other, {name!r})]}}; the first alone, "
                f"bind={{{name!r}: {name!r}}}",
            )


def _check_bind(bind: object) -> None:
    if bind is not None and not isinstance(bind, Mapping):
        raise StateError(
            f"bind must be a dict of places by hyperparameter, as in bind={{'beta1': 'betas[0]'}}, "
            f"but got an object of type {type(bind).__name__}; a hyperparameter with the name of "
            f"an entry of the optimizer, such as 'lr', needs no binding"
        )


def place_of(optimizer: Optimizer | None, name: str, where: Any) -> Slot | None:
    """Return the place that a value of ``bind`` describes."""
    match where:
        case None:
            return None
        case str() if optimizer is not None:
            return GroupEntry(optimizer, where)
        case str():
            raise StateError(
                f"a hyperparameter bound to an entry needs an optimizer, but {name!r} is bound to "
                f"{where!r} and the state has none: State(model, optimizer)"
            )
        case (holder, str(attribute)) if isinstance(where, tuple):
            return Attributes([holder], attribute)
        case list():
            return Several([_one_of_several(optimizer, name, one) for one in where])
        case Slot():
            return where
        case _ if callable(where) and not isinstance(where, Module):
            return Setter(where)
    raise StateError(
        f"a hyperparameter must be bound to an entry of the optimizer, as in 'betas[0]', to an "
        f"attribute, as in (module, 'p'), to a function, to what ramet.torch.dropout, base_lr or "
        f"param_group return, or to a list of these, but {name!r} is bound to "
        f"{_describe(where)}"
    )


def _describe(where: object) -> str:
    """Describe what is no place; an optimizer or a module has a long text of many lines."""
    kind = type(where).__name__
    return f"an object of type {kind}" if isinstance(where, Optimizer | Module) else repr(where)


def _one_of_several(optimizer: Optimizer | None, name: str, where: Any) -> Slot:
    place = place_of(optimizer, name, where)
    if place is None:
        raise StateError(
            f"a list of places must name what each is, but one that {name!r} is bound to is None; "
            f"bind a hyperparameter that the loop reads itself to None alone"
        )
    return place


def _anywhere(key: str, groups: Sequence[Mapping[str, Any]]) -> bool:
    return any(key in group for group in groups)


def _uneven(groups: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the entries that have different values in different groups."""
    return {
        key: [group.get(key) for group in groups]
        for key in (groups[0] if groups else ())
        if key != "params" and any(group.get(key) != groups[0][key] for group in groups)
    }
