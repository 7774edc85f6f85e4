"""A strategy that does anything, and a space for it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

import ramet
from ramet.randomness import pick
from ramet.strategies import Action, Annotate, Birth, Change, Copy, Rest

SPACE = ramet.Space(
    lr=ramet.LogUniform(1e-3, 1.0, explore=ramet.Resample()),
    n=ramet.Integer(1, 9),
    where=lambda h: h["lr"] * h["n"] < 5,
)


@dataclass(frozen=True)
class Chaos:
    """Decides on anything that a strategy may."""

    synchronous: bool
    turn_steps: int = 2
    evaluate_every: int | None = 1

    def births(self, space: ramet.Space, steps: int, rng: np.random.Generator) -> list[Birth]:
        return [
            Birth(
                hparams=space.sample(rng),
                group=id_ % 2,
                ranked=id_ != 1,
                rests=self.synchronous and id_ > 1,
                data=(id_, math.nan),
            )
            for id_ in range(4)
        ]

    def decide(
        self, population: ramet.Population, ready: Sequence[int], rng: np.random.Generator
    ) -> Iterator[Action]:
        trained = [member.id for member in population if member.checkpoint is not None]
        for _ in range(rng.integers(6)):
            member = pick(ready, rng)
            copy = Copy(
                member=member,
                source=pick(trained, rng) if trained else member,
                weights=bool(trained) and rng.random() < 0.7,
                hparams=rng.random() < 0.7,
                whole_curve=rng.random() < 0.5,
                kind=pick(["exploit", "success"], rng),
            )
            change = Change(member=member, hparams=population.space.sample(rng))
            note = Annotate(member=pick([member, None], rng), data={"at": (1, rng.random())})
            yield pick([copy, change, note], rng)
        if self.synchronous and not population.done:
            yield from (Rest(member=id_) for id_ in rng.permutation(4)[: rng.integers(4)].tolist())
