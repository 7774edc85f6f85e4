"""A task in PyTorch: functions of tensors that one member is trained by, or many at once."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch

from ramet.engine.run.scores import returned_score
from ramet.engine.run.turn import Turn
from ramet.engine.workers.session import Session
from ramet.errors import StateError, UsageError
from ramet.mapping import Chunk, SpaceArrays, check_task, step_changed
from ramet.space import Space
from ramet.state.adapters import Held
from ramet.state.tree import Tree
from ramet.torch.tensors import array_of, borrowed
from ramet.torch.ways import Compile
from ramet.values import Values

if TYPE_CHECKING:
    from ramet.torch.program import Program

# Nested dicts of tensors.
Tensors: TypeAlias = Any

# What tensors are made of, where a task need not give any itself.
GIVEN = torch.Tensor | np.ndarray | np.generic | bool | int | float

# What PyTorch says where gradients are not to be had as they usually are.
OF_GRADIENTS = ("require grad", "requires_grad", "backward() called inside")


@runtime_checkable
class Functions(Protocol):
    """What a task is made of. Nothing in it may change a tensor in place, or draw by itself."""

    def init(self, rng: np.random.Generator, /) -> Tensors:
        """Return the state that a member begins with, in nested dicts."""
        ...

    def draw(self, rng: np.random.Generator, steps: int, /) -> Tree:
        """Return what so many steps leave to chance: nested dicts of arrays, a row a step."""
        ...

    def step(self, state: Tensors, hparams: Any, drawn: Tensors, /) -> Tensors:
        """Return the state after a step, with a row of what was drawn; values are tensors."""
        ...

    def evaluate(self, state: Tensors, /) -> Any:
        """Return the score."""
        ...


class Task:
    """Trains functions of tensors: one member at a time, or with ``engine="vectorized"`` at once.

    Args:
        functions: An object with ``init``, ``draw``, ``step`` and ``evaluate``.
        chunk: How many members the vectorised engine maps at once; "auto" measures what is fastest.
        device: Where tensors are; None takes a GPU if there is one.
        compile: Whether the vectorised engine has torch.compile compile the steps; "auto" does so
            once a run has gone on for 10 s, if that is faster.
    """

    def __init__(
        self,
        functions: Functions,
        *,
        chunk: Chunk = "auto",
        device: str | None = None,
        compile: Compile = "auto",  # noqa: A002 - as torch calls it
    ) -> None:
        check_task(functions, Functions, "init, draw, step and evaluate", chunk)
        if compile not in (True, False, "auto"):
            raise UsageError(f"compile must be True, False or 'auto', but got {compile!r}")
        self.functions, self.chunk, self.compile = functions, chunk, compile
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")

    @torch.no_grad()
    def __call__(self, session: Session) -> None:
        """Train one session, turn after turn."""
        traced, numbers = Traced(self.functions), SpaceArrays(session.space)
        begun = begin(self.functions, session.rng)
        held = Held(begun if session.fresh else None)
        for turn in session.turns(held):
            check_same(begun, held.value)
            state = tensors(held.value, self.device)
            hparams = tensors(numbers.of(turn.hparams.peek()), self.device)
            for steps in turn.stretches():
                drawn = tensors(draw(self.functions, turn, steps), self.device)
                with traced.in_one_piece(state, hparams, drawn):
                    state = traced.step(state, hparams, row(drawn, 0))
                for nth in range(1, steps):
                    state = traced.step(state, hparams, row(drawn, nth))
                turn.report(returned_score(self.functions.evaluate(state)))
            held.value = arrays(state)
            check_step(begun, held.value)
            traced.read_from(turn)

    def as_state(self, tree: Tree) -> Tensors:
        """Return a state as the functions make it, from what ``result.best.load()`` returned."""
        check_same(begin(self.functions, np.random.default_rng(0)), tree)
        return tensors(tree, self.device)

    def program(self, space: Space) -> "Program":
        """Return what trains many members at once, with values of a space."""
        from ramet.torch.program import Program  # noqa: PLC0415 - which needs this module

        return Program(
            self.functions,
            SpaceArrays(space),
            chunk=self.chunk,
            device=self.device,
            compile=self.compile,
        )


class Traced:
    """The step of a task, and which hyperparameters it read."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self._read: set[str] = set()
        # Whether it is known that a step returns what it must.
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
        """Refuse a step that writes on what it is given."""
        before = [leaf._version for tree in given for leaf in leaves(tree)]  # noqa: SLF001 - there is no other way to know
        yield
        after = [leaf._version for tree in given for leaf in leaves(tree)]  # noqa: SLF001 - as above
        if before != after:
            raise UsageError(
                "a task's step must leave what it is given as it is, because others are trained "
                "from it too, but it wrote on a tensor in place; return new ones, such as "
                "0.9 * m + g in place of m.mul_(0.9).add_(g)"
            )

    def read_from(self, turn: Turn) -> None:
        """Have a turn know what the step read."""
        for name in self._read.intersection(turn.hparams.peek()):
            turn.hparams[name]


