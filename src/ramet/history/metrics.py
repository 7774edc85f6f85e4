"""Read metrics from a log."""

from collections.abc import Iterable, Iterator

from ramet.errors import UsageError
from ramet.events import AnyEvent, TurnEnded
from ramet.history.turns import Key
from ramet.series import MetricValues, Steps


def curves_of(turn: TurnEnded) -> Iterator[tuple[str, Steps, MetricValues]]:
    """Yield each metric of a turn: its name, steps and values."""
    for series in turn.metrics:
        yield from series.curves()


def metric_names(events: Iterable[AnyEvent]) -> list[str]:
    """Return the names of a run's metrics, sorted."""
    return sorted(
        {
            name
            for event in events
            if isinstance(event, TurnEnded)
            for series in event.metrics
            for name in series.names
        }
    )


def metric(events: Iterable[AnyEvent], name: str) -> dict[Key, tuple[Steps, MetricValues]]:
    """Return the steps and values of one metric in each turn that logged it."""
    events = list(events)
    found = {
        (event.member, event.turn): (steps, values)
        for event in events
        if isinstance(event, TurnEnded)
        for logged, steps, values in curves_of(event)
        if logged == name
    }
    if not found:
        raise UsageError(
            f"a metric must be one that the run logged, {metric_names(events)}, but got {name!r}; "
            f"turn.log({name}=...) logs it"
        )
    return found
