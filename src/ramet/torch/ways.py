"""How the steps of all members are run: as Python calls them, traced, or compiled."""

import contextlib
import functools
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch.utils._pytree import tree_leaves, tree_map

from ramet.engine.workers.device import Busy
from ramet.mapping.chunks import Chunks
from ramet.torch.graphs import (
    Capture,
    Looped,
    Members,
    Replayed,
    Tensors,
    Trained,
    capture_in_cuda_graph,
    do_nothing,
)

logger = logging.getLogger("ramet")

# Whether steps are compiled; "auto" measures whether it pays, once a run has gone on for a while.
Compile: TypeAlias = bool | Literal["auto"]

# Tracing takes about a second, and compiling 5 to 20 s. Until a run has gone on for as long, it
# may be over before they have paid off.
TRACE_AFTER_S, COMPILE_AFTER_S = 2.0, 10.0
# Compiling changes how sums are rounded, so that it must save at least a tenth of the time.
WORTHWHILE = 0.9
# Steps that a way is compared and timed by.
TRIAL_STEPS = 10
# How far weights may be off after these steps on a GPU, relative to the largest.
TOLERANCE = 1e-3
# A step that maps members in more chunks is a long program.
MOST_CHUNKS = 8
# Shapes that are remembered: the number of members that are free may change.
MOST_SHAPES = 4


class Plain(NamedTuple):
    """A program's own functions; each takes the number of members to map at once first."""

    train: Callable[[int, Tensors, Tensors, Tensors, int], tuple[Tensors, torch.Tensor]]
    step: Callable[[int, Tensors, Tensors, Tensors], Tensors]
    evaluate: Callable[[int, Tensors], torch.Tensor]


