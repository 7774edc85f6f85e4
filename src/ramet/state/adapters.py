"""States as training loops pass them, and how hyperparameters are applied to them."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from ramet.domains import Value
from ramet.errors import HyperparameterOverwritten, StateError, UnknownHyperparameter
from ramet.state.tree import Tree, restore_into, thaw

# A value may come back from a framework that keeps it in 32 bits.
ROUNDING = 1e-6


@runtime_checkable
class State(Protocol):
    """What a member keeps from turn to turn: weights, optimiser, counters."""

    def capture(self) -> Tree:
        """Return the whole state as a tree."""
        ...

    def restore(self, tree: Tree, /) -> None:
        """Put back a captured ``tree``."""
        ...


@runtime_checkable
class Bindable(Protocol):
    """A state that hyperparameters can be applied to, and read back from."""

    def apply(self, hparams: Mapping[str, Value], /) -> None:
        """Set the values of ``hparams`` where training uses them."""
        ...

    def applied(self) -> Mapping[str, Value]:
        """Return the present values of the hyperparameters that are bound to a place."""
        ...


@runtime_checkable
class Explaining(Protocol):
    """A bindable state that may know what overwrites an applied value."""

    def explain(self, name: str, /) -> str | None:
        """Say what overwrites the hyperparameter ``name``, and the remedy; None if unknown."""
        ...


class Variables:
    """A dict of arrays and numbers, restored in place.

    Args:
        variables: The dict.
    """

    def __init__(self, variables: dict[str, Any]) -> None:
        self._variables = variables

    def capture(self) -> Tree:
        return self._variables

    def restore(self, tree: Tree) -> None:
        restore_into(self._variables, tree)


class Held:
    """A state that is passed from call to call rather than changed in place.

    Args:
        value: The tree.
    """

    def __init__(self, value: Tree) -> None:
        self.value = value

    def capture(self) -> Tree:
        return self.value

    def restore(self, tree: Tree) -> None:
        self.value = thaw(tree)


class Bound:
    """A state with hyperparameters bound to attributes of objects.

    Values are set after every restore, and must be unchanged when the turn ends. Bindings of the
    state itself are kept, unless the same hyperparameter is bound here.

    Args:
        state: The state: a dict of arrays, or an object with ``capture`` and ``restore``.
        places: The object and the name of its attribute, for each hyperparameter.
        named: The same as keyword arguments.

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

    def applied(self) -> Mapping[str, Value]:
        own = self._state.applied() if isinstance(self._state, Bindable) else {}
        here = {
            name: getattr(holder, attribute) for name, (holder, attribute) in self._places.items()
        }
        return {**own, **here}


def adapt(state: object) -> State:
    """Return an object that captures and restores ``state``."""
    if isinstance(state, State):
        return state
    if isinstance(state, dict):
        return Variables(state)
    raise StateError(
        f"a state must be a dict of arrays, or have the methods capture() and restore(tree), but "
        f"got a {type(state).__name__}"
    )


def check_applied(state: Bindable, hparams: Mapping[str, Value], when: str) -> frozenset[str]:
    """Return the names of the bound hyperparameters; raise if a value is not as it was set.

    Args:
        state: The state that the values were applied to.
        hparams: The values that were applied.
        when: When they are checked, for the error.
    """
    found = state.applied()
    check_stayed(found, hparams, when, state.explain if isinstance(state, Explaining) else None)
    return frozenset(found)


def check_stayed(
    found: Mapping[str, Value],
    hparams: Mapping[str, Value],
    when: str,
    explain: Callable[[str], str | None] | None = None,
) -> None:
    """Raise HyperparameterOverwritten if a value is not as it was set.

    Args:
        found: The present values.
        hparams: The values that were applied.
        when: When they are checked, for the error.
        explain: Returns what overwrites a hyperparameter, and the remedy, if that is known.
    """
    for name, value in found.items():
        if not is_unchanged(hparams[name], value):
            explained = explain(name) if explain is not None else None
            raise HyperparameterOverwritten(
                f"hyperparameter {name!r} must stay as applied, {hparams[name]!r}, but {when} it "
                f"was {value!r}: {explained or _anybody(name)}"
            )


def is_unchanged(wanted: Value, found: Any) -> bool:
    """Say whether a value is as it was set, up to what a framework rounds it to."""
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
