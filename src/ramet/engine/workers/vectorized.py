"""Training all members that are free as one program, which keeps their states on its device.

While a round is written, the next one is trained already: what the strategy decides needs only
scores. At most one round is being written at a time.
"""

import contextlib
import functools
import itertools
import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from operator import attrgetter
from typing import Any, NamedTuple, Protocol, TypeAlias, cast, runtime_checkable

from ramet.engine.run.collecting import Collector
from ramet.engine.run.run import Run
from ramet.engine.run.turn import Turn
from ramet.engine.workers.device import Busy, Device, Program
from ramet.engine.workers.lanes import Lanes, lanes, members_of_round
from ramet.engine.workers.session import Watch, recover
from ramet.events import Conditions, Mapped
from ramet.faults import reach
from ramet.mapping.chunks import Chunk
from ramet.mapping.once import Once
from ramet.population import Checkpoint, Population
from ramet.space import Space
from ramet.state.tree import Tree

logger = logging.getLogger("ramet")

# The next round is trained while one is written if training takes at least this part of the time
# that writing takes. What is foreseen takes time as well.
LEAST_TRAINING = 0.25
# For so long at most, what writes leaves Python's lock to what feeds the device.
HEAD_START_S = 2e-3
# How long a thread keeps Python's lock at most while another waits for it. Python's own 5 ms would
# be as long as dozens of steps of a device.
SWITCH_S = 2e-4


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
    writer = ThreadPoolExecutor(1, thread_name_prefix="ramet-write")
    rounds = _Rounds(run, Device(program), watch, writer)
    try:
        with rounds.collector, writer, _give_lock_sooner():
            program.chunks.keep_to(run.name, run.mapped, rounds.record)
            rounds.train_all()
    except BaseException as error:
        rounds.give_up(error)
        raise


@contextlib.contextmanager
def _give_lock_sooner() -> Iterator[None]:
    """Have threads give each other Python's lock sooner: one feeds a device, another writes."""
    before_s = sys.getswitchinterval()
    if before_s <= SWITCH_S:
        yield
        return
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)


class _Trained(NamedTuple):
    """Turns that were trained at once, and are not on record yet."""

    turns: Sequence[Turn]
    # The scores of each, by step.
    points: Sequence[Sequence[tuple[int, float]]]
    # Returns the states that they ended with.
    capture: Callable[[], Sequence[Tree]]


class _Next(NamedTuple):
    """Foreseen turns of equally many steps. The states that they go on from are on the device."""

    turns: Sequence[Turn]
    # For each turn, the place of the state that it goes on from.
    places: Sequence[int]
    # The population then.
    population: Population


# States after turns, and the scores of each by step.
_Found: TypeAlias = tuple[Any, Sequence[Sequence[tuple[int, float]]]]


class _Written(NamedTuple):
    """What has become of turns that were told, and the turns that were free afterwards."""

    kept: Sequence[Checkpoint | None]
    turns: Sequence[Turn]
    # Whether these are the turns that are trained ahead, which then are held in their place.
    as_foreseen: bool


