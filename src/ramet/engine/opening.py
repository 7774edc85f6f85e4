"""How a run begins, and what it may be gone on with."""

import secrets
from collections.abc import Iterator, Sequence

from ramet.description import describe, differences
from ramet.engine.consequences import as_logged
from ramet.errors import RunMismatch, SpaceError, StrategyError
from ramet.events import Birth, Mode, RunOpened
from ramet.randomness import Purpose, generator
from ramet.space import Space
from ramet.strategies.base import Strategy, check_count, check_pace


def make_opening(
    *, name: str, space: Space, strategy: Strategy, steps: int, seed: int | None, mode: Mode
) -> RunOpened:
    """Return what the log of a new run begins with; draw a seed where none is given."""
    seed = secrets.randbits(48) if seed is None else seed
    births = strategy.births(space, steps, generator(seed, Purpose.BIRTHS))
    return RunOpened(
        name=name,
        seed=seed,
        mode=mode,
        steps=steps,
        space=space.describe(),
        strategy=describe(strategy),
        births=tuple(_checked(space, births)),
    )


def check_settings(
    *, name: object, space: object, strategy: object, steps: object, seed: object, mode: object
) -> None:
    """Refuse settings of the wrong kind or out of range, by name."""
    if not isinstance(name, str) or not name:
        raise StrategyError(f"name must be text that is not empty, but got {name!r}")
    if not isinstance(space, Space):
        raise SpaceError(f"space must be a Space, such as Space(lr=...), but got {space!r}")
    if isinstance(strategy, type) or not isinstance(strategy, Strategy):
        raise StrategyError(
            f"strategy must be a value such as PBT(population=20, ready=100), with births, decide, "
            f"ready, evaluate_every and synchronous, but got {strategy!r}"
        )
    check_pace(ready=strategy.ready, evaluate_every=strategy.evaluate_every)
    if not isinstance(strategy.synchronous, bool):
        raise StrategyError(f"synchronous must be True or False, but got {strategy.synchronous!r}")
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


def _checked(space: Space, births: Sequence[Birth]) -> Iterator[Birth]:
    if not births:
        raise StrategyError("a population must have at least one member, but got no births")
    for member, birth in enumerate(births):
        if not isinstance(birth, Birth):
            raise StrategyError(f"births must be of type Birth, but member {member}'s is {birth!r}")
        hparams = space.adopt(birth.hparams, f"what member {member} begins with")
        yield Birth(hparams=hparams, group=birth.group, data=as_logged(birth.data))
