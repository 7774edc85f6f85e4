"""Steps of all members, traced once and replayed: on a GPU as a CUDA graph, perhaps compiled."""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_map

# Nested dicts of tensors.
Tensors: TypeAlias = Any
# From states, hyperparameters and a row of what was drawn for each member, the states after.
Step: TypeAlias = Callable[[Tensors, Tensors, Tensors], Tensors]
# From states, one score a member.
Evaluate: TypeAlias = Callable[[Tensors], torch.Tensor]
# From what runs some kernels, and what brings it back to its beginning: what runs them again.
Record: TypeAlias = Callable[[Callable[[], None], Callable[[], Any]], Callable[[], None]]

# How often PyTorch asks that kernels run on another stream before they are captured.
WARMUPS = 3


def in_cuda_graph(run: Callable[[], None], rewind: Callable[[], Any]) -> Callable[[], None]:
    """Capture what runs in a CUDA graph, and return what replays it."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # of PyTorch
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARMUPS):
            rewind()
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    rewind()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def uncaptured(run: Callable[[], None], _: Callable[[], Any]) -> Callable[[], None]:
    """Return what runs as it is: on a CPU there is nothing to capture."""
    return run


class Replayed:
    """Trains members in buffers of its own, which one recorded step reads and writes.

    The step finds its row of what was drawn by a counter on the device, so that nothing passes
    between host and device from one step to the next.
    """

    def __init__(
        self,
        step: Step,
        evaluate: Evaluate,
        members: tuple[Tensors, Tensors, Tensors],
        *,
        compiled: bool,
        record: Record,
    ) -> None:
        self._states, self._hparams, self._drawn = (tree_map(torch.clone, part) for part in members)
        first = _first_leaf(self._drawn or self._states)
        self._nth = torch.zeros(1, dtype=torch.int64, device=first.device)
        self._advance = record(self._advancing(step, compiled=compiled), self._nth.zero_)
        self._scores: torch.Tensor
        self._score = record(self._scoring(evaluate, compiled=compiled), self._nth.zero_)

    def __call__(
        self, states: Tensors, hparams: Tensors, drawn: Tensors, steps: int
    ) -> tuple[Tensors, torch.Tensor]:
        """Return the states after so many steps, and the scores."""
        tree_map(_write, self._states, states)
        tree_map(_write, self._hparams, hparams)
        tree_map(lambda buffer, new: buffer[:, : new.shape[1]].copy_(new), self._drawn, drawn)
        self._nth.zero_()
        for _ in range(steps):
            self._advance()
        self._score()
        return tree_map(torch.clone, self._states), self._scores.clone()

    def _advancing(self, step: Step, *, compiled: bool) -> Callable[[], None]:
        def one(states: Tensors, hparams: Tensors, drawn: Tensors, nth: torch.Tensor) -> Tensors:
            now = tree_map(lambda each: each.index_select(1, nth).squeeze(1), drawn)
            return step(states, hparams, now)

        buffers = self._states, self._hparams, self._drawn, self._nth
        program = traced(one, *buffers, compiled=compiled)

        def advance() -> None:
            tree_map(_write, self._states, program(*buffers))
            self._nth.add_(1)

        return advance

    def _scoring(self, evaluate: Evaluate, *, compiled: bool) -> Callable[[], None]:
        program = traced(evaluate, self._states, compiled=compiled)
        self._scores = torch.empty_like(program(self._states))

        def score() -> None:
            self._scores.copy_(program(self._states))

        return score


def traced(function: Callable[..., Any], *example: Any, compiled: bool) -> Callable[..., Any]:
    """Return a function as the operations on tensors that it came to, without its Python."""

    # PyTorch counts the arguments of what is wrapped, which a method has one more of.
    def called(*given: Any) -> Any:
        return function(*given)

    program: Callable[..., Any] = make_fx(called)(*example)
    return torch.compile(program) if compiled else program


def _write(buffer: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    return buffer.copy_(new)


def _first_leaf(tree: Tensors) -> torch.Tensor:
    while not isinstance(tree, torch.Tensor):
        tree = next(iter(tree.values()))
    return tree