def _needs_grad(error: RuntimeError) -> UsageError:
    return UsageError(
        f"a task's step must get its gradients from torch.func.grad, because tensors are not told "
        f"to remember how they were made, but torch says: {str(error).splitlines()[0]}"
    )


def begin(functions: Functions, rng: np.random.Generator) -> Tree:
    """Return the state that a member begins with, as arrays."""
    state = functions.init(rng)
    check_nested(state, "a task's state")
    return arrays(tensors(state, "cpu"))


def draw(functions: Functions, turn: Turn, steps: int) -> Tree:
    """Return what so many steps of a turn leave to chance."""
    drawn = functions.draw(turn.rng, steps)
    check_nested(drawn, "what a task draws")
    for leaf in leaves(drawn):
        if np.shape(leaf)[:1] != (steps,):
            raise UsageError(
                f"what a task draws must have a row for each step, {steps} here, but got one of "
                f"shape {np.shape(leaf)}; draw(rng, steps) gets the number of steps, and what is "
                f"the same at every step belongs into step()"
            )
    return drawn


def check_nested(tree: Any, what: str, at: str = "", *, kinds: Any = GIVEN) -> None:
    """Refuse what is not made of dicts of tensors or, if they are taken too, arrays and numbers."""
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
        f"{what} is a {type(part).__name__}; give each part a name, and return {{}} where there is "
        f"nothing"
    )


def check_step(before: Tree, after: Tree) -> None:
    """Refuse a step that makes another kind of state of the one it was given."""
    if difference := differing(before, after):
        at, was, became = difference
        raise step_changed(f"{at} was {was} and became {became}")


def check_same(like: Tree, tree: Tree) -> None:
    """Refuse a saved state that is not like those that the functions begin with."""
    if difference := differing(like, tree):
        at, is_, was = difference
        raise StateError(
            f"a checkpoint must be of states as the task begins with, but {at} was saved as {was} "
            f"and is {is_} now; build the model as it was built, or give the new run another name"
        )


def differing(like: Tree, tree: Tree, at: str = "state") -> tuple[str, str, str] | None:
    """Return where two states differ first, and as what; None if their values only do."""
    if isinstance(like, Mapping) and isinstance(tree, Mapping) and like.keys() == tree.keys():
        found = (differing(like[key], tree[key], f"{at}[{key!r}]") for key in like)
        return next((each for each in found if each is not None), None)
    was, became = (
        f"a dict of {sorted(part)}" if isinstance(part, Mapping) else f"{part.dtype}{part.shape}"
        for part in (like, tree)
    )
    return None if was == became else (at, was, became)


def mapped(function: Any, *trees: Any) -> Any:
    """Return nested dicts with what a function makes of their leaves, place by place."""
    first = trees[0]
    if isinstance(first, Mapping):
        return {key: mapped(function, *(tree[key] for tree in trees)) for key in first}
    return function(*trees)


def leaves(tree: Any) -> list[Any]:
    """Return the leaves of nested dicts."""
    if isinstance(tree, Mapping):
        return [leaf for part in tree.values() for leaf in leaves(part)]
    return [tree]


def row(stacked: Tensors, nth: int) -> Tensors:
    """Return what is at a place of the first axis."""
    return mapped(lambda each: each[nth], stacked)


def tensors(tree: Tree, device: str) -> Tensors:
    """Return nested dicts of arrays as tensors, which nobody may write on."""

    def tensor(leaf: Any) -> torch.Tensor:
        made = leaf.detach() if isinstance(leaf, torch.Tensor) else borrowed(np.asarray(leaf))
        return made.to(device)

    return mapped(tensor, tree)


def arrays(state: Tensors) -> Tree:
    """Return nested dicts of tensors as arrays."""
    return mapped(lambda leaf: array_of(leaf.detach(), "a task's state"), state)
