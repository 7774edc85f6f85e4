"""Training all members that are free as one program, which keeps their states on its device."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

from ramet.engine.run.run import Run
from ramet.engine.run.turn import Turn
from ramet.engine.workers.lanes import Lanes, lanes, members_of_round
from ramet.engine.workers.session import Watch, recover
from ramet.errors import StoreError
from ramet.events import Conditions, Mapped
from ramet.faults import reach
from ramet.mapping import Chunk, Chunks, too_large
from ramet.population import Checkpoint
from ramet.space import Space
from ramet.state.tree import Tree

S = TypeVar("S")
# Reads the states that turns go on from, or returns why one cannot be read.
Read: TypeAlias = Callable[[Sequence[Turn]], Sequence[Tree | StoreError]]


class Program(Protocol[S]):
    """How a framework trains several members at once; S is their states, stacked on a device."""

    # Bytes of one state.
    size: int
    # How many members it maps at once.
    chunks: Chunks

    def init(self, turns: Sequence[Turn]) -> S:
        """Return the states of members that begin, from each turn's `init_rng`."""
        ...

    def restore(self, trees: Sequence[Tree]) -> S:
        """Return saved states."""
        ...

    def gather(self, stacks: Sequence[S], places: Sequence[int]) -> S:
        """Return the states at places of the stacks, counted through from the first to the last."""
        ...

    def train(
        self, states: S, turns: Sequence[Turn], stretches: Sequence[int], lanes: Lanes
    ) -> tuple[S, Sequence[Sequence[float]]]:
        """Return states after a turn, and each member's scores: one a stretch.

        Each member is trained in its own lane, so that a turn comes out the same to the bit
        whichever turns are trained beside it.
        """
        ...

    def capture(self, states: S) -> Sequence[Tree]:
        """Return what is to be saved of each state."""
        ...

    def is_full(self, error: Exception) -> bool:
        """Say whether it was for lack of memory that the device could not do something."""
        ...


@runtime_checkable
class Vectorizable(Protocol):
    """A task that a framework can train many members of at once."""

    def program(self, space: Space, *, chunk: Chunk, shard: bool) -> Program[Any]:
        """Return what trains them, with values of a space.

        Args:
            space: The space.
            chunk: How many members are mapped at once; "auto" measures what is fastest.
            shard: Whether the members are spread over all devices.
        """
        ...


def work_together(
    run: Run, task: Vectorizable, watch: Watch, *, chunk: Chunk = "auto", shard: bool = False
) -> None:
    """Train all members that are free, turn after turn, until the run is over."""
    program = task.program(run.population.space, chunk=chunk, shard=shard)

    def record(mapped: Mapped) -> Sequence[Mapped]:
        run.keep_to(Conditions(mapped=mapped))
        return run.mapped

    program.chunks.keep_to(run.name, run.mapped, record)
    device: _Device[Any] = _Device(program)
    try:
        while turns := run.ask_all():
            groups = list(_alike(turns))
            # Of a round that was cut off, the turns that are left keep to their lanes.
            whole = run.opening.synchronous and len(groups) == 1
            members = members_of_round(run.population) if whole else []
            for group in groups:
                _train(run, device, group, members, watch)
    except BaseException:
        run.release_all()
        raise


def _alike(turns: Sequence[Turn]) -> Iterator[list[Turn]]:
    """Yield groups of turns of equally many steps: one group, unless a budget ends."""
    by_steps = sorted(turns, key=lambda turn: (turn.steps, turn.member))
    for _, group in itertools.groupby(by_steps, key=lambda turn: turn.steps):
        yield list(group)


def _train(
    run: Run,
    device: "_Device[Any]",
    group: Sequence[Turn],
    members: Sequence[int],
    watch: Watch,
) -> None:
    turns, lost = device.load(group, run.read_all)
    for turn, error in lost:
        recover(run, turn, error)
    if not turns:
        return
    reach("loaded")
    # Of equally many steps, they all have the same ones.
    stretches, *_ = [list(turn.stretches()) for turn in turns]
    scores, trees = device.train(turns, stretches, lanes(turns, members))
    done = list(itertools.accumulate(stretches))
    points = [
        [(turn.start + steps, score) for steps, score in zip(done, row, strict=True)]
        for turn, row in zip(turns, scores, strict=True)
    ]
    device.hold(run.tell_all(turns, points, states=trees))
    watch(run)


class _Device(Generic[S]):
    """The states that a program holds, by what they were kept as."""

    def __init__(self, program: Program[S]) -> None:
        self._program = program
        # Of each stack, the states and what they were kept as, which is nothing for lost turns.
        self._states: S | None = None
        self._kept: list[Checkpoint | None] = []

    def load(
        self, turns: Sequence[Turn], read: Read
    ) -> tuple[list[Turn], list[tuple[Turn, StoreError]]]:
        """Put the states of turns in their order; return those there, and those that cannot be."""
        held = {kept: place for place, kept in enumerate(self._kept) if kept is not None}
        places = {turn: _find(turn, held) for turn in turns}
        fresh = [turn for turn in turns if turn.fresh]
        unheld = [turn for turn, place in places.items() if place is None and not turn.fresh]
        saved, lost = _read(read, unheld) if unheld else ([], [])
        stacks = [] if self._states is None else [self._states]
        with self._room(len(turns)):
            if fresh:
                stacks.append(self._program.init(fresh))
            if saved:
                stacks.append(self._program.restore([tree for _, tree in saved]))
        others = (*fresh, *(turn for turn, _ in saved))
        places |= {turn: place for place, turn in enumerate(others, len(self._kept))}
        wanted = {turn: place for turn, place in places.items() if place is not None}
        if wanted:
            with self._room(len(wanted)):
                self._states = self._program.gather(stacks, list(wanted.values()))
            self._kept = [None] * len(wanted)
        return list(wanted), lost

    def train(
        self, turns: Sequence[Turn], stretches: Sequence[int], lanes: Lanes
    ) -> tuple[Sequence[Sequence[float]], Sequence[Tree]]:
        """Train what was loaded; return the scores, and what is to be saved."""
        with self._room(len(turns)):
            loaded = cast(S, self._states)
            states, scores = self._program.train(loaded, turns, stretches, lanes)
            self._states = states
            return scores, self._program.capture(states)

    def hold(self, kept: Sequence[Checkpoint | None]) -> None:
        """Remember what the states were kept as, each at its place."""
        self._kept = list(kept)

    @contextlib.contextmanager
    def _room(self, count: int) -> Iterator[None]:
        """Say that the states of so many members are too much, if that is what goes wrong."""
        try:
            yield
        except Exception as error:
            if not self._program.is_full(error):
                raise
            raise too_large(count, self._program.size) from error


def _find(turn: Turn, held: Mapping[Checkpoint, int]) -> int | None:
    return None if turn.checkpoint is None else held.get(turn.checkpoint)


def _read(
    read: Read, turns: Sequence[Turn]
) -> tuple[list[tuple[Turn, Tree]], list[tuple[Turn, StoreError]]]:
    """Read saved states; return them, and what could not be read."""
    saved: list[tuple[Turn, Tree]] = []
    lost: list[tuple[Turn, StoreError]] = []
    for turn, found in zip(turns, read(turns), strict=True):
        if isinstance(found, StoreError):
            lost.append((turn, found))
        else:
            saved.append((turn, found))
    return saved, lost
