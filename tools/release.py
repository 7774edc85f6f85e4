"""Check what is about to be released: the version everywhere, and what is in the two archives.

    python -m tools.release               # the version in CHANGELOG.md and CITATION.cff
    python -m tools.release --dist dist   # the archives in this folder as well

Exits 1, with a line for each fault.
"""

import argparse
import re
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

# What a wheel must have beside modules of Python, and what no wheel may have.
IN_WHEEL = ("ramet/py.typed", "ramet/report/report.js", "ramet/store/sql/queries.sql")
NOT_IN_WHEEL = ("tests/", "benchmarks/", "tools/", "docs/")
IN_SDIST = (
    "README.md",
    "CHANGELOG.md",
    "CITATION.cff",
    "LICENSE",
    "SECURITY.md",
    "tests/conftest.py",
)
# A version that can be released: no .dev0 and no local part.
RELEASED = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?")


def read_version(root: Path) -> str:
    version: str = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    return version


def find_faults(root: Path) -> Iterator[str]:
    """Yield what is wrong with the files that name the version."""
    version = read_version(root)
    if not RELEASED.fullmatch(version):
        yield f"pyproject.toml: a release needs a version such as 0.1.0, but this is {version}"
    heading = re.search(
        rf"^## {re.escape(version)}( \(\d{{4}}-\d\d-\d\d\))?$",
        (root / "CHANGELOG.md").read_text(),
        re.MULTILINE,
    )
    if heading is None:
        yield f"CHANGELOG.md: no section '## {version} (year-month-day)'"
    elif heading[1] is None:
        yield f"CHANGELOG.md: the section '## {version}' has no date"
    cited = re.search(r"^version: (\S+)$", (root / "CITATION.cff").read_text(), re.MULTILINE)
    if cited is None or cited[1] != version:
        yield f"CITATION.cff: the version must be {version}, but is {cited and cited[1]}"


def find_faults_in_archives(dist: Path, root: Path) -> Iterator[str]:
    """Yield what is wrong with the wheel and the source archive in a folder."""
    version = read_version(root)
    wheel, sdist = dist / f"ramet-{version}-py3-none-any.whl", dist / f"ramet-{version}.tar.gz"
    for path in sorted(dist.iterdir()):
        if path not in {wheel, sdist}:
            yield f"{path}: not an archive of version {version}"
    if wheel.exists():
        with zipfile.ZipFile(wheel) as archive:
            yield from _compare(wheel, archive.namelist(), (*IN_WHEEL, *_list_scripts(root)))
            for name in archive.namelist():
                if name.startswith(NOT_IN_WHEEL):
                    yield f"{wheel}: {name} must not be in it"
    else:
        yield f"{wheel}: missing"
    if sdist.exists():
        with tarfile.open(sdist) as files:
            names = [name.partition("/")[2] for name in files.getnames()]
        yield from _compare(sdist, names, IN_SDIST)
    else:
        yield f"{sdist}: missing"


def _list_scripts(root: Path) -> Iterator[str]:
    """Yield all files of SQL: a store cannot be opened without each of them."""
    for path in sorted((root / "src").rglob("*.sql")):
        yield path.relative_to(root / "src").as_posix()


def _compare(archive: Path, there: Iterable[str], wanted: Iterable[str]) -> Iterator[str]:
    missing = set(wanted) - set(there)
    for name in sorted(missing):
        yield f"{archive}: {name} is missing"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path())
    parser.add_argument("--dist", type=Path)
    asked = parser.parse_args()
    faults = list(find_faults(asked.root))
    if asked.dist is not None:
        faults += find_faults_in_archives(asked.dist, asked.root)
    for fault in faults:
        print(fault)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
