"""Replay: new members follow a known schedule, each with its own seed."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np

from ramet.errors import StrategyError
from ramet.events import Birth
from ramet.population import Member, Population
from ramet.randomness import Draws
from ramet.schedule import Leg, Piece, Schedule, piece_at
from ramet.schedule.pieces import check_legs, check_pieces, check_renewed
from ramet.showing import list_fields
from ramet.space import Space, same
from ramet.strategies.base import Action, Change, Prescribed, check_count, check_pace

# Turns in a replay of a schedule that does not say how long they are.
TURNS_PER_SCHEDULE = 20
# The member that fresh networks draw as. No run has one of this number, so they are fresh even with
# the seed of the run that found the schedule.
FRESH = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Replay:
    """Members train with a schedule, without copies and without exploring.

    Args:
        pieces: The hyperparameters of each step. After the last piece, its values stay in force.
        seeds: The seed of each member.
        turn_steps: Steps in a turn at most. Turns also end where pieces do.
        evaluate_every: Steps between two scores; None for one score a turn, at its end.
        of: The name of the run that found the schedule, if there is one.
        legs: Turns of that run. A member repeats their random draws, and so arrives at exactly the
            same weights, if training depends on nothing else.
        renewed: The steps before which weights are renewed.

    >>> schedule = Schedule((Piece(start=0, stop=30, hparams={"lr": 0.1}),))
    >>> Replay.by(schedule, seeds=[0, 1]).seeds
    (0, 1)
    """

    pieces: Sequence[Piece]
    _: KW_ONLY
    seeds: Sequence[int]
    turn_steps: int
    evaluate_every: int | None = None
    of: str | None = None
    legs: Sequence[Leg] = ()
    renewed: Sequence[int] = ()

    _repr_html_ = list_fields

    def __post_init__(self) -> None:
        check_pace(turn_steps=self.turn_steps, evaluate_every=self.evaluate_every)
        if not isinstance(self.seeds, Iterable):
            raise StrategyError(f"seeds must be a list, such as [0, 1, 2], but got {self.seeds!r}")
        for name in ("pieces", "seeds", "legs", "renewed"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        # Whether some may be missing is known only with the space.
        check_pieces(self.pieces, conditional=True)
        check_legs(self.legs, self.pieces[-1].stop)
        check_renewed(self.renewed, self.pieces[-1].stop)
        if not self.seeds:
            raise StrategyError("a replay must have a seed for each member, but got none")
        for seed in self.seeds:
            check_count("a seed", seed, "what a member's randomness comes from", least=0)

    @classmethod
    def by(cls, schedule: Schedule, *, seeds: Sequence[int] | None = None) -> "Replay":
        """Return the replay of a schedule.

        Args:
            schedule: The schedule.
            seeds: The seed of each member; None repeats the draws of the run that found it.
        """
        if not isinstance(schedule, Schedule):
            raise StrategyError(
                f"a replay must be of a Schedule, such as result.schedule() or "
                f"Schedule.load('s.json'), but got {schedule!r}"
            )
        source = schedule.source
        turn_steps = (
            max(1, schedule.steps // TURNS_PER_SCHEDULE) if source is None else source.turn_steps
        )
        every = None if source is None else source.evaluate_every
        run = None if source is None else source.run
        renewed = () if source is None else source.renewed
        if seeds is not None:
            return cls(
                schedule.pieces,
                seeds=seeds,
                turn_steps=turn_steps,
                evaluate_every=every,
                of=run,
                renewed=renewed,
            )
        if source is None or not source.legs:
            raise StrategyError(
                "a schedule must be as a run found it to be replayed with that run's draws, but "
                "this one was written by hand, stretched or smoothed, or is of a replay itself; "
                "give seeds=[0, 1, 2]"
            )
        return cls(
            schedule.pieces,
            seeds=(source.seed,),
            turn_steps=turn_steps,
            evaluate_every=every,
            of=run,
            legs=source.legs,
            renewed=renewed,
        )

    @property
    def synchronous(self) -> bool:
        return False

    def births(self, space: Space, steps: int, rng: np.random.Generator) -> list[Birth]:
        for nth, piece in enumerate(self.pieces):
            space.adopt(piece.hparams, f"piece {nth} of a schedule")
        return [Birth(hparams=dict(self.pieces[0].hparams)) for _ in self.seeds]

    def decide(
        self, population: Population, ready: Sequence[int], rng: np.random.Generator
    ) -> Iterator[Action]:
        for id_ in ready:
            member = population[id_]
            hparams = piece_at(self.pieces, member.trained).hparams
            if not population.is_finished(id_) and not same(hparams, member.hparams):
                yield Change(member=id_, hparams=dict(hparams))

    def renews(self, member: Member) -> bool:
        """Return whether a member's next turn begins with renewed weights."""
        return member.trained in self.renewed

    def prescribe(self, member: Member) -> Prescribed:
        """Return the length and the draws of a member's next turn."""
        seed = self.seeds[member.id]
        nth = bisect_right(self.legs, member.trained, key=lambda leg: leg.stop)
        if nth < len(self.legs):
            leg = self.legs[nth]
            return Prescribed(leg.stop - member.trained, Draws(seed, leg.member, leg.turn))
        piece = piece_at(self.pieces, member.trained)
        left = self.turn_steps - (member.trained - piece.start) % self.turn_steps
        if member.trained < piece.stop:
            left = min(left, piece.stop - member.trained)
        left = min([left, *(at - member.trained for at in self.renewed if at > member.trained)])
        return Prescribed(left, Draws(seed, FRESH, member.turn))
