"""Tools for tests of ramet, and of stores, blobs and strategies of your own.

``ramet.testing.store.StoreContract`` and ``ramet.testing.blobs.BlobsContract`` are the tests that
every store and all blobs must pass. They need pytest.
"""

from ramet.testing.clock import FakeClock
from ramet.testing.deceptive import DECEPTIVE_SPACE, Deceptive
from ramet.testing.processes import FakeProcesses
from ramet.testing.quadratic import QUADRATIC_SPACE, Quadratic, SampledQuadratic
from ramet.testing.toys import TOY_SPACE, TOY_START, Drift, Toy

__all__ = [
    "DECEPTIVE_SPACE",
    "QUADRATIC_SPACE",
    "TOY_SPACE",
    "TOY_START",
    "Deceptive",
    "Drift",
    "FakeClock",
    "FakeProcesses",
    "Quadratic",
    "SampledQuadratic",
    "Toy",
]
