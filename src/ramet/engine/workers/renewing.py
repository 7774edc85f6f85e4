"""What can renew weights for a strategy that asks for it, and what cannot."""

from typing import Any, Protocol, runtime_checkable

from ramet.errors import UsageError
from ramet.state.tree import Tree
from ramet.strategies.base import Renewing, Strategy
from ramet.strategies.controlled import Controlled


@runtime_checkable
class Renews(Protocol):
    """A task that can renew weights, as the strategy IPBT asks for with ``renew=True``."""

    def renew(self, state: Tree, fresh: Tree, /) -> Tree:
        """Return a state to go on from, between a trained one and a fresh one.

        Args:
            state: What the last ``step`` returned.
            fresh: What ``init`` returned just now.
        """
        ...


def check_can_renew(strategy: Strategy, train: Any, *, together: bool) -> None:
    """Refuse what cannot renew weights, if a strategy says beforehand that it will ask for it.

    A strategy of the user's may ask for it without saying so beforehand. Then it is refused when
    the first such turn ends.

    Args:
        strategy: The strategy of the run.
        train: What trains: a function, which looks at ``turn.renewed`` itself, or a task.
        together: Whether it trains several members at once.
    """
    asks = strategy.strategy if isinstance(strategy, Controlled) else strategy
    needed = getattr(asks, "renew", False) is True or bool(getattr(asks, "renewed", ()))
    if not (needed and isinstance(asks, Renewing)) or (isinstance(train, Renews) and not together):
        return
    if callable(getattr(train, "step", None)) and not together:
        raise cannot_renew(train)
    if together or callable(getattr(train, "program", None)):
        raise UsageError(
            f"weights can be renewed by a training loop, which looks at turn.renewed, or by a task "
            f"that trains one member at a time and has a method renew(state, fresh), but "
            f"{type(asks).__name__} asks for it and a {type(train).__name__} "
            f"{'with ramet.Vectorized() ' if together else ''}cannot do it; write a loop, or use "
            f"renew=False in the strategy"
        )


def cannot_renew(task: object) -> UsageError:
    """Return the error of a task that has no method ``renew``."""
    return UsageError(
        f"a task must have a method renew(state, fresh) for a strategy with renew=True, which "
        f"has members go on with weights between their own and fresh ones, but "
        f"{type(task).__name__} has none; write one, or use renew=False"
    )