class Ways:
    """Trains members in the fastest way that comes to the same.

    On a GPU steps are captured in CUDA graphs from the first one on. On a CPU they are traced once
    a run has gone on for a while, if that is faster; it comes out the same to the bit. Whether
    steps are compiled is on record, because sums are then rounded differently.

    Args:
        plain: The program's own functions.
        chunks: Where the run's record of how members are mapped is kept.
        compile: Whether to compile steps.
        device: Where tensors are.
        capture: How kernels are captured; None if they are not.
        now: The clock, in seconds.
    """

    def __init__(
        self,
        plain: Plain,
        chunks: Chunks,
        *,
        compile: Compile,  # noqa: A002 - as torch calls it
        device: str,
        capture: Capture | None = None,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._plain, self._chunks, self._compile, self._now = plain, chunks, compile, now
        if capture is None and "cuda" in str(device):
            capture = functools.partial(capture_in_cuda_graph, device=device)
        self._capture = capture
        self._began_s = now()
        self._turn_begins = True
        self._busy: Busy = do_nothing
        # For how many steps each was made, and None where it could not be.
        self._made: dict[Any, tuple[int, Trained | None]] = {}

    def begin_turn(self, busy: Busy = do_nothing) -> None:
        """Let the next call choose; within a turn, steps are run in one way.

        Args:
            busy: Called once the device has enough to do for a while.
        """
        self._turn_begins, self._busy = True, busy

    def train(self, chunk: int, members: Members, steps: int) -> tuple[Tensors, torch.Tensor]:
        """Return the states after the steps, and the scores."""
        if chunk == 1:
            # One member after the other, each unmapped.
            self._busy()
            return self._plain.train(chunk, *members, steps)
        if self._turn_begins:
            self._turn_begins = False
            self._choose(chunk, members, steps)
        trained = self._find(chunk, members, steps, compiled=bool(self._chunks.compiled))
        if isinstance(trained, Replayed):
            return trained(*members, steps, busy=self._busy)
        # Python launches each operation, so that the device never has more to do than now.
        self._busy()
        return trained(*members, steps)

    def _choose(self, chunk: int, members: Members, steps: int) -> None:
        """Choose whether to compile, if it is not on record, and record it."""
        if self._compile != "auto":
            self._chunks.keep_compiled(asked=self._compile)
        elif self._chunks.compiled is None and self._is_older_than(COMPILE_AFTER_S):
            few = min(steps, TRIAL_STEPS)
            compiled = self._remember(chunk, members, steps, compiled=True)
            pays = compiled is not None and self._seconds(compiled, members, few) < (
                WORTHWHILE
                * self._seconds(self._find(chunk, members, steps, compiled=False), members, few)
            )
            self._chunks.record_compiled(compiled=pays)

    def _find(self, chunk: int, members: Members, steps: int, *, compiled: bool) -> Trained:
        """Return what trains such members, the plain way if there is no other yet."""
        found = None
        if compiled:
            found = self._remember(chunk, members, steps, compiled=True)
        if found is None and (self._capture or self._is_older_than(TRACE_AFTER_S)):
            found = self._remember(chunk, members, steps, compiled=False)
        return found or self._plainly(chunk)

    def _plainly(self, chunk: int) -> Trained:
        def train(
            states: Tensors, hparams: Tensors, drawn: Tensors, steps: int
        ) -> tuple[Tensors, torch.Tensor]:
            return self._plain.train(chunk, states, hparams, drawn, steps)

        return train

    def _is_older_than(self, seconds: float) -> bool:
        return self._now() - self._began_s >= seconds

    def _remember(
        self, chunk: int, members: Members, steps: int, *, compiled: bool
    ) -> Trained | None:
        """Return what was made for such members, or make it; None if that failed before."""
        states, hparams, drawn = members
        # Fewer steps than it was made for fit as well.
        shapes = [leaf.shape for leaf in tree_leaves((states, hparams))]
        key = chunk, compiled, tuple(shapes + [leaf[:, 0].shape for leaf in tree_leaves(drawn)])
        longest, made = self._made.get(key, (0, None))
        if steps > longest:
            made = self._make(chunk, members, steps, compiled=compiled)
            while len(self._made) >= MOST_SHAPES:
                del self._made[next(iter(self._made))]
            self._made[key] = steps, made
        return made

    def _make(self, chunk: int, members: Members, steps: int, *, compiled: bool) -> Trained | None:
        """Return what trains such members as the plain way does, or say why there is nothing."""
        few, plain = min(steps, TRIAL_STEPS), self._plainly(chunk)
        # What is wrong with the user's functions is raised here.
        expected = plain(*members, few)
        try:
            with _without_warnings_of_torch():
                made = self._trace(chunk, members, compiled=compiled)
                got = made(*members, few)
            exact = not compiled and self._capture is None
            difference = _differing(expected, got, exact=exact)
        except Exception as error:  # noqa: BLE001 - whatever it is, the plain way is left
            made, difference = None, f"{type(error).__name__}: {str(error).splitlines()[:1]}"
        if difference is not None:
            self._say_plain(difference, compiled=compiled)
            return None
        if made is not None and not (self._capture or compiled):
            faster = self._seconds(made, members, few) < self._seconds(plain, members, few)
            return made if faster else None
        return made

    def _trace(self, chunk: int, members: Members, *, compiled: bool) -> Trained:
        count = len(tree_leaves(members[0])[0])
        if -(-count // chunk) > MOST_CHUNKS:
            raise ValueError(f"{count} members in chunks of {chunk} are a long program")

        def step(states: Tensors, hparams: Tensors, drawn: Tensors) -> Tensors:
            return self._plain.step(chunk, states, hparams, drawn)

        def evaluate(states: Tensors) -> torch.Tensor:
            return self._plain.evaluate(chunk, states)

        if self._capture is None:
            return Looped(step, evaluate, members, compiled=compiled)
        return Replayed(step, evaluate, members, compiled=compiled, capture=self._capture)

    def _seconds(self, trained: Trained, members: Members, steps: int) -> float:
        """Return the seconds that steps take, the quicker of two times."""
        taken_s = []
        for _ in range(2):
            began_s = self._now()
            trained(*members, steps)[1].sum().item()
            taken_s.append(self._now() - began_s)
        return min(taken_s)

    def _say_plain(self, difference: str, *, compiled: bool) -> None:
        fields = {"reason": difference, "how": "compiled" if compiled else "traced"}
        # Where kernels are launched one by one, a GPU waits for most of the time.
        level = logging.WARNING if compiled or self._capture else logging.INFO
        said = "steps are not %(how)s: %(reason)s"
        if compiled and self._chunks.compiled:
            said += "; they were before, so that sums may be rounded differently"
        logger.log(level, said, fields, extra=fields)


@contextlib.contextmanager
def _without_warnings_of_torch() -> Iterator[None]:
    """Ignore what PyTorch says about its own code while it traces and compiles."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"torch(\.|$)")
        yield


def _differing(
    expected: tuple[Tensors, torch.Tensor], got: tuple[Tensors, torch.Tensor], *, exact: bool
) -> str | None:
    """Return in what states and scores differ, or None."""
    try:
        same = tree_map(lambda old, new: _is_same(old, new, exact=exact), expected, got)
    except ValueError as error:
        return f"states are made of other parts: {str(error).splitlines()[0]}"
    if all(tree_leaves(same)):
        return None
    return (
        "they come to other numbers, so that a step must depend on more than its state, "
        "hyperparameters and what was drawn"
    )


def _is_same(old: torch.Tensor, new: torch.Tensor, *, exact: bool) -> bool:
    if old.shape != new.shape or old.dtype != new.dtype:
        return False
    if exact or not old.is_floating_point():
        return torch.equal(old.nan_to_num(), new.nan_to_num()) and torch.equal(
            old.isnan(), new.isnan()
        )
    largest = old.abs().nan_to_num(posinf=0).max().item() if old.numel() else 0.0
    return torch.allclose(old, new, rtol=TOLERANCE, atol=TOLERANCE * largest, equal_nan=True)
