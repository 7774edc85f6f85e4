"""Object storage that fails: what is tried again, and what the errors say, without secrets."""

import pickle
import random
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

pytest.importorskip("obstore", reason="needs obstore: pip install 'ramet[cloud]'")

from ramet.blobs import ObjectBlobs, bucket, connecting, patience
from ramet.blobs.address import parse
from ramet.blobs.cloud_refusals import Doing
from ramet.digest import digest
from ramet.errors import (
    CheckpointDamaged,
    CheckpointMissing,
    StoreError,
    StoreReadOnly,
    UsageError,
)
from ramet.testing.blobs import keep, key_of
from tests.cloud import proxy
from tests.cloud.proxy import PART_S, PARTS, Fault, Proxy
from tests.cloud.servers import ACCESS_KEY, BUCKET, SECRET, AzureServer, Server, boto

PATIENCE_S = 0.4
CALLS: dict[str, Callable[[ObjectBlobs], object]] = {
    "put": lambda blobs: keep(blobs, b"abc"),
    "get": lambda blobs: blobs.get("lm", key_of(b"abc")),
    "ranges": lambda blobs: blobs.get_ranges("lm", key_of(b"abc"), [(0, 1)]),
    "sizes": lambda blobs: blobs.sizes("lm"),
    "delete": lambda blobs: blobs.delete("lm", [key_of(b"abc")]),
    "expect": lambda blobs: blobs.expect("lm", kept=True),
    "attach": lambda blobs: blobs.attach("lm", "this"),
}
all_calls = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@pytest.fixture
def through(s3: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy in front of the server, which the environment leads to."""
    with proxy.proxy(s3) as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.endpoint)
        yield made


def open_at(url: str, patience_s: float = 20) -> ObjectBlobs:
    return ObjectBlobs(url, cache_bytes=0, patience_s=patience_s)


@pytest.mark.parametrize("fault", ["500", "503", "torn", "silent", "hang up"])
def test_a_server_that_fails_now_and_then_is_asked_again(
    through: Proxy, url: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "SILENCE", timedelta(seconds=0.4))
    blobs, drawn = open_at(url), random.getstate()
    through.fail_every(3, fault)

    keys = [keep(blobs, bytes([turn]) * 50_000, turn=turn) for turn in range(8)]
    assert [bytes(blobs.get("lm", key)) for key in keys] == [bytes([n]) * 50_000 for n in range(8)]
    assert blobs.sizes("lm") == dict.fromkeys(keys, 50_000)
    blobs.delete("lm", keys[:4])
    assert blobs.sizes("lm") == dict.fromkeys(keys[4:], 50_000)
    assert random.getstate() == drawn


def test_a_slow_answer_is_waited_for_as_long_as_it_goes_on(
    through: Proxy, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = keep(open_at(url), b"abc" * 10_000)
    before = len(through.seen)
    # Each part comes soon enough, all of them do not.
    monkeypatch.setattr(connecting, "SILENCE", timedelta(seconds=PARTS * PART_S / 2))
    through.fail_all("slow")

    assert bytes(open_at(url).get("lm", key)) == b"abc" * 10_000
    assert len(through.seen) == before + 1


def test_parts_of_a_large_state_are_sent_again(through: Proxy, url: str) -> None:
    blobs, state = open_at(url), bytes(range(256)) * 160_000
    through.fail_every(3, "503")

    assert bytes(blobs.get("lm", keep(blobs, state))) == state
    assert [method for method, path in through.seen if "partNumber" in path].count("PUT") > 3


def test_a_large_state_does_not_begin_anew_after_a_short_outage(
    through: Proxy, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (bucket, patience):
        monkeypatch.setattr(module, "CLIENT_S", 0.05)
    began: list[float] = []

    def fail(method: str, path: str) -> Fault | None:
        if "partNumber=2" not in path:
            return None
        began.append(time.monotonic())
        return "503" if began[-1] - began[0] < 1 else None

    through.fail = fail
    keep(open_at(url), bytes(range(256)) * 160_000)
    assert [method for method, path in through.seen if "uploads" in path] == ["POST"]


def test_what_went_well_before_an_outage_is_not_counted_as_failing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PAUSE_S", 0.0)
    waits = patience.Patience(parse("s3://bucket"), Doing.READ, 12.0, client_s=5.0)

    assert [waits.wait("it broke", took_s=100.0) for _ in range(3)] == [True, True, False]
    assert ["for 5 s: it broke" in said for said in caplog.messages] == [True, False]


def test_an_answer_that_is_too_short_is_fetched_again(through: Proxy, url: str) -> None:
    blobs = open_at(url)
    key = keep(blobs, b"abc" * 1000)
    through.fail_every(2, "short")

    assert all(bytes(blobs.get("lm", key)) == b"abc" * 1000 for _ in range(5))


@all_calls
def test_a_server_that_fails_for_good_ends_the_call_when_patience_does(
    through: Proxy, url: str, call: Callable[[ObjectBlobs], object]
) -> None:
    through.fail_all("503")

    with pytest.raises(StoreError, match=r"tried for up to 0.4 s: HTTP status 503") as raised:
        call(open_at(url, PATIENCE_S))
    assert type(raised.value) is StoreError


def test_an_owner_that_arrives_too_short_is_read_again(through: Proxy, url: str) -> None:
    open_at(url).attach("lm", "this")
    through.fail_every(2, "short")

    for _ in range(4):
        open_at(url).attach("lm", "this")


def test_a_process_says_that_it_waits_for_what_and_for_how_long(
    through: Proxy, url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (bucket, patience):
        monkeypatch.setattr(module, "CLIENT_S", 0.01)
    keep(open_at(url), b"abc")
    through.fail_all("503", "GET")

    with pytest.raises(StoreError, match="HTTP status 503"):
        open_at(url, patience_s=0.6).get("lm", key_of(b"abc"))
    said = caplog.messages[0]
    assert f"reading checkpoints in {url} has failed for 0 s: HTTP status 503" in said
    assert "tries again, for up to 1 s in all" in said


@all_calls
def test_a_server_that_is_not_there_is_named_as_such(
    s3: Server, url: str, call: Callable[[ObjectBlobs], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    with pytest.raises(StoreError, match=r"it cannot be reached\. Nothing is lost: see to the net"):
        call(open_at(url, PATIENCE_S))


@pytest.mark.parametrize("name", ["put", "get", "sizes", "delete", "attach"])
def test_a_bucket_that_does_not_exist_is_named(s3: Server, name: str) -> None:
    with pytest.raises(StoreError, match="there is no 'no-such-bucket'; create it") as raised:
        CALLS[name](open_at("s3://no-such-bucket/runs"))
    assert not isinstance(raised.value, CheckpointMissing)


@pytest.mark.parametrize(
    ("name", "methods", "right", "kind"),
    [
        ("put", ["PUT"], "write objects", StoreReadOnly),
        ("get", ["GET"], "read objects", StoreError),
        ("sizes", ["GET"], "list objects", StoreError),
        ("delete", ["POST", "DELETE"], "delete objects", StoreReadOnly),
    ],
)
def test_a_right_that_is_lacking_is_named(
    through: Proxy, url: str, name: str, methods: list[str], right: str, kind: type[StoreError]
) -> None:
    keep(open_at(url), b"abc")
    through.fail_all("403", *methods)

    with pytest.raises(kind, match=rf"must be allowed to {right} \(s3:\w+\), but .* AccessDenied"):
        CALLS[name](open_at(url))


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("AWS_ACCESS_KEY_ID", "NOBODY", "InvalidAccessKeyId"),
        ("AWS_SECRET_ACCESS_KEY", "wrong", "SignatureDoesNotMatch"),
    ],
)
def test_credentials_that_the_server_does_not_know_are_refused(
    seaweed: Server, url: str, name: str, value: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, right in {**seaweed.environment, name: value}.items():
        monkeypatch.setenv(variable, right)

    with pytest.raises(StoreError, match=rf"it does not \(HTTP status 403, {code}\); correct AWS"):
        keep(open_at(url), b"abc")


def test_azure_names_a_wrong_key_and_a_container_that_does_not_exist(
    azurite: AzureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in azurite.environment.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(StoreError, match="there is no 'no-such-container'; create it"):
        keep(open_at("az://no-such-container/runs"), b"abc")

    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "b3RoZXI=")
    with pytest.raises(StoreError, match=r"write objects \(the role Storage .*HTTP status 403"):
        keep(open_at(f"az://{BUCKET}/runs"), b"abc")


def test_credentials_that_are_not_there_are_asked_for(
    s3: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")

    with pytest.raises(StoreError, match="this process has none; set AWS_ACCESS_KEY_ID and"):
        keep(open_at(url, PATIENCE_S), b"abc")


@pytest.mark.parametrize(
    ("url", "variables", "said"),
    [
        ("s3://bucket/runs", {"AWS_ENDPOINT_URL": "not a URL"}, "one of them cannot be"),
        ("gs://bucket/runs", {"GOOGLE_APPLICATION_CREDENTIALS": "/none"}, "one of them cannot be"),
        ("az://box/runs", {}, "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"),
    ],
)
def test_settings_of_the_environment_that_cannot_be_are_refused(
    s3: Server, url: str, variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(StoreError, match=said):
        open_at(url, PATIENCE_S).sizes("lm")


@pytest.mark.parametrize("fault", ["403", "500"])
@all_calls
def test_no_secret_is_in_an_error_or_its_traceback(
    through: Proxy, url: str, call: Callable[[ObjectBlobs], object], fault: Fault
) -> None:
    through.fail_all(fault)
    blobs = open_at(url, PATIENCE_S)

    with pytest.raises(StoreError) as raised:
        call(blobs)
    error = raised.value
    said = "".join(traceback.format_exception(error)) + repr(error) + repr(blobs)
    # The server repeated the request, in which the names of keys are.
    assert all(part not in said for part in (SECRET, ACCESS_KEY, "Signature=", "StringToSign"))
    assert error.__context__ is error.__cause__ is None


def test_no_secret_travels_with_blobs_to_other_processes(s3: Server, url: str) -> None:
    packed = pickle.dumps(blobs := open_at(url))
    key = keep(blobs, b"abc")

    assert bytes(pickle.loads(packed).get("lm", key)) == b"abc"  # noqa: S301 - ours
    assert all(part not in packed for part in (SECRET.encode(), ACCESS_KEY.encode()))


def test_an_object_that_was_changed_is_damaged(s3: Server, url: str) -> None:
    blobs = open_at(url)
    key = keep(blobs, b"abc")
    name = f"{url.removeprefix(f's3://{BUCKET}/')}/lm/{key}.safetensors"
    boto(s3).put_object(Bucket=BUCKET, Key=name, Body=b"abd")

    with pytest.raises(CheckpointDamaged, match=f"{key} of run 'lm', 3 bytes in {url}/lm"):
        blobs.get("lm", key)


def test_a_huge_object_is_refused_before_it_is_read(s3: Server, url: str) -> None:
    blobs, state = open_at(url), bytes(70_000_000)
    key = f"1-1-{digest([state])}"
    blobs.put("lm", key, [state])

    with pytest.raises(CheckpointDamaged, match="its 70,000,000 bytes are no checkpoint"):
        blobs.get("lm", key)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("s3:/bucket/runs", "'s3:' is not followed by two slashes; write 's3://'"),
        ("S4://bucket/runs", "begins with 'S4': did you mean 's3://'"),
        ("gcs://bucket", "begins with 'gcs': did you mean 'gs://'"),
        ("https://bucket/runs", "begins with 'https'"),
        ("runs", "such as DirectoryBlobs.*, but got text without a scheme"),
        ("s3://", "must name a bucket, as in 's3://name/prefix', but '' is no name"),
        ("az://_/runs", "must name a container"),
        ("s3://bucket/a/../b", r"one of its parts is '\.\.'"),
        ("s3://bucket/a b", "one of its parts is 'a b'"),
    ],
)
def test_a_url_that_cannot_be_is_refused_with_how_to_write_it(wrong: str, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        ObjectBlobs(wrong)


@pytest.mark.parametrize(
    "url",
    [
        f"s3://{ACCESS_KEY}:{SECRET}@bucket/runs",
        f"az://box/runs?sig={SECRET}",
        f"gs://b/r#{SECRET}",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(StoreError, match="Give credentials and the endpoint by the env") as raised:
        ObjectBlobs(url)
    assert SECRET not in str(raised.value)


def test_without_the_extra_the_error_says_how_to_install_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)

    with pytest.raises(UsageError, match=r"install it: pip install 'ramet\[cloud\]'"):
        ObjectBlobs(url).sizes("lm")
