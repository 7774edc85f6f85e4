"""Reports that several tests read."""

from pathlib import Path

import pytest

import ramet
from ramet import report
from tests.report.runs import Loss, finished


@pytest.fixture(scope="session")
def result(tmp_path_factory: pytest.TempPathFactory) -> ramet.Result:
    """A run in a file, of something that is to be low, and its replays."""
    store = tmp_path_factory.mktemp("report") / "runs.db"
    result = finished(Loss(), mode="min", store=ramet.Storage(store, durability="process"))
    ramet.replay(Loss(), result.schedule(), seeds=[0, 1, 2], store=store)
    return result


@pytest.fixture(scope="session")
def page(result: ramet.Result) -> str:
    return report.page(result)


@pytest.fixture(scope="session")
def written(page: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("written") / "report.html"
    path.write_text(page)
    return path
