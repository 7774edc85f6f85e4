"""The state of a training loop, and how hyperparameters are set in it."""

from collections.abc import Mapping
from numbers import Number
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from ramet.domains import Value
from ramet.errors import StateError, UnknownHyperparameter
from ramet.state.remedies import ANY, find_foreign, remedy_for
from ramet.state.tree import Tree, restore_into, thaw

LAW = (
    "a state must be a dict of arrays and numbers, or have the methods capture() and restore(tree)"
)


@runtime_checkable
class State(Protocol):
    """What follows a member from turn to turn: weights, optimizer state, counters."""

    if not TYPE_CHECKING:  # A type checker sees by itself that a protocol has no objects.

        def __new__(cls, *_: object, **__: object) -> Any:
            if cls is State:
                raise StateError(
                    f"ramet.State is what every state can do, and makes none by itself; {ANY}"
                )
            return super().__new__(cls)

    def capture(self) -> Tree:
        """Return all of it as a tree of dicts, lists, arrays and numbers."""
        ...

    def restore(self, tree: Tree, /) -> None:
        """Restore what was captured."""
        ...


@runtime_checkable
class Bindable(Protocol):
    """A state that sets hyperparameters, and reads them back."""

    def apply(self, hparams: Mapping[str, Value], /) -> None:
        """Set the hyperparameters where training uses them.

        Args:
            hparams: All hyperparameters of the member, by name.
        """
        ...

    def read_back(self) -> Mapping[str, Value]:
        """Return the values that are set now, of the hyperparameters that the state sets."""
        ...


@runtime_checkable
class Explaining(Protocol):
    """A bindable state that may know what overwrites a hyperparameter."""

    def explain(self, name: str, /) -> str | None:
        """Say what sets a hyperparameter to another value, and what to do; None if unknown.

        Args:
            name: The hyperparameter.
        """
        ...


@runtime_checkable
class Setting(Protocol):
    """A bindable state that knows which hyperparameters it would set."""

    def sets(self, name: str, /) -> bool:
        """Say whether the state sets a hyperparameter whenever its condition holds.

        Args:
            name: The hyperparameter.
        """
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
    """A state that is replaced by a new value rather than changed in place.

    Args:
        value: The first value, a tree of dicts, lists, arrays and numbers.
    """

    def __init__(self, value: Tree) -> None:
        self.value = value

    def capture(self) -> Tree:
        return self.value

    def restore(self, tree: Tree) -> None:
        self.value = thaw(tree)


class Bound:
    """A state with hyperparameters that are set as attributes of objects.

    Values are set after every restore, and must still be there when the turn ends. Hyperparameters
    that the state itself sets stay bound, except those that are bound here.

    Args:
        state: A dict of arrays and numbers, or another state.
        places: The object and attribute for each hyperparameter, if its name is no keyword.
        named: The same by keyword, as in ``lr=(optimizer, "lr")``.

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

    def sets(self, name: str) -> bool:
        """Say whether the state sets a hyperparameter whenever its condition holds.

        Args:
            name: The hyperparameter.
        """
        return name in self._places or (isinstance(self._state, Setting) and self._state.sets(name))

    def capture(self) -> Tree:
        return self._state.capture()

    def restore(self, tree: Tree) -> None:
        self._state.restore(tree)

    def apply(self, hparams: Mapping[str, Value]) -> None:
        if unknown := [name for name in self._places if name not in hparams]:
            raise UnknownHyperparameter(
                f"only hyperparameters of the space can be bound, but {unknown} are bound; the "
                f"space has {list(hparams)}"
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
        what = f"state{path} is" if path else "got an object"
        kind = type(part).__name__
        raise StateError(f"{LAW}, but {what} of type {kind}; {remedy_for(part)}")
    if isinstance(state, dict):
        return Variables(state)
    raise StateError(f"{LAW}, but got {_describe(state)}; {_remedy(state)}")


def _describe(state: object) -> str:
    if isinstance(state, type):
        return f"the class {state.__name__} itself"
    return "None" if state is None else f"an object of type {type(state).__name__}"


def _remedy(state: object) -> str:
    """Say what to write in place of an object of no framework."""
    if isinstance(state, type):
        return "pass an object of it"
    if isinstance(state, np.ndarray | list | tuple | Number):
        return "give each part a name, state = {'weights': weights}, and write into that dict"
    return ANY
