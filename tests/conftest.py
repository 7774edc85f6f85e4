"""Settings of every test."""

import pytest
from hypothesis import settings

from tests import signals

# A busy machine is no failure.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(autouse=True, scope="session")
def _signals() -> None:
    """Have the processes that tests start end at the signals that tests send."""
    signals.restore()
