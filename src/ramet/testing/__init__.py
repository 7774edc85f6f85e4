"""What tests of ramet, and of what is built on it, are written with.

``ramet.testing.store`` holds the contract that every store passes; it needs pytest.
"""

from ramet.testing.clock import FakeClock
from ramet.testing.toys import TOY_SPACE, TOY_START, Drift, Toy

__all__ = ["TOY_SPACE", "TOY_START", "Drift", "FakeClock", "Toy"]
