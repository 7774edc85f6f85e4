"""Warnings about training that cannot have its intended effect."""

import logging
from collections.abc import Collection, Sequence

from ramet.engine.run.journal import Journal
from ramet.engine.run.turn import Turn
from ramet.errors import HyperparameterUnread, StateError
from ramet.history.doubts import describe_lag, find_doubts
from ramet.history.result import Result
from ramet.points import Point, has_final_score
from ramet.population import Checkpoint, Population
from ramet.visible import MAX_LABEL_CHARS, cut
from ramet.wording import value

logger = logging.getLogger("ramet")

# Copies are first looked at after 2 ** 4 turns a member.
FIRST_LOOK_LOG2 = 4
# Turns of a worker after which most should have had a score.
TURNS_BEFORE_SCORELESS = 20
# Turns without any change of the state after which it is no accident.
UNCHANGED_TURNS = 3


class Notices:
    """Gives each warning once; when strict, raises some as errors."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        # Hyperparameters that were warned of as unread.
        self._unread: set[str] = set()
        self._trained, self._untrained = False, 0
        self._lagged, self._looks = False, 0
        self._ended, self._scoreless = 0, 0
        # A turn that a warning is due for: its member, number and values.
        self._unwarned: tuple[int, int, str] | None = None
        # Whether a turn has ended with a score that is not finite.
        self._diverged = False

    def unread(
        self, turn: Turn, unread: Sequence[str], applied: Collection[str], *, said: Collection[str]
    ) -> list[str]:
        """Warn of values that the loop never read, unless already ``said``; return their names."""
        known = {*applied} if self._strict else {*applied, *said}
        names = [name for name in unread if name not in known]
        # Turns that end together are all looked at before any of them is on record.
        if not (fresh := [name for name in names if name not in self._unread]):
            return names
        message = (
            f"every hyperparameter must reach the training, but turn {turn.number} of member "
            f"{turn.member} never read {fresh}: exploring them changes nothing; read "
            f"turn.hparams[...] in the loop, bind them to the state, or take them out of the space"
        )
        if self._strict:
            raise HyperparameterUnread(message)
        self._unread.update(fresh)
        logger.warning("%s", message, extra={"member": turn.member, "names": fresh})
        return names

    def training(self, turns: Sequence[Turn], left: Sequence[Checkpoint]) -> None:
        """Warn if the first turns all leave the state unchanged: they train something else."""
        for turn, its in zip(turns, left, strict=True):
            if self._trained:
                return
            self._compare(turn, its)

    def _compare(self, turn: Turn, left: Checkpoint) -> None:
        if turn.checkpoint is None:
            return
        changed = turn.checkpoint.digest != left.digest
        self._trained = changed
        self._untrained += not changed
        if self._trained or self._untrained != UNCHANGED_TURNS:
            return
        message = (
            f"training must change the state given to session.turns, but {UNCHANGED_TURNS} turns, "
            f"the last turn {turn.number} of member {turn.member}, left it bit for bit as it was; "
            f"write into the state's arrays, or put new arrays into the state: assigning to a "
            f"variable does not change the state"
        )
        if self._strict:
            raise StateError(message)
        logger.warning("%s", message, extra={"member": turn.member, "turn": turn.number})

    def without_score(self, points: Sequence[Point], step: int) -> None:
        """Warn if most turns end without a score: their members are left out of the ranking."""
        if self._ended == TURNS_BEFORE_SCORELESS:
            return
        self._ended += 1
        self._scoreless += not has_final_score(points, step)
        if self._ended != TURNS_BEFORE_SCORELESS or 2 * self._scoreless <= self._ended:
            return
        logger.warning(
            "most turns should end with a score, but %d of the first %d here were reported without "
            "one (turn.report(None)), and their members neither copied nor were copied; make turns "
            "longer (turn_steps=) than the longest episode, or cap episodes and report what they "
            "returned by then",
            self._scoreless,
            self._ended,
            extra={"turns": self._ended, "scoreless": self._scoreless},
        )

    def not_finite(self, turn: Turn, points: Sequence[Point]) -> None:
        """Note this worker's first turn that ends with a score that is not finite."""
        if self._diverged or not points or points[-1][1] is not None:
            return
        if points[-1][0] != turn.stop:
            return
        self._diverged = True
        had = ", ".join(f"{name}={value(it)}" for name, it in turn.hparams.peek().items())
        self._unwarned = turn.member, turn.number, cut(had, MAX_LABEL_CHARS)

    def _not_finite(self, journal: Journal) -> None:
        """Warn of it once other turns have a score; a run without any has a warning of its own."""
        if self._unwarned is None or not journal.has_score:
            return
        member, turn, had = self._unwarned
        self._unwarned = None
        logger.warning(
            "a turn should end with a finite score, but turn %d of member %d ended with inf or "
            "nan, with %s: the member ranks last, and no other copies it; this worker warns once, "
            "and result.rows('turns') and `ramet export` show all turns without a score",
            turn,
            member,
            had,
            extra={"member": member, "turn": turn},
        )

    def look(self, journal: Journal) -> None:
        """Check the run as a whole: once all members could have a score, and then ever less often.

        It does so after 16, 32, 64, … turns a member, or soon after if another worker ended that
        very turn.
        """
        self._not_finite(journal)
        looks = (journal.turns // len(journal.opening.births)).bit_length()
        if looks and not self._looks:
            self._scores(journal.population)
        if looks > max(self._looks, FIRST_LOOK_LOG2):
            self._lagging(journal.population)
        self._looks = max(looks, self._looks)

    def _lagging(self, population: Population) -> None:
        """Warn if copies take members back as fast as they train."""
        if self._lagged or (found := describe_lag(population)) is None:
            return
        self._lagged = True
        logger.warning(
            "a member's weights should get further as it trains, but %s; let the rule rank only "
            "members whose score is not None, average scores over more data, or compare several "
            "(ramet.TTest)",
            found,
            extra={"turns": population.turns, "copies": population.copies},
        )

    def _scores(self, population: Population) -> None:
        """Warn if no member has a finite score yet although all could."""
        # The best is within all bounds of the run; scores may be beyond them.
        if population.best is None and all(it.weights_score is None for it in population):
            logger.warning(
                "some turn must end with a finite score, or there is no best and no member to "
                "copy, but none of the first %d did",
                population.turns,
                extra={"turns": population.turns},
            )


def say_doubts(result: Result) -> None:
    """Warn of what makes the result of a run that is over worthless, if anything does.

    A run that was stopped by a command is not over yet in that sense.
    """
    population = result.population
    if population.why_stopped == "asked" and not population.done:
        return
    doubts = find_doubts(result)
    if doubts:
        fields = {"run": result.opening.name, "doubts": [doubt.kind for doubt in doubts]}
        logger.warning(
            "the result of run %(run)r is doubtful: %(said)s",
            {**fields, "said": "; and ".join(map(str, doubts))},
            extra=fields,
        )
