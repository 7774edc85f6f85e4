"""A task in PyTorch: functions of tensors that one member is trained by, or many at once."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch

from ramet.domains import Value
from ramet.engine import Trainee, Turn
from ramet.engine.vectorized import MEASURED, Chunks, numbers, quickest
from ramet.errors import StateError, UsageError
from ramet.state.adapters import Held
from ramet.state.tree import Tree
from ramet.strategies.base import check_count
from ramet.torch.tensors import array_of, borrowed
from ramet.values import Values

Chunk: TypeAlias = int | Literal["auto"]
# Nested dicts of tensors.
Tensors: TypeAlias = Any


@runtime_checkable
class Functions(Protocol):
    """What a task is made of. Nothing in it may change a tensor in place, or draw by itself."""

    def init(self, rng: np.random.Generator) -> Tensors:
        """Return the state that a member begins with, in nested dicts."""
        ...

    def draw(self, rng: np.random.Generator, steps: int) -> Tree:
        """Return what so many steps leave to chance: nested dicts of arrays, a row a step."""
        ...

    def step(self, state: Tensors, hparams: Mapping[str, Any], drawn: Tensors) -> Tensors:
        """Return the state after a step, with a row of what was drawn; values are tensors."""
        ...

    def evaluate(self, state: Tensors) -> Any:
        """Return the score."""
        ...


class Task:
    """Trains functions of tensors: one member at a time, or with ``engine="vectorized"`` at once.

    Args:
        functions: An object with ``init``, ``draw``, ``step`` and ``evaluate``.
        chunk: How many members the vectorised engine maps at once; "auto" measures what is fastest.
        device: Where tensors are; None takes a GPU if there is one.
    """

    def __init__(
        self, functions: Functions, *, chunk: Chunk = "auto", device: str | None = None
    ) -> None:
        if isinstance(functions, type) or not isinstance(functions, Functions):
            raise UsageError(
                f"a task must be made of an object with the methods init, draw, step and evaluate, "
                f"but got {functions!r}"
            )
        if chunk != "auto":
            check_count("chunk", chunk, "how many members are mapped at once; or let it be 'auto'")
        self.functions, self.chunk = functions, chunk
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")

    @torch.no_grad()
    def __call__(self, member: Trainee) -> None:
        """Train one member, turn after turn."""
        traced = Traced(self.functions)
        begun = arrays(tensors(self.functions.init(member.rng), "cpu"))
        held = Held(begun if member.fresh else None)
        for turn in member.turns(held):
            check_same(begun, held.value)
            state = tensors(held.value, self.device)
            hparams = mappable(turn.hparams.peek(), self.device)
            for steps in turn.stretches():
                drawn = tensors(self.functions.draw(turn.rng, steps), self.device)
                for nth in range(steps):
                    state = traced.step(state, hparams, row(drawn, nth))
                turn.report(self.functions.evaluate(state))
            held.value = arrays(state)
            traced.read_from(turn)

    def program(self) -> "Program":
        """Return what trains many members at once."""
        return Program(self.functions, chunk=self.chunk, device=self.device)


class Traced:
    """The step of a task, and which hyperparameters it read."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self.read: set[str] = set()

    def step(self, state: Tensors, hparams: dict[str, torch.Tensor], drawn: Tensors) -> Tensors:
        values = Values(hparams)
        after = self._functions.step(state, values, drawn)
        self.read.update(hparams.keys() - set(values.unread()))
        return after

    def read_from(self, turn: Turn) -> None:
        """Have a turn know what the step read."""
        for name in self.read.intersection(turn.hparams.peek()):
            turn.hparams[name]


