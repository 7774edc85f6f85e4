"""Settings of the tests of callbacks."""

import pytest


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Keep tests that run beside each other out of each other's way."""
    pytest.importorskip("torch").set_num_threads(1)
