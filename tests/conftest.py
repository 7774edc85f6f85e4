"""Settings of every test."""

import contextlib
import signal

import pytest
from hypothesis import settings

# A busy machine is no failure.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(autouse=True, scope="session")
def _take_ctrl_c() -> None:
    """Take SIGINT, as processes that tests start then do: a shell's background jobs ignore it."""
    with contextlib.suppress(ValueError):  # Not in the main thread.
        signal.signal(signal.SIGINT, signal.default_int_handler)