class Program:
    """Trains states stacked on a device: each tensor has one more axis, the first."""

    def __init__(self, functions: Functions, *, chunk: Chunk, device: str) -> None:
        self._functions, self._device = functions, device
        self._traced = Traced(functions)
        self._chunks = Chunks(chunk)
        # What every state must be like; drawn of any generator.
        self._like = arrays(tensors(functions.init(np.random.default_rng(0)), "cpu"))

    def begun(self, turns: Sequence[Turn]) -> Tensors:
        return self._stacked([self._functions.init(turn.init_rng) for turn in turns])

    def restored(self, trees: Sequence[Tree]) -> Tensors:
        for tree in trees:
            check_same(self._like, tree)
        return self._stacked(trees)

    def taken(self, stacks: Sequence[Tensors], places: Sequence[int]) -> Tensors:
        index = torch.tensor(places, device=self._device)
        joined = stacks[0] if len(stacks) == 1 else mapped(lambda *each: torch.cat(each), *stacks)
        return mapped(lambda tensor: tensor[index], joined)

    @torch.no_grad()
    def trained(
        self, states: Tensors, turns: Sequence[Turn], stretches: Sequence[int]
    ) -> tuple[Tensors, Sequence[Sequence[float]]]:
        hparams = self._stacked([mappable(turn.hparams.peek(), "cpu") for turn in turns])
        scores = []
        for steps in stretches:
            drawn = self._stacked([self._functions.draw(turn.rng, steps) for turn in turns])
            chunk = self._chunk(len(turns), states, hparams, drawn, steps)
            states, score = self._stretch(chunk, states, hparams, drawn, steps)
            scores.append(score)
        for turn in turns:
            self._traced.read_from(turn)
        rows = torch.stack(scores, dim=1).cpu().double()
        return states, rows.tolist()

    def captured(self, states: Tensors) -> list[Tree]:
        whole = arrays(states)
        count = len(next(iter(leaves(whole))))
        return [mapped(lambda array: array[place], whole) for place in range(count)]  # noqa: B023 - called at once

    def _stacked(self, trees: Sequence[Tree]) -> Tensors:
        on_host = [tensors(tree, "cpu") for tree in trees]
        return mapped(lambda *each: torch.stack(each).to(self._device), *on_host)

    def _stretch(
        self, chunk: int, states: Tensors, hparams: Tensors, drawn: Tensors, steps: int
    ) -> tuple[Tensors, torch.Tensor]:
        step = torch.vmap(self._traced.step, in_dims=(0, 0, 0), chunk_size=chunk)
        for nth in range(steps):
            drawn_now = mapped(lambda each: each[:, nth], drawn)  # noqa: B023 - called at once
            try:
                states = step(states, hparams, drawn_now)
            except RuntimeError as error:
                if "vmap" not in str(error):
                    raise
                raise self._unmappable(error, states, hparams, drawn_now) from error
        scores = torch.vmap(self._functions.evaluate, chunk_size=chunk)(states)
        return states, scores

    def _unmappable(
        self, error: RuntimeError, states: Tensors, hparams: Tensors, drawn: Tensors
    ) -> UsageError:
        """Return the error for a step that cannot be mapped, which says which values it used."""
        blamed = [name for name in hparams if not self._is_mapped(name, states, hparams, drawn)]
        what = f"hyperparameter {blamed} is" if blamed else "something in it is"
        return UsageError(
            f"a task's step must be one that torch.vmap can map over members, but {what} used as "
            f"a value of Python's, or drawn: use torch.where instead of `if`, no .item(), and "
            f"draw whatever is left to chance in draw(): {str(error).splitlines()[0]}"
        )

    def _is_mapped(self, name: str, states: Tensors, hparams: Tensors, drawn: Tensors) -> bool:
        """Say whether the step can be mapped over this hyperparameter alone."""
        first = {each: value[0] for each, value in hparams.items()}
        state, drawn_first = row(states, 0), row(drawn, 0)

        def step(value: torch.Tensor) -> Tensors:
            return self._traced.step(state, {**first, name: value}, drawn_first)

        try:
            torch.vmap(step)(hparams[name])
        except RuntimeError:
            return False
        return True

    def _chunk(
        self, count: int, states: Tensors, hparams: Tensors, drawn: Tensors, steps: int
    ) -> int:
        """Return how many members to map at once."""

        def seconds(chunk: int) -> float | None:
            copy = mapped(torch.clone, states)

            def train() -> None:
                _, scores = self._stretch(chunk, copy, hparams, drawn, min(steps, MEASURED))
                scores.sum().item()

            try:
                return quickest(train)
            except torch.OutOfMemoryError:
                return None

        chunk = self._chunks.of(count, seconds)
        if chunk is None:
            size = sum(leaf.nbytes for leaf in leaves(states)) / count
            raise UsageError(
                f"a population must fit its device, but not even one member at a time can be "
                f"trained beside the states of all {count}, {size:,.0f} bytes each; have fewer "
                f"members, or train in worker processes"
            )
        return chunk


def mappable(hparams: Mapping[str, Value], device: str) -> dict[str, torch.Tensor]:
    """Return values as tensors of one number."""
    kinds = {bool: torch.bool, int: torch.int32, float: torch.float32}
    return {
        name: torch.tensor(value, dtype=kinds[type(value)], device=device)
        for name, value in numbers(hparams).items()
    }


def check_same(like: Tree, tree: Tree, at: str = "state") -> None:
    """Refuse a state that is not like those that the functions begin with."""
    if isinstance(like, Mapping) and isinstance(tree, Mapping) and like.keys() == tree.keys():
        for key in like:
            check_same(like[key], tree[key], f"{at}[{key!r}]")
        return
    kinds = [
        f"a dict of {sorted(part)}" if isinstance(part, Mapping) else f"{part.dtype}{part.shape}"
        for part in (tree, like)
    ]
    if kinds[0] != kinds[1]:
        raise StateError(
            f"a checkpoint must be of states as the task begins with, but {at} was saved as "
            f"{kinds[0]} and is {kinds[1]} now; build the model as it was built, or give the new "
            f"run another name"
        )


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
