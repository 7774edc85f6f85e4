"""Begin a run, or check that an existing one is resumed with the same settings."""

import logging
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, TypeAlias, get_args

from msgspec.structs import replace

from ramet.description import describe, differences
from ramet.engine.run.consequences import as_logged
from ramet.engine.run.goals import check_use_of_target, resolve_goals
from ramet.engine.run.journal import Journal
from ramet.errors import RunMismatch, RunNotFound, StrategyError
from ramet.events import Birth, Extended, Keep, Mode, RunOpened
from ramet.history.reported import maximise_score
from ramet.randomness import Purpose, generator
from ramet.space import Space
from ramet.store.base import Store
from ramet.strategies.base import ChecksBudget, Remembers, Strategy, check_count, check_pace
from ramet.strategies.pace import require_turn_steps
from ramet.wording import is_text

logger = logging.getLogger("ramet")

# What to do with a run of this name that the store already has, as users choose it.
Existing: TypeAlias = Literal["resume", "extend", "overwrite"]
# The same as a worker acts on it: one that joins takes the budget and the target as they are.
Terms: TypeAlias = Literal["resume", "extend", "join"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings that make a run what it is, for workers that begin it or resume it."""

    name: str
    space: Space
    strategy: Strategy
    # The budget of each member.
    steps: int
    mode: Mode
    # None draws one, or takes that of the run on record.
    seed: int | None = None
    # None takes that of the run on record, or "lineage".
    keep: Keep | None = None
    # The score that ends the run, as it is reported; None sets no target.
    target: float | None = None
    # The fingerprint of the code that trains, if there is one.
    code: str | None = None

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def maximised_target(self) -> float | None:
        """The target as scores are maximised."""
        return maximise_score(None if self.target is None else float(self.target), self.mode)


def begin(settings: Settings, store: Store, *, worker: str, existing: Terms = "resume") -> Journal:
    """Begin a run in its store, or resume the one of that name.

    Args:
        settings: The settings, which must be those that an existing run began with.
        store: The store.
        worker: The name of this worker.
        existing: "resume" keeps the budget on record, "extend" raises it to ``settings.steps``, and
            "join" accepts the budget on record, even if another process has raised it.
    """
    try:
        store.record(settings.name)
    except RunNotFound:
        # If two processes come at once, both get the opening of the first.
        store.open_run(make_opening(settings), worker=worker)
    journal = Journal(
        store, settings.name, strategy=settings.strategy, space=settings.space, worker=worker
    )
    extends = existing == "extend" and settings.steps > journal.steps
    accepts = extends or existing == "join"
    check_same(
        journal.opening,
        settings,
        steps=settings.steps if accepts else journal.steps,
        joins=existing == "join",
    )
    if extends:
        _check_budget(journal, settings)
        if _keeps_only_the_best(journal):
            _go_on_from_the_best(journal)
        journal.append(Extended(steps=settings.steps))
    return journal


def _keeps_only_the_best(journal: Journal) -> bool:
    population = journal.population
    return journal.opening.keep == "best" and population.done and population.best is not None


def _go_on_from_the_best(journal: Journal) -> None:
    """Warn that all members go on from the best; refuse it in a replay."""
    name = journal.opening.name
    if journal.prescribed:
        raise RunMismatch(
            f"networks that are trained on a schedule must go on from their own states, but run "
            f"{name!r} is over and has kept only the best one (keep='best'); train them anew under "
            f"another name, with Storage(..., keep='lineage') if they may be given more steps"
        )
    logger.warning(
        "run %(run)r was over, and kept only its best checkpoint (keep='best'): with more steps, "
        "all members go on from that one; with keep='lineage' each member keeps its own",
        {"run": name},
        extra={"run": name},
    )


def _check_budget(journal: Journal, settings: Settings) -> None:
    """Let the strategy refuse a greater budget before it is recorded."""
    if isinstance(settings.strategy, ChecksBudget):
        settings.strategy.check_budget(replace(journal.population, steps=settings.steps))
    else:
        # Other strategies refuse it in ``births``.
        make_opening(settings)


def make_opening(settings: Settings) -> RunOpened:
    """Return the first event of a new run; draw a seed if none is given."""
    seed = secrets.randbits(48) if settings.seed is None else settings.seed
    space, strategy = settings.space, settings.strategy
    births = strategy.births(space, settings.steps, generator(seed, Purpose.BIRTHS))
    return RunOpened(
        name=settings.name,
        seed=seed,
        mode=settings.mode,
        steps=settings.steps,
        synchronous=strategy.synchronous,
        turn_steps=require_turn_steps(strategy),
        keep=settings.keep or "lineage",
        space=space.describe(),
        strategy=describe(strategy),
        births=tuple(_check_births(space, births, synchronous=strategy.synchronous)),
        ties="latest",
        code=settings.code,
        remember=strategy.remember if isinstance(strategy, Remembers) else 0,
        goals=resolve_goals(strategy, settings.mode),
    )


def check_same(before: RunOpened, now: Settings, *, steps: int, joins: bool = False) -> None:
    """Refuse to resume a run with other settings than it began with.

    Args:
        before: How the run began.
        now: The settings that it would go on with.
        steps: The budget that they must have.
        joins: Whether this worker joins a run, and so can neither extend nor replace it.
    """
    pairs = {
        "mode": (before.mode, now.mode),
        "steps": (steps, now.steps),
        "space": (before.space, now.space.describe()),
        "strategy": (_settings_of(before.strategy), _settings_of(describe(now.strategy))),
        "seed": (before.seed, before.seed if now.seed is None else now.seed),
        "keep": (before.keep, now.keep or before.keep),
    }
    changes = [line for name, pair in pairs.items() for line in differences(*pair, name)]
    if changes:
        listed = "".join(f"\n  {line}" for line in changes)
        raise RunMismatch(
            f"run {before.name!r} must be resumed with the settings that it has, but these "
            f"differ (before -> now):{listed}\n{_remedy(longer=now.steps > steps, joins=joins)}"
        )


def _settings_of(strategy: dict[str, Any]) -> dict[str, Any]:
    """Return a strategy without the name of the run that a replay repeats, which may change."""
    if strategy.get("type") != "Replay":
        return strategy
    return {name: value for name, value in strategy.items() if name != "of"}


def _remedy(*, longer: bool, joins: bool) -> str:
    """Return what to do about settings that differ from those of a run on record."""
    if joins:
        return (
            "Join with the space and the strategy of the run, or leave them out to use those on "
            "record"
        )
    extend = ", or raise steps with existing='extend' (--extend)" if longer else ""
    return (
        f"Put them back{extend}, give the new run another name, or replace the old run with "
        f"existing='overwrite' (--overwrite)"
    )


def check_settings(settings: Settings) -> None:
    """Refuse settings of the wrong kind or out of range, by name."""
    check_name(settings.name)
    strategy: object = settings.strategy
    if isinstance(strategy, type) or not isinstance(strategy, Strategy):
        raise StrategyError(
            f"strategy must be a value such as PBT(population=20, turn_steps=100), with births, "
            f"decide, turn_steps, evaluate_every and synchronous, but got {strategy!r}"
        )
    check_pace(turn_steps=strategy.turn_steps, evaluate_every=strategy.evaluate_every)
    if not isinstance(strategy.synchronous, bool):
        raise StrategyError(f"synchronous must be True or False, but got {strategy.synchronous!r}")
    if isinstance(strategy, Remembers):
        meaning = "how many past turns of each member the strategy sees"
        check_count("remember", strategy.remember, meaning, least=0)
    check_count("steps", settings.steps, "how many steps each member trains in all")
    if settings.seed is not None:
        check_count("seed", settings.seed, "what all the run's randomness comes from", least=0)
    if settings.mode not in get_args(Mode):
        raise StrategyError(f"mode must be 'max' or 'min', but got {settings.mode!r}")
    check_target(settings.target)
    check_use_of_target(settings.target, resolve_goals(strategy, settings.mode))
    if settings.keep is not None and settings.keep not in get_args(Keep):
        raise StrategyError(f"keep must be one of {get_args(Keep)}, but got {settings.keep!r}")


def check_name(name: object) -> None:
    """Refuse what cannot be the name of a run."""
    if not isinstance(name, str) or not name:
        raise StrategyError(f"name must be text that is not empty, but got {name!r}")
    check_text("name", name)


def check_text(what: str, text: object) -> None:
    """Refuse what a store cannot hold as text."""
    if not (isinstance(text, str) and is_text(text)):
        raise StrategyError(
            f"{what} must be text that a store can hold, but got {text!r}, which is not text, or "
            f"contains a lone surrogate; give another"
        )


def check_mode(mode: Mode | None) -> Mode:
    """Return which scores are good; refuse a call that does not say it.

    Args:
        mode: The ``mode`` of the call; None if it has none.
    """
    if mode is None:
        raise StrategyError(
            "a run must say which scores are good, but got no mode; give mode='max' where high "
            "ones are (an accuracy, a return), or mode='min' where low ones are (a loss)"
        )
    return mode


def check_existing(existing: Existing) -> Existing:
    """Return what to do with a run of this name; refuse what users cannot choose.

    Args:
        existing: The ``existing`` of the call.
    """
    if existing not in get_args(Existing):
        raise StrategyError(
            f"existing must be 'resume', 'extend' or 'overwrite', but got {existing!r}"
        )
    return existing


def check_target(target: object) -> None:
    """Refuse a target that no score can reach, because it is no finite number."""
    number = isinstance(target, Real) and not isinstance(target, bool)
    if target is not None and not (number and abs(target) <= sys.float_info.max):  # type: ignore[arg-type]  # it is a number
        raise StrategyError(
            f"target must be the score that ends the run, a finite number, or None, but got "
            f"{target!r}"
        )


def _check_births(space: Space, births: Sequence[Birth], *, synchronous: bool) -> Iterator[Birth]:
    if not births:
        raise StrategyError("a population must have at least one member, but got no births")
    for member, birth in enumerate(births):
        if not isinstance(birth, Birth):
            raise StrategyError(f"births must be of type Birth, but member {member}'s is {birth!r}")
        hparams = space.adopt(birth.hparams, f"what member {member} begins with")
        yield replace(birth, hparams=hparams, data=as_logged(birth.data))
    if any(birth.rests for birth in births) and not synchronous:
        raise StrategyError(
            "members may rest only in synchronous runs, which have rounds, but some births do"
        )
    if all(birth.rests for birth in births):
        raise StrategyError(
            "at least one member must train in the first round, but all births rest"
        )
