"""How a run begins, and what it may be gone on with."""

import secrets

from ramet.description import describe, differences
from ramet.errors import RunMismatch, StrategyError
from ramet.events import Mode, RunOpened
from ramet.randomness import Purpose, generator
from ramet.space import Space
from ramet.strategies.base import Strategy, check_count


def make_opening(
    *, name: str, space: Space, strategy: Strategy, steps: int, seed: int | None, mode: Mode
) -> RunOpened:
    """Return what the log of a new run begins with; draw a seed where none is given."""
    seed = secrets.randbits(48) if seed is None else seed
    births = tuple(strategy.births(space, steps, generator(seed, Purpose.BIRTHS)))
    for member, birth in enumerate(births):
        if problem := space.problem(birth.hparams):
            raise StrategyError(
                f"every member must begin in the space, but member {member} would not: {problem}"
            )
    return RunOpened(
        name=name,
        seed=seed,
        mode=mode,
        steps=steps,
        space=space.describe(),
        strategy=describe(strategy),
        births=births,
    )


def check_settings(*, steps: int, seed: int | None, mode: str) -> None:
    """Refuse settings out of range, by name."""
    check_count("steps", steps, "how many steps each member trains in all")
    if seed is not None:
        check_count("seed", seed, "what all the run's randomness comes from", least=0)
    if mode not in {"max", "min"}:
        raise StrategyError(f"mode must be 'max' or 'min', but got {mode!r}")


def check_same(before: RunOpened, now: RunOpened, *, seed_given: bool) -> None:
    """Refuse to go on with a run under other settings than it was begun with."""
    compared = ["mode", "steps", "space", "strategy", *(["seed"] if seed_given else [])]
    changes = [
        line
        for field in compared
        for line in differences(getattr(before, field), getattr(now, field), field)
    ]
    if changes:
        listed = "".join(f"\n  {line}" for line in changes)
        raise RunMismatch(
            f"run {before.name!r} must go on with the settings it was begun with, but these differ "
            f"(before -> now):{listed}\nPut them back, or give the new run another name"
        )
