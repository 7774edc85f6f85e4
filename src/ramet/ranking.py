"""Members in the order of their scores, at a small cost for each member that changes."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from copy import copy
from functools import cached_property
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from ramet.population import Member

# The score and the id of a member.
Key: TypeAlias = tuple[float, int]
# A ranking is sorted anew if more than this part of the members has changed.
SORTED_ANEW_ABOVE = 1 / 8


class Ranking:
    """The members with a finite score, worst first, and how many others there are of which kind.

    Of members with equal scores, the one with the lower id ranks higher. Without a total order they
    would never copy each other.

    >>> from ramet.population import Curve
    >>> scores = (0.5, 0.9, 0.5)
    >>> members = [Member(id=i, hparams={}, curve=Curve((0,), (s,))) for i, s in enumerate(scores)]
    >>> ranking = Ranking(members)
    >>> ranking.ids(), ranking[0]
    ([2, 0, 1], 2)
    """

    def __init__(self, members: Iterable[Member] = ()) -> None:
        scored = [(member, member.score) for member in members]
        # The members that have a score that is not finite.
        self.failed = {member.id for member, score in scored if _is_failure(score)}
        # The other members, and those of them that have not ended a turn.
        self._whole = len(scored) - len(self.failed)
        self._fresh = sum(
            [member.turn == 0 and member.id not in self.failed for member, _ in scored]
        )
        # How many members copied weights and have not trained since, by their next turn.
        self._untried = Counter([member.turn for member, _ in scored if member.untried])
        keys = [
            (score, member.id)
            for member, score in scored
            if score is not None and math.isfinite(score)
        ]
        self._scores, self._ids = _sort(*_columns(keys))

    @classmethod
    def after_turns(cls, scores: Sequence[float]) -> "Ranking":
        """Return the ranking of all members of a run when each has just ended a turn.

        >>> Ranking.after_turns([0.5, math.nan, 0.5]).ids()
        [2, 0]

        Args:
            scores: The scores that the turns ended with, by the ids of the members.
        """
        made, found = cls(), np.array(scores, np.float64)
        finite = np.isfinite(found)
        made.failed = set(np.flatnonzero(~finite).tolist())
        made._scores, made._ids = _sort(found[finite], np.flatnonzero(finite))
        made._whole = len(made)
        return made

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, place: int) -> int:
        """Return the id of the member at a place, where 0 is the worst."""
        return int(self._ids[place])

    def ids(self, most: int | None = None) -> list[int]:
        """Return the ids of the members with a finite score, worst first; at most ``most``."""
        ids: list[int] = self._ids[:most].tolist()
        return ids

    def count_whole(self, *, fresh: bool) -> int:
        """Return how many members have not failed; those that ended no turn only if ``fresh``."""
        return self._whole if fresh else self._whole - self._fresh

    def count_untried(self, *, since: int) -> int:
        """Return how many copied weights and have not trained since, with this turn or a later."""
        return sum(count for turn, count in self._untried.items() if turn >= since)

    def move(self, changes: Iterable[tuple[Member, Member]]) -> None:
        """Move members to where they belong now, without changing what copies of this share.

        Args:
            changes: Each of the members that changed, as it was and as it is.
        """
        self.failed, self._untried = self.failed.copy(), +self._untried
        keys = [(self._count(before, -1), self._count(now, 1)) for before, now in changes]
        gone = [self._place(key) for key, _ in keys if key is not None]
        self._scores, self._ids = np.delete(self._scores, gone), np.delete(self._ids, gone)
        come = sorted((key for _, key in keys if key is not None), key=_order)
        places = [self._place(key) for key in come]
        scores, ids = _columns(come)
        self._scores = np.insert(self._scores, places, scores)
        self._ids = np.insert(self._ids, places, ids)

    def _place(self, key: Key) -> int:
        """Return how many members a member with this score and id ranks above."""
        score, id_ = key
        first = self._scores.searchsorted(score)
        equal = self._ids[first : self._scores.searchsorted(score, "right")]
        return int(first + np.count_nonzero(equal > id_))

    def _count(self, member: Member, number: int) -> Key | None:
        """Count a member, once more or less; return its score and its id if it is ranked."""
        if member.untried:
            self._untried[member.turn] += number
        score = member.score
        if _is_failure(score):
            (self.failed.add if number > 0 else self.failed.discard)(member.id)
            return None
        self._whole += number
        if member.turn == 0:
            self._fresh += number
        return None if score is None else (score, member.id)


class Members(tuple[Member, ...]):  # noqa: SLOT001 - a tuple can have no slots
    """All members at one moment, as a tuple that has their ranking once it is asked for.

    It is derived from that of an earlier moment, if there is one and few members changed since.

    Args:
        members: The members.
        before: All members at an earlier moment.
        changed: The ids of those that may have changed since then.
    """

    # All members at the moment that the ranking is derived from, and which may have changed since.
    origin: "Members | None"
    changed: frozenset[int]

    def __new__(
        cls,
        members: Iterable[Member],
        before: "Members | None" = None,
        changed: Collection[int] = (),
    ) -> Self:
        new = super().__new__(cls, members)
        new.origin, new.changed = before, frozenset(changed)
        if before is not None and not before.is_ranked:
            new.origin, new.changed = before.origin, before.changed.union(changed)
        if len(new.changed) > SORTED_ANEW_ABOVE * len(new):
            new.origin = None
        if new.origin is None:
            new.changed = frozenset()
        return new

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (tuple(self),)

    @property
    def is_ranked(self) -> bool:
        """Whether the ranking has been asked for."""
        return "ranking" in self.__dict__

    @cached_property
    def ranking(self) -> Ranking:
        """The members in the order of their scores."""
        origin, self.origin = self.origin, None
        if origin is None:
            return Ranking(self)
        derived = copy(origin.ranking)
        derived.move((origin[id_], self[id_]) for id_ in self.changed)
        return derived


def _is_failure(score: float | None) -> bool:
    return score is not None and not math.isfinite(score)


def rank(members: Sequence[Member]) -> Ranking:
    """Return the ranking of members, whether they have one yet or not."""
    return members.ranking if isinstance(members, Members) else Ranking(members)


def _columns(keys: Sequence[Key]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return scores, and the ids that they belong to."""
    scores = np.array([score for score, _ in keys], np.float64)
    return scores, np.array([id_ for _, id_ in keys], np.int64)


def _sort(
    scores: npt.NDArray[np.float64], ids: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return scores and ids, worst first."""
    order = np.lexsort((-ids, scores))
    return scores[order], ids[order]


def _order(key: Key) -> Key:
    score, id_ = key
    return score, -id_
