"""Training all members that are free as one program, which keeps their states on its device."""

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar, cast, runtime_checkable

from ramet.domains import Value
from ramet.engine.checkpoints import UNREADABLE
from ramet.engine.run import Run
from ramet.engine.turn import Turn
from ramet.engine.worker import Watch, recover
from ramet.errors import LeaseLost, StoreError, UsageError
from ramet.faults import reach
from ramet.population import Checkpoint
from ramet.state.tree import Tree

logger = logging.getLogger("ramet")

# Each candidate for how many members to map at once is so many times smaller than the last.
FEWER = 4
# So many times as many members as were measured with are measured anew.
MORE = 1.5
# Steps that candidates are timed by.
MEASURED = 10
# How often a candidate is timed, beside a first time that may compile; the quickest counts.
TIMES = 2
# A candidate so many times slower than the best is the last one; less may be chance.
SLOWER = 2.0

S = TypeVar("S")


class Program(Protocol[S]):
    """How a framework trains several members at once; S is their states, stacked on a device."""

    def begun(self, turns: Sequence[Turn]) -> S:
        """Return the states of members that begin, from each turn's `init_rng`."""
        ...

    def restored(self, trees: Sequence[Tree]) -> S:
        """Return saved states."""
        ...

    def taken(self, stacks: Sequence[S], places: Sequence[int]) -> S:
        """Return the states at places of the stacks, counted through from the first to the last."""
        ...

    def trained(
        self, states: S, turns: Sequence[Turn], stretches: Sequence[int]
    ) -> tuple[S, Sequence[Sequence[float]]]:
        """Return states after a turn, and each member's scores: one a stretch."""
        ...

    def captured(self, states: S) -> Sequence[Tree]:
        """Return what is to be saved of each state."""
        ...


@runtime_checkable
class Vectorizable(Protocol):
    """A task that a framework can train many members of at once."""

    def program(self) -> Program[Any]:
        """Return what trains them."""
        ...


def fastest(most: int, seconds: Callable[[int], float | None]) -> int | None:
    """Return how many members to map at once: of all, a fourth, and so on down to one by one.

    ``seconds`` says how long all take, or None if so many do not fit; None if not even one does.
    """
    taken_s: dict[int, float] = {}
    chunk = most
    while chunk:
        took = seconds(chunk)
        if took is not None:
            if taken_s and took > SLOWER * min(taken_s.values()):
                break  # With fewer still it would take longer still.
            taken_s[chunk] = took
        chunk = chunk // FEWER or int(chunk > 1)
    if not taken_s:
        return None
    best = min(taken_s, key=lambda chunk: taken_s[chunk])
    fields = {"chunk": best, "seconds": taken_s}
    logger.info("%(chunk)d members are mapped at once", fields, extra=fields)
    return best


