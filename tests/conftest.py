"""Settings of every test."""

import pytest
from hypothesis import settings

from tests import signals

# A busy machine is no failure. `pytest --hypothesis-profile thorough` tries more.
settings.register_profile("unhurried", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile("unhurried")


@pytest.fixture(autouse=True, scope="session")
def _signals() -> None:
    """Have the processes that tests start end at the signals that tests send."""
    signals.restore()
