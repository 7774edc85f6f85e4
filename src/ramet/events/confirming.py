"""Events of fresh evaluations, by which the best turns of a run that is over are compared."""

import math

from msgspec.structs import replace

from ramet.errors import CorruptLog
from ramet.events.base import Event
from ramet.laws import Count, Times, check_row
from ramet.population import Candidate, Candidates, Confirmation
from ramet.replica import Replica


class Confirming(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """The best turns are evaluated again from now on: which ones, and how often each.

    A turn that ends later takes it back, because it may be better than all of them.
    """

    # The best score first; without fresh scores.
    candidates: Candidates
    # How often each is evaluated.
    times: Times

    def check(self, replica: Replica) -> None:
        """Refuse it before the run is over, and candidates that no member can have left."""
        if not replica.over:
            raise CorruptLog("only a run that is over is confirmed, but it was going on")
        places = [(it.checkpoint.member, it.checkpoint.turn) for it in self.candidates]
        if not places or len(set(places)) < len(places):
            raise CorruptLog(f"it must name turns, each once, but names {places}")
        before = replica.confirmation
        if before is not None and (
            self.times < before.times
            or not {it.checkpoint for it in before.candidates}
            <= {it.checkpoint for it in self.candidates}
        ):
            raise CorruptLog("what is to be evaluated must not be taken back, but some of it is")
        for candidate in self.candidates:
            _check_candidate(candidate, replica)

    def apply(self, replica: Replica) -> None:
        before = replica.confirmation
        known = {it.checkpoint: it.fresh for it in (before.candidates if before else ())}
        candidates = (replace(it, fresh=known.get(it.checkpoint, ())) for it in self.candidates)
        replica.confirmation = Confirmation(times=self.times, candidates=tuple(candidates))


class Confirmed(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """The weights that a turn left were evaluated once more, with fresh random draws."""

    # The id of the member that trained the turn.
    member: Count
    # The number of the turn.
    turn: Count
    # Which fresh evaluation of these weights it is, counted from 0.
    repeat: Count
    # Its score; None if it was not finite.
    score: float | None

    def check(self, replica: Replica) -> None:
        """Refuse a score that is not finite, which would be None."""
        del replica
        if self.score is not None and not math.isfinite(self.score):
            raise CorruptLog(f"its score must be a finite number or none, but is {self.score}")

    def apply(self, replica: Replica) -> None:
        now = replica.confirmation
        place = None if now is None else now.find(self.member, self.turn)
        if now is None or place is None:
            raise CorruptLog(
                f"a turn that is evaluated again must be a candidate, but turn {self.turn} of "
                f"member {self.member} is none"
            )
        candidate = now.candidates[place]
        due = len(candidate.fresh)
        if self.repeat != due or due >= now.times:
            raise CorruptLog(
                f"evaluation {due} of {now.times} must come next for turn {self.turn} of member "
                f"{self.member}, but evaluation {self.repeat} does"
            )
        candidates = list(now.candidates)
        candidates[place] = replace(candidate, fresh=(*candidate.fresh, self.score))
        replica.confirmation = replace(now, candidates=tuple(candidates))


def _check_candidate(candidate: Candidate, replica: Replica) -> None:
    kept = candidate.checkpoint
    member = replica.member(kept.member)
    if candidate.fresh or not math.isfinite(candidate.score):
        raise CorruptLog("candidates must have a finite score and no fresh ones, but one has not")
    if kept.turn >= member.turn:
        raise CorruptLog(
            f"candidates must be turns that have ended, but turn {kept.turn} of member "
            f"{kept.member} is not"
        )
    check_row(kept.row, kept.stack)
