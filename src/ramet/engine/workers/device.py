"""The states that a program holds on its device, and what they were kept as."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, Protocol, TypeAlias, TypeVar, cast

from ramet.engine.run.turn import Turn
from ramet.engine.workers.lanes import Lanes
from ramet.errors import StoreError
from ramet.mapping.chunks import Chunks
from ramet.mapping.refusals import too_large
from ramet.population import Checkpoint
from ramet.state.tree import Tree

logger = logging.getLogger("ramet")

S = TypeVar("S")
# For each member, its scores in a turn.
Scores: TypeAlias = Sequence[Sequence[float]]
# Called once a device has enough to do for a while, so that other threads may use Python's lock.
Busy: TypeAlias = Callable[[], object]
# Reads the states that turns go on from, or returns why one cannot be read.
Read: TypeAlias = Callable[[Sequence[Turn]], Sequence[Tree | StoreError]]


class Program(Protocol[S]):
    """How a framework trains several members at once; S is their states, stacked on a device."""

    # Bytes of one state.
    size: int
    # How many members it maps at once.
    chunks: Chunks

    def prepare(self, turns: Sequence[Turn], lanes: Lanes) -> None:
        """Begin with what needs no states, such as compiling, before they are loaded."""
        ...

    def init(self, turns: Sequence[Turn]) -> S:
        """Return the states of members that begin, from each turn's `init_rng`."""
        ...

    def restore(self, trees: Sequence[Tree]) -> S:
        """Return saved states."""
        ...

    def gather(self, stacks: Sequence[S], places: Sequence[int]) -> S:
        """Return the states at places of the stacks, counted through from the first to the last.

        The stacks are consumed: their memory may be used again.
        """
        ...

    def copy(self, states: S, places: Sequence[int]) -> S:
        """Return copies of the states at these places, which stay as they are."""
        ...

    def train(
        self,
        states: S,
        turns: Sequence[Turn],
        stretches: Sequence[int],
        lanes: Lanes,
        busy: Busy,
    ) -> tuple[S, Scores]:
        """Return states after a turn, and each member's scores: one a stretch.

        The states before are consumed: their memory may be used again.

        `busy` is called once the device has enough to do, from any thread and as often as it likes.
        Nothing is recorded any more after that, because another thread may write to the log.

        Each member is trained in its own lane, so that a turn comes out the same to the bit
        whichever turns are trained beside it.
        """
        ...

    def capture(self, states: S) -> Callable[[], Sequence[Tree]]:
        """Return a function that returns what is to be saved of each state.

        Another thread may call it while copies of the states are trained.
        """
        ...

    def is_full(self, error: Exception) -> bool:
        """Say whether it was for lack of memory that the device could not do something."""
        ...


class Device(Generic[S]):
    """The states that a program holds, by what they were kept as."""

    def __init__(self, program: Program[S]) -> None:
        self._program = program
        # Of each stack, the states and what they were kept as, which is nothing for lost turns.
        self._states: S | None = None
        self._kept: list[Checkpoint | None] = []

    def prepare(self, turns: Sequence[Turn], lanes: Lanes) -> None:
        """Let the program begin with what needs no states."""
        self._program.prepare(turns, lanes)

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
    ) -> Sequence[Sequence[float]]:
        """Train what was loaded; return the scores."""
        with self._room(len(turns)):
            loaded = cast(S, self._states)
            self._states, scores = self._program.train(
                loaded, turns, stretches, lanes, lambda: None
            )
        return scores

    def prepare_capture(self) -> Callable[[], Sequence[Tree]]:
        """Return a function that returns what is to be saved, whatever is trained meanwhile."""
        count = len(self._kept)
        with self._room(count):
            finish = self._program.capture(cast(S, self._states))

        def capture() -> Sequence[Tree]:
            with self._room(count):
                return finish()

        return capture

    def train_ahead(
        self,
        places: Sequence[int],
        turns: Sequence[Turn],
        stretches: Sequence[int],
        lanes: Lanes,
        busy: Busy,
    ) -> tuple[S, Scores] | None:
        """Train copies of the states at these places; return these, and the scores.

        None says that there is no room for them. The states stay as they are.

        Args:
            places: For each turn, the place of the state that it goes on from.
            turns: The turns.
            stretches: Steps between their scores.
            lanes: The lane of each.
            busy: Called once the device is at work.
        """
        try:
            states = self._program.copy(cast(S, self._states), places)
            return self._program.train(states, turns, stretches, lanes, busy)
        except Exception as error:
            if not any(map(self._program.is_full, _find_causes(error))):
                raise
            # One round at a time has had room.
            logger.info("a round is not trained while the last one is written: %s", error)
            return None

    def become(self, states: S) -> None:
        """Hold other states instead, which are not kept yet.

        Args:
            states: What ``train_ahead`` returned.
        """
        self._states, self._kept = states, [None] * len(self._kept)

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


def _find_causes(error: BaseException | None) -> Iterator[Exception]:
    while isinstance(error, Exception):
        yield error
        error = error.__cause__


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
