"""The next turns, foreseen while the last ones are still being written.

What a strategy decides needs only scores. So the turns of the next round are known before the
states of the last are on record, unless another worker writes something in between.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from ramet.engine.run.claims import Claims
from ramet.engine.run.collecting import without_collecting
from ramet.engine.run.guessing import UNWRITTEN, Foreseen, Guesses, as_points, unwritten
from ramet.engine.run.journal import Journal, Written
from ramet.engine.run.leases import TurnsOut
from ramet.engine.run.run_events import turn_ended
from ramet.engine.run.turn import Turn
from ramet.history.reported import maximise_points
from ramet.population import Checkpoint, Member


class Foresight:
    """Foresees the turns that a worker will get next, and puts them in the place of those."""

    def __init__(self, journal: Journal, claims: Claims, out: TurnsOut) -> None:
        self._journal, self._claims, self._out = journal, claims, out
        self._guesses = Guesses(journal, claims)

    @without_collecting()
    def prepare(self, turns: Sequence[Turn]) -> None:
        """Prepare for ``foresee`` while turns are trained, so that little is left to do then.

        Args:
            turns: The turns, all of which are out.
        """
        self._guesses.prepare(turns)

    @without_collecting()
    def foresee(
        self, turns: Sequence[Turn], scores: Sequence[Sequence[tuple[int, float]]]
    ) -> Foreseen:
        """Return what ``ask_all`` will return after ``tell_all`` of these turns, if all goes well.

        The foreseen turns have no lease, and their checkpoints are not written. They may be
        trained meanwhile, and end if ``claim`` finds them free.

        Args:
            turns: Turns that are out and have been trained.
            scores: The scores of each as (step, score) pairs.
        """
        journal = self._journal
        # The run may have been stopped while these turns were trained.
        journal.catch_up()
        if (guess := self._guesses.guess(turns, scores)) is not None:
            return guess
        before, mode = journal.round, journal.opening.mode
        points = [maximise_points(as_points(its), mode) for its in scores]
        after = journal.foresee(
            [
                Written(turn.lease, turn_ended(turn, kept=unwritten(turn), points=its, metrics=()))
                for turn, its in zip(turns, points, strict=True)
            ]
        )
        if after.stopped or (journal.synchronous and after.round == before):
            return Foreseen([], after)
        own, lease = {turn.member for turn in turns}, turns[0].lease
        free = [
            member
            for member in after
            if not after.is_finished(member.id)
            and (member.turn == after.round if journal.synchronous else member.id in own)
        ]
        return Foreseen(
            self._claims.make_turns(
                (member, replace(lease, member=member.id, token=0)) for member in free
            ),
            after,
        )

    @without_collecting()
    def claim(
        self, foreseen: Sequence[Turn], written: Mapping[tuple[int, int], Checkpoint]
    ) -> tuple[list[Turn], bool]:
        """Return the turns that are free now, without waiting for any; say if they were foreseen.

        If they are the same as those foreseen, the foreseen turns are held themselves.

        Args:
            foreseen: What ``foresee`` returned.
            written: What the states that were not written then are kept as, by member and turn.
        """
        claimed = self._claims.claim_members()
        by_member = {turn.member: turn for turn in foreseen}
        with self._claims.release_after_errors([lease for _, lease in claimed]):
            as_foreseen = len(claimed) == len(foreseen) and all(
                member.id in by_member and self._is_next(by_member[member.id], member, written)
                for member, _ in claimed
            )
            turns = list(foreseen) if as_foreseen else self._claims.make_turns(claimed)
        if as_foreseen:
            for member, lease in claimed:
                turn = by_member[member.id]
                turn.lease, turn.checkpoint = lease, member.checkpoint
        else:
            self._guesses.stop_if_wrong()
        self._out.add_all(turns)
        return turns, as_foreseen

    @without_collecting()
    def take_back(self, foreseen: Sequence[Turn]) -> list[Turn]:
        """Return turns to train instead of those foreseen, which were claimed but not trained.

        Args:
            foreseen: What ``foresee`` returned, and ``claim`` found to be free.
        """
        members = self._journal.population.members
        turns = self._claims.make_turns((members[turn.member], turn.lease) for turn in foreseen)
        self._out.exchange(turns)
        return turns

    def _is_next(
        self, turn: Turn, member: Member, written: Mapping[tuple[int, int], Checkpoint]
    ) -> bool:
        """Say whether a turn is the next of a member, with everything that training depends on."""
        kept = turn.checkpoint
        if kept is not None and kept.digest == UNWRITTEN:
            kept = written.get((kept.member, kept.turn))
        return (
            kept == member.checkpoint
            and (turn.number, turn.trained) == (member.turn, member.trained)
            and (turn.start, turn.steps) == (member.step, self._journal.turn_steps(member))
            and turn.draws == self._journal.draws(member)
            and turn.hparams.are(member.hparams)
        )
