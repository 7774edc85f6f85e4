"""What tests of ramet, and of what is built on it, are written with.

``ramet.testing.store`` holds the contract that every store passes; it needs pytest.
"""

from ramet.testing.clock import FakeClock
from ramet.testing.processes import FakeProcesses
from ramet.testing.quadratic import QUADRATIC_SPACE, Quadratic, SampledQuadratic
from ramet.testing.toys import TOY_SPACE, TOY_START, Drift, Toy

__all__ = [
    "QUADRATIC_SPACE",
    "TOY_SPACE",
    "TOY_START",
    "Drift",
    "FakeClock",
    "FakeProcesses",
    "Quadratic",
    "SampledQuadratic",
    "Toy",
]
