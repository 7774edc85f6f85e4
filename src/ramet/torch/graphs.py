"""Steps of all members, traced once and run again: in CUDA graphs on a GPU, compiled if asked."""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import torch
from torch.utils._pytree import tree_leaves, tree_map

from ramet.engine.workers.device import Busy

# Nested dicts of tensors.
Tensors: TypeAlias = Any
# States, hyperparameters and what was drawn, each stacked.
Members: TypeAlias = tuple[Tensors, Tensors, Tensors]
# From states, hyperparameters and a row of what was drawn for each member, the states after.
Step: TypeAlias = Callable[[Tensors, Tensors, Tensors], Tensors]
# From states, one score a member.
Evaluate: TypeAlias = Callable[[Tensors], torch.Tensor]
# From a function that runs kernels, and one that rewinds it: a function that runs them again.
Capture: TypeAlias = Callable[[Callable[[], None], Callable[[], Any]], Callable[[], None]]

# After this many queued steps a GPU has enough to do while other threads have Python's lock.
HEAD_START = 256
# How often PyTorch asks that kernels run on another stream before they are captured.
WARMUPS = 3


def do_nothing() -> None:
    """Do nothing."""


class Trained(Protocol):
    """Trains members of the shapes that it was made for."""

    def __call__(
        self, states: Tensors, hparams: Tensors, drawn: Tensors, steps: int, /
    ) -> tuple[Tensors, torch.Tensor]:
        """Return the states after the steps, and the scores."""
        ...


class Looped:
    """Trains members by a traced step, which Python calls once for each step."""

    def __init__(self, step: Step, evaluate: Evaluate, members: Members, *, compiled: bool) -> None:
        states, hparams, drawn = members
        self._step = trace(step, states, hparams, _row(drawn, 0), compiled=compiled)
        self._evaluate = trace(evaluate, states, compiled=compiled)

    def __call__(
        self, states: Tensors, hparams: Tensors, drawn: Tensors, steps: int, /
    ) -> tuple[Tensors, torch.Tensor]:
        """Return the states after the steps, and the scores."""
        for nth in range(steps):
            states = self._step(states, hparams, _row(drawn, nth))
        return states, self._evaluate(states)


class Replayed:
    """Trains members in buffers of its own, which one captured step reads and writes.

    The step finds its row of ``drawn`` by a counter on the device, so that from one step to the
    next nothing passes between host and device.

    Args:
        step: One step of all members.
        evaluate: The scores of all members.
        members: What the buffers are like; more steps than were drawn here do not fit.
        compiled: Whether to compile what is captured.
        capture: How to capture kernels; a test can run them as they are.
    """

    def __init__(
        self,
        step: Step,
        evaluate: Evaluate,
        members: Members,
        *,
        compiled: bool,
        capture: Capture,
    ) -> None:
        self._states, self._hparams, self._drawn = tree_map(torch.clone, members)
        device = tree_leaves(self._states)[0].device
        self._nth = torch.zeros(1, dtype=torch.int64, device=device)
        self._advance = capture(self._advancing(step, compiled=compiled), self._nth.zero_)
        self._scores: torch.Tensor
        self._score = capture(self._scoring(evaluate, compiled=compiled), self._nth.zero_)

    def __call__(
        self,
        states: Tensors,
        hparams: Tensors,
        drawn: Tensors,
        steps: int,
        /,
        *,
        busy: Busy = do_nothing,
    ) -> tuple[Tensors, torch.Tensor]:
        """Return the states after the steps, and the scores; say when many steps are queued."""
        tree_map(_write, self._states, states)
        tree_map(_write, self._hparams, hparams)
        tree_map(lambda buffer, new: buffer[:, : new.shape[1]].copy_(new), self._drawn, drawn)
        self._nth.zero_()
        for queued in range(1, steps + 1):
            self._advance()
            if queued == HEAD_START:
                busy()
        self._score()
        return tree_map(torch.clone, self._states), self._scores.clone()

    def _advancing(self, step: Step, *, compiled: bool) -> Callable[[], None]:
        def one(states: Tensors, hparams: Tensors, drawn: Tensors, nth: torch.Tensor) -> Tensors:
            return step(
                states, hparams, tree_map(lambda all_: all_.index_select(1, nth).squeeze(1), drawn)
            )

        buffers = self._states, self._hparams, self._drawn, self._nth
        program = trace(one, *buffers, compiled=compiled)

        def advance() -> None:
            tree_map(_write, self._states, program(*buffers))
            self._nth.add_(1)

        return advance

    def _scoring(self, evaluate: Evaluate, *, compiled: bool) -> Callable[[], None]:
        program = trace(evaluate, self._states, compiled=compiled)
        self._scores = torch.empty_like(program(self._states))

        def score() -> None:
            self._scores.copy_(program(self._states))

        return score


def trace(function: Callable[..., Any], *example: Any, compiled: bool) -> Callable[..., Any]:
    """Return a function as the operations on tensors that it runs, without its Python.

    Args:
        function: A function of nested dicts of tensors.
        example: What it is traced with; others must have the same shapes.
        compiled: Whether to compile the operations.
    """
    from torch.fx.experimental.proxy_tensor import make_fx  # noqa: PLC0415 - takes a second

    # PyTorch counts the arguments of what is wrapped, of which a method has one more.
    def call(*given: Any) -> Any:
        return function(*given)

    program: Callable[..., Any] = make_fx(call)(*example)
    return torch.compile(program, dynamic=False) if compiled else program


def capture_in_cuda_graph(
    run: Callable[[], None], rewind: Callable[[], Any], *, device: str | None = None
) -> Callable[[], None]:
    """Capture the kernels that a function runs, and return a function that replays them.

    Args:
        run: Runs the kernels, always on the same tensors.
        rewind: Called before each run, so that it may run again.
        device: Where the tensors are; None is the current GPU.
    """
    with torch.cuda.device(device):
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # of PyTorch
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARMUPS):
                rewind()
                run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        rewind()
        # What other threads do on the GPU meanwhile, such as loading data, does no harm.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            run()
    return graph.replay


def _row(drawn: Tensors, nth: int) -> Tensors:
    return tree_map(lambda all_: all_[:, nth], drawn)


def _write(buffer: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    return buffer.copy_(new)