class Chunks:
    """How many members are mapped at once, where that is to be measured, and measured anew."""

    def __init__(self, chunk: int | Literal["auto"]) -> None:
        self._forced = None if chunk == "auto" else chunk
        # What was fastest, of how many members.
        self._measured: tuple[int, int] | None = None

    def of(self, count: int, seconds: Callable[[int], float | None]) -> int | None:
        """Return how many of so many members to map at once; None if not even one fits.

        Chunks are as even as can be, so that little is trained to fill the last one up.
        """
        chunk = self._forced
        if chunk is None:
            if self._measured is None or count > MORE * self._measured[1]:
                found = fastest(count, seconds)
                if found is None:
                    return None
                self._measured = found, count
            chunk, of = self._measured
            # All at once of fewer is all at once of a few more.
            chunk = count if chunk == of else chunk
        return -(-count // -(-count // chunk))


def quickest(call: Callable[[], object]) -> float:
    """Return the seconds that a call takes once whatever it needs is compiled."""
    taken_s = []
    for _ in range(1 + TIMES):
        began = time.perf_counter()
        call()
        taken_s.append(time.perf_counter() - began)
    return min(taken_s[1:])


def numbers(hparams: Mapping[str, Value]) -> dict[str, bool | int | float]:
    """Return values that can be mapped over members, or say which cannot."""
    for name, value in hparams.items():
        if not isinstance(value, bool | int | float):
            raise UsageError(
                f"hyperparameters of a vectorised task must be numbers, but {name!r} is {value!r}; "
                f"let it be the number of a choice, as in Choice([0, 1, 2])"
            )
    return dict(hparams)  # type: ignore[arg-type]  # as just checked


def work_together(run: Run, task: Vectorizable, watch: Watch) -> None:
    """Train all members that are free, turn after turn, until the run is over."""
    device: _Device[Any] = _Device(task.program())
    try:
        while turns := list(iter(run.ask, None)):
            for group in _alike(turns):
                _train(run, device, group, watch)
    except BaseException:
        run.release_all()
        raise


def _alike(turns: Sequence[Turn]) -> Iterator[list[Turn]]:
    """Yield groups of turns of equally many steps: one group, unless a budget ends."""
    by_steps = sorted(turns, key=lambda turn: (turn.steps, turn.member))
    for _, group in itertools.groupby(by_steps, key=lambda turn: turn.steps):
        yield list(group)


def _train(run: Run, device: "_Device[Any]", group: Sequence[Turn], watch: Watch) -> None:
    turns, lost = device.load(group)
    for turn, error in lost:
        recover(run, turn, error)
    if not turns:
        return
    reach("loaded")
    # Of equally many steps, they all have the same ones.
    stretches, *_ = [list(turn.stretches()) for turn in turns]
    scores, trees = device.train(turns, stretches)
    kept = []
    for turn, row, tree in zip(turns, scores, trees, strict=True):
        steps = itertools.accumulate(stretches[1:], initial=turn.start + stretches[0])
        kept.append(_told(run, turn, list(zip(steps, row, strict=True)), tree))
    device.hold(kept)
    watch(run)


def _told(
    run: Run, turn: Turn, scores: Sequence[tuple[int, float]], tree: Tree
) -> Checkpoint | None:
    """End a turn; return what its state was kept as, which is nothing if the turn was lost."""
    try:
        return run.tell(turn, scores, state=tree)
    except LeaseLost as lost:
        logger.warning("%s", lost, extra={"member": turn.member, "turn": turn.number})
        return None


class _Device(Generic[S]):
    """The states that a program holds, by what they were kept as."""

    def __init__(self, program: Program[S]) -> None:
        self._program = program
        # Of each stack, the states and what they were kept as, which is nothing for lost turns.
        self._states: S | None = None
        self._kept: list[Checkpoint | None] = []

    def load(self, turns: Sequence[Turn]) -> tuple[list[Turn], list[tuple[Turn, StoreError]]]:
        """Put the states of turns in their order; return those there, and those that cannot be."""
        places = {kept: place for place, kept in enumerate(self._kept) if kept is not None}
        fresh = [turn for turn in turns if turn.fresh]
        saved, lost = _read([t for t in turns if not t.fresh and t.checkpoint not in places])
        stacks = [] if self._states is None else [self._states]
        if fresh:
            stacks.append(self._program.begun(fresh))
        if saved:
            stacks.append(self._program.restored([tree for _, tree in saved]))
        others = {
            turn: place
            for place, turn in enumerate((*fresh, *(turn for turn, _ in saved)), len(self._kept))
        }
        unread = {turn for turn, _ in lost}
        there = [turn for turn in turns if turn not in unread]
        if there:
            held = {turn: places[kept] for turn in there if (kept := turn.checkpoint) in places}
            wanted = [(held | others)[turn] for turn in there]
            self._states, self._kept = self._program.taken(stacks, wanted), [None] * len(wanted)
        return there, lost

    def train(
        self, turns: Sequence[Turn], stretches: Sequence[int]
    ) -> tuple[Sequence[Sequence[float]], Sequence[Tree]]:
        """Train what was loaded; return the scores, and what is to be saved."""
        states, scores = self._program.trained(cast(S, self._states), turns, stretches)
        self._states = states
        return scores, self._program.captured(states)

    def hold(self, kept: Sequence[Checkpoint | None]) -> None:
        """Remember what the states were kept as, each at its place."""
        self._kept = list(kept)


def _read(
    turns: Sequence[Turn],
) -> tuple[list[tuple[Turn, Tree]], list[tuple[Turn, StoreError]]]:
    """Read saved states; return them, and what could not be read."""
    saved: list[tuple[Turn, Tree]] = []
    lost: list[tuple[Turn, StoreError]] = []
    for turn in turns:
        try:
            saved.append((turn, turn.saved()))
        except UNREADABLE as error:
            lost.append((turn, error))
    return saved, lost
