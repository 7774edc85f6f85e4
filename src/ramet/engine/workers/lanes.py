"""The lane of each member in a program that trains several at once; rounding may depend on it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ramet.engine.run.turn import Turn
from ramet.population import Member, Population


class Lanes(NamedTuple):
    """Lanes of a program that trains several members at once, one per lane."""

    # For each lane, the index of its turn. A spare lane trains the first turn again.
    filled: list[int]
    # For each turn, its lane.
    of: list[int]
    # How many lanes a program may have that is not compiled anew for other numbers of members.
    room: int

    @property
    def plain(self) -> bool:
        """Whether each turn has the lane of its own index, with none to spare."""
        return self.filled == list(range(len(self.of)))


def lanes(turns: Sequence[Turn], members: Iterable[int], population: int = 0) -> Lanes:
    """Return a lane for each member; members without a turn leave a spare lane.

    >>> from types import SimpleNamespace
    >>> lanes([SimpleNamespace(member=2), SimpleNamespace(member=4)], [0, 2, 4], 8)
    Lanes(filled=[0, 0, 1], of=[1, 2], room=4)

    Args:
        turns: The turns to train.
        members: Members that have lanes as well.
        population: How many members there are in the run.
    """
    if [turn.member for turn in turns] == list(range(population)):
        every = list(range(population))
        return Lanes(every, every, population)
    places = {turn.member: place for place, turn in enumerate(turns)}
    order = sorted({*places, *members})
    lane = {member: nth for nth, member in enumerate(order)}
    filled = [places.get(member, 0) for member in order]
    return Lanes(filled, [lane[member] for member in places], _room(len(order), population))


def _room(lanes: int, population: int) -> int:
    """Return the whole population or, if that has room for this many, its half, and so on.

    It depends on nothing else, so that a run that goes on is rounded as if it had not stopped.
    """
    room = max(lanes, population)
    while (half := -(-room // 2)) < room and half >= lanes:
        room = half
    return room


def members_of_round(population: Population) -> Iterator[int]:
    """Yield the members that train in the current round, including those that have finished it.

    A run that was killed while a round was being recorded resumes with the turns that are left.
    """
    for member in population:
        if _trains(member, population.round):
            yield member.id


def _trains(member: Member, round_: int) -> bool:
    kept = member.checkpoint
    ended = kept is not None and (kept.member, kept.turn) == (member.id, member.turn - 1)
    return member.turn <= round_ or ended or member.lost
