"""What is released names one version, and the files for a forge are what it can read."""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tools.release import IN_SDIST, find_faults, find_faults_in_archives, read_version

ROOT = Path(__file__).parents[1]


def test_the_version_is_the_same_everywhere() -> None:
    assert list(find_faults(ROOT)) == []


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("pyproject.toml", '[project]\nversion = "0.2.0.dev0"\n', "a release needs a version"),
        ("CHANGELOG.md", "# Changes\n\n## Unreleased\n", "no section '## 0.2.0 (year"),
        ("CHANGELOG.md", "## 0.2.0\n", "has no date"),
        ("CITATION.cff", "version: 0.1.0\n", "the version must be 0.2.0, but is 0.1.0"),
    ],
)
def test_a_file_that_names_another_version_is_a_fault(
    tmp_path: Path, file: str, text: str, fault: str
) -> None:
    whole = {
        "pyproject.toml": '[project]\nversion = "0.2.0"\n',
        "CHANGELOG.md": "## 0.2.0 (2027-01-31)\n",
        "CITATION.cff": "version: 0.2.0\n",
    }
    for name, its in whole.items():
        (tmp_path / name).write_text(its)
    assert list(find_faults(tmp_path)) == []
    (tmp_path / file).write_text(text)
    assert any(fault in line for line in find_faults(tmp_path))


def test_archives_that_lack_a_file_or_have_one_too_many_are_faults(tmp_path: Path) -> None:
    version = read_version(ROOT)
    with zipfile.ZipFile(tmp_path / f"ramet-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("ramet/py.typed", "")
        wheel.writestr("tests/conftest.py", "")
    with tarfile.open(tmp_path / f"ramet-{version}.tar.gz", "w:gz") as sdist:
        sdist.add(ROOT / "LICENSE", f"ramet-{version}/LICENSE")
    (tmp_path / "ramet-0.0.1.tar.gz").touch()
    faults = "\n".join(find_faults_in_archives(tmp_path, ROOT))
    for fault in (
        "ramet-0.0.1.tar.gz: not an archive of version",
        "ramet/store/sql/schema/0008.sql is missing",
        "ramet/store/postgres/sql/removing.sql is missing",
        "tests/conftest.py must not be in it",
        f"{IN_SDIST[0]} is missing",
    ):
        assert fault in faults
    assert "py.typed is missing" not in faults


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("vendor.github-workflows", ".github/workflows/*.yml"),
        ("vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
        ("vendor.github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
        ("vendor.citation-file-format", "CITATION.cff"),
    ],
)
def test_files_for_a_forge_are_as_their_schema_has_them(schema: str, pattern: str) -> None:
    pytest.importorskip("check_jsonschema", reason="needs check-jsonschema")
    files = sorted(map(str, ROOT.glob(pattern)))
    assert files
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *files]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_the_lock_file_has_versions_alone_and_agrees_with_the_pinned_frameworks() -> None:
    lines = (ROOT / ".ci/constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!]+", line) for line in lines)
    locked = dict(line.lower().replace("_", "-").split("==") for line in lines)
    pinned = re.findall(
        r'^  "([a-z0-9-]+)==([0-9.]+)[";]', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert pinned
    assert [(name, locked[name]) for name, _ in pinned] == pinned
