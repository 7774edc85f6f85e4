"""The functions that a task in PyTorch is made of, and checks of what they return."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch

from ramet.engine.run.turn import Turn
from ramet.errors import StateError, UsageError
from ramet.mapping.refusals import step_changed
from ramet.space.values import Values
from ramet.state.tree import Tree
from ramet.torch.tensors import array_of, borrow

# Nested dicts of tensors.
Tensors: TypeAlias = Any

# What is made a tensor where a task may return something else.
GIVEN = torch.Tensor | np.ndarray | np.generic | bool | int | float

# The messages of PyTorch if gradients are computed by backward() or torch.autograd.
OF_GRADIENTS = ("require grad", "requires_grad", "backward() called inside")


@runtime_checkable
class Functions(Protocol):
    """The functions of a task. None of them may change a tensor in place or draw at random."""

    def init(self, rng: np.random.Generator, /) -> Tensors:
        """Return the first state of a member, in nested dicts."""
        ...

    def draw(self, rng: np.random.Generator, steps: int, /) -> Tree:
        """Return all random numbers of these steps: nested dicts of arrays, a row for each step."""
        ...

    def step(self, state: Tensors, hparams: Any, drawn: Tensors, /) -> Tensors:
        """Return the state after a step. Hyperparameters and the row that was drawn are tensors."""
        ...

    def evaluate(self, state: Tensors, /) -> Any:
        """Return the score."""
        ...


class Traced:
    """The step of a task, and a record of the hyperparameters that it read."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self._read: set[str] = set()
        # Whether what a step returns was checked.
        self._checked = False

    def step(self, state: Tensors, hparams: dict[str, torch.Tensor], drawn: Tensors) -> Tensors:
        try:
            after = self._functions.step(state, Values(hparams, read=self._read), drawn)
        except RuntimeError as error:
            if any(said in str(error) for said in OF_GRADIENTS):
                raise _needs_grad(error) from error
            raise
        if not self._checked:
            check_nested(after, "what a task's step returns", kinds=torch.Tensor)
            self._checked = True
        return after

    @contextlib.contextmanager
    def in_one_piece(self, *given: Tensors) -> Iterator[None]:
        """Refuse a step that changes its arguments in place."""
        before = [leaf._version for tree in given for leaf in leaves(tree)]  # noqa: SLF001 - there is no other way to know
        yield
        after = [leaf._version for tree in given for leaf in leaves(tree)]  # noqa: SLF001 - as above
        if before != after:
            raise UsageError(
                "a task's step must not change its arguments, because other members are trained "
                "from them too, but it changed a tensor in place; return new ones, such as "
                "0.9 * m + g instead of m.mul_(0.9).add_(g)"
            )

    def read_from(self, turn: Turn) -> None:
        """Mark the hyperparameters that the step read as read in a turn."""
        # Of an array they read all values, which are hyperparameters of their own in a turn.
        turn.hparams.mark_read(self._read)


def _needs_grad(error: RuntimeError) -> UsageError:
    return UsageError(
        f"a task's step must get its gradients from torch.func.grad, because tensors do not record "
        f"operations there, but torch says: {str(error).splitlines()[0]}"
    )


def begin(functions: Functions, rng: np.random.Generator) -> Tree:
    """Return the first state of a member, as arrays."""
    state = functions.init(rng)
    check_nested(state, "a task's state")
    return arrays(tensors(state, "cpu"))


def draw(functions: Functions, rng: np.random.Generator, steps: int) -> Tree:
    """Return the random numbers of the next steps of a turn, from its generator."""
    drawn = functions.draw(rng, steps)
    check_nested(drawn, "what a task draws")
    for leaf in leaves(drawn):
        if np.shape(leaf)[:1] != (steps,):
            raise UsageError(
                f"what a task draws must have a row for each step, {steps} here, but got one of "
                f"shape {np.shape(leaf)}; draw(rng, steps) gets the number of steps, and what is "
                f"the same at every step belongs in step()"
            )
    return drawn


def check_nested(tree: Any, what: str, at: str = "", *, kinds: Any = GIVEN) -> None:
    """Refuse anything but nested dicts of the given kinds, such as tensors."""
    if not at and not isinstance(tree, Mapping):
        raise _not_nested(tree, what)
    for key, part in tree.items():
        place = f"{at}[{key!r}]"
        if isinstance(part, Mapping):
            check_nested(part, what, place, kinds=kinds)
        elif not isinstance(part, kinds):
            raise _not_nested(part, what + place)


def _not_nested(part: Any, what: str) -> UsageError:
    return UsageError(
        f"the functions of a ramet.torch.Task must return nested dicts of tensors or arrays, but "
        f"{what} is of type {type(part).__name__}; give each part a name, and return {{}} where "
        f"there is nothing"
    )


def check_step(before: Tree, after: Tree) -> None:
    """Refuse a step that returns a state of another structure."""
    if difference := differing(before, after):
        at, was, became = difference
        raise step_changed(f"{at} was {was} and became {became}")


def check_same(like: Tree, tree: Tree) -> None:
    """Refuse a saved state with another structure than that of ``init``."""
    if difference := differing(like, tree):
        at, is_, was = difference
        raise StateError(
            f"a checkpoint must have the structure that the task's init returns, but {at} was "
            f"saved as {was} and is {is_} now; build the model as it was built, or give the new "
            f"run another name"
        )


def differing(like: Tree, tree: Tree, at: str = "state") -> tuple[str, str, str] | None:
    """Return the first place where two states differ in structure, and both kinds there."""
    if isinstance(like, Mapping) and isinstance(tree, Mapping) and like.keys() == tree.keys():
        found = (differing(like[key], tree[key], f"{at}[{key!r}]") for key in like)
        return next((each for each in found if each is not None), None)
    was, became = (
        f"a dict of {sorted(part)}" if isinstance(part, Mapping) else f"{part.dtype}{part.shape}"
        for part in (like, tree)
    )
    return None if was == became else (at, was, became)


def map_leaves(function: Any, *trees: Any) -> Any:
    """Apply a function to the leaves of nested dicts, place by place."""
    first = trees[0]
    if isinstance(first, Mapping):
        return {key: map_leaves(function, *(tree[key] for tree in trees)) for key in first}
    return function(*trees)


def leaves(tree: Any) -> list[Any]:
    """Return the leaves of nested dicts."""
    if isinstance(tree, Mapping):
        return [leaf for part in tree.values() for leaf in leaves(part)]
    return [tree]


def row(stacked: Tensors, nth: int) -> Tensors:
    """Return one row of each tensor: its part at a place of the first axis."""
    return map_leaves(lambda each: each[nth], stacked)


def tensors(tree: Tree, device: str) -> Tensors:
    """Return nested dicts of arrays as tensors, which must not be written to."""

    def tensor(leaf: Any) -> torch.Tensor:
        made = leaf.detach() if isinstance(leaf, torch.Tensor) else borrow(np.asarray(leaf))
        return made.to(device)

    return map_leaves(tensor, tree)


def arrays(state: Tensors) -> Tree:
    """Return nested dicts of tensors as arrays."""
    return map_leaves(lambda leaf: array_of(leaf.detach(), "a task's state"), state)
