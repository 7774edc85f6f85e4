"""Errors for tasks and populations that cannot be trained as one program."""

from ramet.errors import UsageError


def too_large(count: int, size: int) -> UsageError:
    """Return the error for a population that leaves no memory to train even one member.

    Args:
        count: How many members there are.
        size: The bytes of one state.
    """
    return UsageError(
        f"a population must fit its device, but not even one member at a time can be trained "
        f"beside the states of all {count}, {size:,} bytes each, of which there are several copies "
        f"while members copy one another and train; have fewer members, spread them over more "
        f"devices, or train in worker processes"
    )


def step_changed(difference: str) -> UsageError:
    """Return the error for a step that returns a state of another structure."""
    return UsageError(
        f"a task's step must return a state like that of init, with the same names, shapes and "
        f"kinds of numbers, but {difference}; change it in init, or cast it back in step"
    )


def check_task(functions: object, protocol: type, methods: str) -> None:
    """Refuse functions without the methods of a task."""
    if isinstance(functions, type) or not isinstance(functions, protocol):
        raise UsageError(
            f"a task must be made of an object with the methods {methods}, but got {functions!r}"
        )
