"""Training all members that are free as one program, which keeps their states on its device.

While a round is written, the next one is trained already: what the strategy decides needs only
scores. At most one round is being written at a time.
"""

import itertools
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple, Protocol, runtime_checkable

from ramet.engine.run.foresight import Foreseen
from ramet.engine.run.run import Run
from ramet.engine.run.turn import Turn
from ramet.engine.workers.device import Device, Program
from ramet.engine.workers.lanes import Lanes, lanes, members_of_round
from ramet.engine.workers.session import Watch, recover
from ramet.events import Conditions, Mapped
from ramet.faults import reach
from ramet.mapping.chunks import Chunk
from ramet.population import Checkpoint, Population
from ramet.space import Space
from ramet.state.tree import Tree

logger = logging.getLogger("ramet")

# The next round is trained while one is written if training takes at least this part of the time
# that writing takes. What is foreseen takes time as well.
LEAST_TRAINING = 0.25


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
        with writer:
            program.chunks.keep_to(run.name, run.mapped, rounds.record)
            rounds.train_all()
    except BaseException as error:
        rounds.give_up(error)
        raise


class _Trained(NamedTuple):
    """Turns that were trained at once, and are not on record yet."""

    turns: Sequence[Turn]
    # The scores of each, by step.
    points: Sequence[Sequence[tuple[int, float]]]
    # Returns the states that they ended with.
    capture: Callable[[], Sequence[Tree]]


class _Ahead(NamedTuple):
    """Turns that were trained before they were claimed."""

    turns: Sequence[Turn]
    points: Sequence[Sequence[tuple[int, float]]]
    # The states that they ended with, on the device.
    states: Any


class _Written(NamedTuple):
    """What has become of turns that were told, and the turns that were free afterwards."""

    kept: Sequence[Checkpoint | None]
    turns: Sequence[Turn]


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
            turns = turns or self._run.ask_all()

    def _train_alone(self, group: Sequence[Turn]) -> None:
        """Train turns that are not all of those that are out, and write them."""
        trained = self._train(group, [])
        if trained is not None:
            self._device.hold(self._write(trained))
            self._watch(self._run)

    def _train_rounds(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        """Train turns and, while they are written, those foreseen; return what is claimed now."""
        trained = self._train(turns, self._members(self._run.population))
        while trained is not None:
            foreseen = self._foresee(trained)
            if foreseen is None:
                self._device.hold(self._write(trained))
                self._watch(self._run)
                return ()
            writing = self._writing = self._writer.submit(self._write_and_claim, trained)
            ahead = self._train_ahead(trained, foreseen)
            written = writing.result()
            self._watch(self._run)
            if ahead is None or not self._confirm(trained, foreseen, written):
                self._device.hold(written.kept)
                return written.turns
            self._device.become(ahead.states)
            trained = _Trained(ahead.turns, ahead.points, self._device.prepare_capture())
        return ()

    def _members(self, population: Population) -> list[int]:
        """Return the members of the round: what is left of one that was cut off keeps its lanes."""
        return members_of_round(population) if self._run.opening.synchronous else []

    def _lanes(self, turns: Sequence[Turn], members: Sequence[int]) -> Lanes:
        return lanes(turns, members, len(self._run.opening.births))

    def _train(self, group: Sequence[Turn], members: Sequence[int]) -> _Trained | None:
        own = self._lanes(group, members)
        self._device.prepare(group, own)
        turns, lost = self._device.load(group, self._run.read_all)
        for turn, error in lost:
            recover(self._run, turn, error)
        if not turns:
            return None
        reach("loaded")
        began = time.perf_counter()
        stretches = _begin(turns)
        own = self._lanes(turns, members) if lost else own
        scores = self._device.train(turns, stretches, own)
        self._train_s = time.perf_counter() - began
        return _Trained(
            turns, _make_points(turns, stretches, scores), self._device.prepare_capture()
        )

    def _write(self, trained: _Trained) -> list[Checkpoint | None]:
        began = time.perf_counter()
        kept = self._run.tell_all(trained.turns, trained.points, states=trained.capture())
        self._write_s = time.perf_counter() - began
        return kept

    def _write_and_claim(self, trained: _Trained) -> _Written:
        return _Written(self._write(trained), self._run.foresight.claim())

    def _foresee(self, trained: _Trained) -> Foreseen | None:
        """Return the next turns, if it is worth while and their states are all on the device."""
        if not self._has_room or self._train_s < LEAST_TRAINING * self._write_s:
            return None
        foreseen = self._run.foresight.foresee(trained.turns, trained.points)
        here = _places(trained.turns)
        whole = len(list(_alike(foreseen.turns))) == 1
        return foreseen if whole and all(_origin(turn) in here for turn in foreseen.turns) else None

    def _train_ahead(self, trained: _Trained, foreseen: Foreseen) -> _Ahead | None:
        """Train foreseen turns while the last ones are written; None if there is no room."""
        here, [turns] = _places(trained.turns), _alike(foreseen.turns)
        own = self._lanes(turns, self._members(foreseen.population))
        began = time.perf_counter()
        stretches, places = _begin(turns), [here[_origin(turn)] for turn in turns]
        found = self._device.train_ahead(places, turns, stretches, own)
        if found is None:
            self._has_room = False
            return None
        self._train_s = time.perf_counter() - began
        states, scores = found
        return _Ahead(turns, _make_points(turns, stretches, scores), states)

    def _confirm(self, trained: _Trained, foreseen: Foreseen, written: _Written) -> bool:
        kept = {
            (turn.member, turn.number): one
            for turn, one in zip(trained.turns, written.kept, strict=True)
            if one is not None
        }
        return self._run.foresight.confirm(foreseen.turns, written.turns, kept)


def _alike(turns: Sequence[Turn]) -> Iterator[list[Turn]]:
    """Yield groups of turns of equally many steps: one group, unless a budget ends."""
    by_steps = sorted(turns, key=lambda turn: (turn.steps, turn.member))
    for _, group in itertools.groupby(by_steps, key=lambda turn: turn.steps):
        yield list(group)


def _begin(turns: Sequence[Turn]) -> list[int]:
    """Begin turns of equally many steps; return the steps between their scores, which all have."""
    for turn in turns:
        turn.begin()
    return turns[0].divide()


def _make_points(
    turns: Sequence[Turn], stretches: Sequence[int], scores: Sequence[Sequence[float]]
) -> list[list[tuple[int, float]]]:
    done = list(itertools.accumulate(stretches))
    return [
        [(turn.start + steps, score) for steps, score in zip(done, row, strict=True)]
        for turn, row in zip(turns, scores, strict=True)
    ]


def _places(turns: Sequence[Turn]) -> dict[tuple[int, int], int]:
    """Return the place of the state that each turn ended with."""
    return {(turn.member, turn.number): place for place, turn in enumerate(turns)}


def _origin(turn: Turn) -> tuple[int, int]:
    """Return the member and the turn that left the state which a turn goes on from."""
    kept = turn.checkpoint
    return (-1, -1) if kept is None else (kept.member, kept.turn)