class _Rounds:
    """Trains one round after the other."""

    def __init__(self, run: Run, device: Device[Any], watch: Watch, writer: Executor) -> None:
        self._run, self._device, self._watch, self._writer = run, device, watch, writer
        # Of the last round.
        self._train_s, self._write_s = 0.0, math.inf
        # Whether the device has had room for the states of two rounds so far.
        self._has_room = True
        # The writing that may be under way.
        self._writing: Future[_Written] | None = None
        # What is left of turns that are over. Python takes milliseconds to free a thousand, for
        # which the device need not wait.
        self._to_free: list[object] = []
        self.collector = Collector()

    def record(self, mapped: Mapped) -> Sequence[Mapped]:
        """Record how many members are trained at once; return what is on record."""
        if self._writing is not None:
            wait([self._writing])  # The log has one writer at a time.
        self._run.keep_to(Conditions(mapped=mapped))
        return self._run.mapped

    def give_up(self, error: BaseException) -> None:
        """Give all turns back once no round is being written any more.

        Args:
            error: What ends the training.
        """
        if self._writing is None:
            self._run.release_all()
            return

        def give_back(written: Future[_Written]) -> None:
            self._run.release_all()
            if (failed := written.exception()) not in {None, error}:
                logger.warning("the last round that was trained is not on record: %s", failed)

        # It is still under way if a second interrupt has ended the wait for it.
        self._writing.add_done_callback(give_back)

    def train_all(self) -> None:
        """Train until the run is over."""
        turns: Sequence[Turn] = self._run.ask_all()
        while turns:
            groups = list(_alike(turns))
            if len(groups) == 1:
                turns = self._train_rounds(groups[0])
            else:
                for group in groups:
                    self._train_alone(group)
                turns = ()
            # ``ask_all`` may wait for other workers, while other threads make garbage.
            self.collector.resume()
            turns = turns or self._run.ask_all()

    def _train_alone(self, group: Sequence[Turn]) -> None:
        """Train turns that are not all of those that are out, and write them."""
        trained = self._train(group, None)
        if trained is not None:
            self._device.hold(self._write(trained))
            self._watch(self._run)

    def _train_rounds(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        """Train turns and, while they are written, those foreseen; return what is claimed now."""
        trained = self._train(turns, self._run.population)
        while trained is not None:
            foreseen = self._foresee(trained)
            if foreseen is None:
                self._device.hold(self._write(trained))
                self._watch(self._run)
                return ()
            found, written = self._train_and_write(foreseen, trained)
            self.collector.pause()
            self._watch(self._run)
            if found is None or not written.as_foreseen:
                self._device.hold(written.kept)
                return written.turns
            states, points = found
            self._device.become(states)
            self._to_free += [trained.turns, trained.points, foreseen, written]
            trained = _Trained(foreseen.turns, points, self._device.prepare_capture())
            del foreseen, found, states, points, written
        return ()

    def _train_and_write(
        self, following: _Next, trained: _Trained
    ) -> tuple[_Found | None, _Written]:
        """Train foreseen turns and, once the device is busy with them, write those before."""
        is_over = threading.Event()
        write = functools.partial(self._write_and_claim, trained, following.turns, is_over)
        begin = Once(self.collector.resume, functools.partial(self._begin_to_write, write))
        try:
            found = self._train_ahead(following, busy=begin)
        finally:
            is_over.set()
            # In any case, also if the training ends with an error before.
            begin()
        written = cast("Future[_Written]", self._writing).result()
        if found is None and written.as_foreseen:
            turns = self._run.foresight.take_back(following.turns)
            written = _Written(written.kept, turns, as_foreseen=False)
        return found, written

    def _lanes(self, turns: Sequence[Turn], population: Population | None) -> Lanes:
        """Return the lanes of turns: what is left of a round that was cut off keeps its own.

        Args:
            turns: The turns.
            population: The population then; None if they are not all of their round.
        """
        members: Iterable[int] = ()
        if population is not None and self._run.opening.synchronous:
            members = members_of_round(population)
        return lanes(turns, members, len(self._run.opening.births))

    def _train(self, group: Sequence[Turn], population: Population | None) -> _Trained | None:
        # The user's code may make reference cycles, which only the collector frees.
        self.collector.resume()
        own = self._lanes(group, population)
        self._device.prepare(group, own)
        turns, lost = self._device.load(group, self._run.read_all)
        for turn, error in lost:
            recover(self._run, turn, error)
        if not turns:
            return None
        reach("loaded")
        began = time.perf_counter()
        stretches = _begin(turns)
        own = self._lanes(turns, population) if lost else own
        scores = self._device.train(turns, stretches, own)
        self.collector.pause()
        self._train_s = time.perf_counter() - began
        return _Trained(
            turns, _make_points(turns, stretches, scores), self._device.prepare_capture()
        )

    def _write(self, trained: _Trained) -> list[Checkpoint | None]:
        began = time.perf_counter()
        kept = self._run.tell_all(trained.turns, trained.points, states=trained.capture())
        self._write_s = time.perf_counter() - began
        return kept

    def _begin_to_write(self, write: Callable[[], _Written]) -> None:
        self._writing = self._writer.submit(write)

    def _write_and_claim(
        self, trained: _Trained, ahead: Sequence[Turn], is_over: threading.Event
    ) -> _Written:
        """Write turns and claim the next; if these are trained already, prepare for their end."""
        is_over.wait(HEAD_START_S)
        self._to_free.clear()
        kept = self._write(trained)
        written = {
            (turn.member, turn.number): one
            for turn, one in zip(trained.turns, kept, strict=True)
            if one is not None
        }
        turns, as_foreseen = self._run.foresight.claim(ahead, written)
        if as_foreseen:
            self._run.foresight.prepare(turns)
        return _Written(kept, turns, as_foreseen)

    def _foresee(self, trained: _Trained) -> _Next | None:
        """Return the next turns, if it is worth while and their states are all on the device."""
        if not self._has_room or self._train_s < LEAST_TRAINING * self._write_s:
            return None
        self.collector.freeze()
        foreseen = self._run.foresight.foresee(trained.turns, trained.points)
        groups = list(_alike(foreseen.turns))
        if len(groups) != 1:
            return None
        here = {(turn.member, turn.number): place for place, turn in enumerate(trained.turns)}
        places = [here.get(_origin(turn)) for turn in groups[0]]
        if None in places:
            return None
        return _Next(groups[0], cast(list[int], places), foreseen.population)

    def _train_ahead(self, following: _Next, *, busy: Busy) -> _Found | None:
        """Train foreseen turns; return their states and scores, or None if there is no room."""
        turns, places, population = following
        own = self._lanes(turns, population)
        began, stretches = time.perf_counter(), _begin(turns)
        found = self._device.train_ahead(places, turns, stretches, own, busy)
        if found is None:
            self._has_room = False
            return None
        self._train_s = time.perf_counter() - began
        states, scores = found
        return states, _make_points(turns, stretches, scores)


def _alike(turns: Iterable[Turn]) -> Iterator[list[Turn]]:
    """Yield groups of turns of equally many steps: one group, unless a budget ends."""
    groups: dict[int, list[Turn]] = {}
    for turn in turns:
        groups.setdefault(turn.steps, []).append(turn)
    for _, group in sorted(groups.items()):
        yield sorted(group, key=attrgetter("member"))


def _begin(turns: Sequence[Turn]) -> list[int]:
    """Begin turns of equally many steps; return the steps between their scores, which all have."""
    for turn in turns:
        turn.begin()
    return turns[0].divide()


def _make_points(
    turns: Sequence[Turn], stretches: Sequence[int], scores: Sequence[Sequence[float]]
) -> list[list[tuple[int, float]]]:
    if len(stretches) == 1:
        [steps] = stretches
        return [[(turn.start + steps, row[0])] for turn, row in zip(turns, scores, strict=True)]
    done = list(itertools.accumulate(stretches))
    return [
        [(turn.start + steps, score) for steps, score in zip(done, row, strict=True)]
        for turn, row in zip(turns, scores, strict=True)
    ]


def _origin(turn: Turn) -> tuple[int, int]:
    """Return the member and the turn that left the state which a turn goes on from."""
    kept = turn.checkpoint
    return (-1, -1) if kept is None else (kept.member, kept.turn)
