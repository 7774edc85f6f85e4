"""What a training loop hands over as its state, and how values are applied to it."""

import math
from collections.abc import Callable, Mapping
from numbers import Number
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ramet.domains import Value
from ramet.errors import HyperparameterOverwritten, StateError, UnknownHyperparameter
from ramet.state.remedies import JAX, TORCH, find_foreign, remedy_for
from ramet.state.tree import Tree, restore_into, thaw

# A value may come back from a framework that keeps it in 32 bits.
ROUNDING = 1e-6
LAW = (
    "a state must be a dict of arrays and numbers, or have the methods capture() and restore(tree)"
)


@runtime_checkable
class State(Protocol):
    """Whatever should follow a member from turn to turn: weights, optimiser, counters."""

    def capture(self) -> Tree:
        """Return all of it as a state tree."""
        ...

    def restore(self, tree: Tree, /) -> None:
        """Become what was captured."""
        ...


@runtime_checkable
class Bindable(Protocol):
    """A state that hyperparameters can be applied to, and read back from."""

    def apply(self, hparams: Mapping[str, Value], /) -> None:
        """Put the values where training uses them."""
        ...

    def read_back(self) -> Mapping[str, Value]:
        """Return the values found there now, of the hyperparameters that have a place."""
        ...


@runtime_checkable
class Explaining(Protocol):
    """A bindable state that may know who overwrites what is applied to it."""

    def explain(self, name: str, /) -> str | None:
        """Say who sets a hyperparameter to something else, and what to do; None if unknown."""
        ...


class Variables:
    """A dict of arrays and numbers, restored in place."""

    def __init__(self, variables: dict[str, Any]) -> None:
        self._variables = variables

    def capture(self) -> Tree:
        return self._variables

    def restore(self, tree: Tree) -> None:
        restore_into(self._variables, tree)


class Held:
    """A state that is passed from call to call rather than changed in place."""

    def __init__(self, value: Tree) -> None:
        self.value = value

    def capture(self) -> Tree:
        return self.value

    def restore(self, tree: Tree) -> None:
        self.value = thaw(tree)


class Bound:
    """A state, and the attribute of some object that each of these hyperparameters goes to.

    Values are applied after every restore, and must still be there when the turn ends. What the
    state itself binds stays bound, unless it is bound here.

    >>> class Optimizer:
    ...     lr = 0.0
    >>> optimizer = Optimizer()
    >>> state = Bound({"w": 0.0}, lr=(optimizer, "lr"))
    >>> state.apply({"lr": 0.3})
    >>> optimizer.lr
    0.3
    """

    def __init__(
        self,
        state: State | dict[str, Any],
        places: Mapping[str, tuple[object, str]] | None = None,
        /,
        **named: tuple[object, str],
    ) -> None:
        self._state = adapt(state)
        self._places = {**(places or {}), **named}
        for name, place in self._places.items():
            match place:
                case (holder, str(attribute)):
                    pass
                case _:
                    raise StateError(
                        f"a hyperparameter must be bound to a pair, as in lr=(optimizer, 'lr'), "
                        f"but {name!r} is bound to {place!r}"
                    )
            if not hasattr(holder, attribute):
                raise StateError(
                    f"a hyperparameter must be bound to an attribute that exists, but {name!r} is "
                    f"bound to {attribute!r}, which {type(holder).__name__} does not have"
                )

    def capture(self) -> Tree:
        return self._state.capture()

    def restore(self, tree: Tree) -> None:
        self._state.restore(tree)

    def apply(self, hparams: Mapping[str, Value]) -> None:
        if unknown := [name for name in self._places if name not in hparams]:
            raise UnknownHyperparameter(
                f"what is bound must be a hyperparameter of the space, which has {list(hparams)}, "
                f"but {unknown} are bound"
            )
        if isinstance(self._state, Bindable):
            self._state.apply(hparams)
        for name, (holder, attribute) in self._places.items():
            setattr(holder, attribute, hparams[name])

    def read_back(self) -> Mapping[str, Value]:
        own = self._state.read_back() if isinstance(self._state, Bindable) else {}
        here = {
            name: getattr(holder, attribute) for name, (holder, attribute) in self._places.items()
        }
        return {**own, **here}


def adapt(state: object) -> State:
    """Return what can capture and restore a state.

    Args:
        state: A dict of arrays and numbers, or an object with ``capture`` and ``restore``.
    """
    if isinstance(state, State) and not isinstance(state, type):
        return state
    if (found := find_foreign(state)) is not None:
        path, part = found
        where = f"state{path} is" if path else "got"
        raise StateError(f"{LAW}, but {where} a {type(part).__name__}; {remedy_for(part)}")
    if isinstance(state, dict):
        return Variables(state)
    raise StateError(f"{LAW}, but got {_describe(state)}; {_remedy(state)}")


def _describe(state: object) -> str:
    if isinstance(state, type):
        return f"the class {state.__name__} itself"
    return "None" if state is None else f"a {type(state).__name__}"


def _remedy(state: object) -> str:
    """Say what to write in place of an object of no framework."""
    if isinstance(state, type):
        return "pass an object of it"
    if isinstance(state, np.ndarray | list | tuple | Number):
        return "give each part a name, state = {'weights': weights}, and write into that dict"
    return f"write state = {{'weights': weights}} for arrays, {TORCH} or {JAX}"


def check_applied(state: Bindable, hparams: Mapping[str, Value], when: str) -> frozenset[str]:
    """Return the names that are applied; refuse a value that is not what it was set to."""
    found = state.read_back()
    check_stayed(found, hparams, when, state.explain if isinstance(state, Explaining) else None)
    return frozenset(found)


def check_stayed(
    found: Mapping[str, Value],
    hparams: Mapping[str, Value],
    when: str,
    explain: Callable[[str], str | None] | None = None,
) -> None:
    """Refuse a value that is not what it was set to."""
    for name, value in found.items():
        if not is_kept(hparams[name], value):
            explained = explain(name) if explain is not None else None
            raise HyperparameterOverwritten(
                f"hyperparameter {name!r} must stay as applied, {hparams[name]!r}, but {when} it "
                f"was {value!r}: {explained or _anybody(name)}"
            )


def is_kept(wanted: Value, found: Any) -> bool:
    """Say whether a value is still there, as itself or as what a framework makes of it."""
    if isinstance(wanted, str | bool | None) or isinstance(found, str):
        return bool(found == wanted)
    try:
        return math.isclose(float(found), wanted, rel_tol=ROUNDING)
    except (TypeError, ValueError):
        return False


def _anybody(name: str) -> str:
    return (
        f"a scheduler, a restored optimiser or the loop itself set it; if the loop is to set it, "
        f"do not bind it and read turn.hparams[{name!r}] there, or take it out of the space"
    )
