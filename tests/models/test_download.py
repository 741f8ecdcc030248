from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lift3d_ray.errors import BundleError, ConfigError
from lift3d_ray.models.download import ATTEMPTS, FetchedFile, RemoteFile, fetch, hub_url, open_client
from tests.models.file_server import Shelf, serving

DATA = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(DATA).hexdigest()
OTHER = DATA[:-1] + b"!"
NAME = "/weights/model.bin"


@pytest.fixture(autouse=True)
def _may_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with serving(Shelf(files={NAME: DATA})) as shelf:
        yield shelf


def get(
    shelf: Shelf,
    to: Path,
    *,
    size_bytes: int | None = len(DATA),
    sha256: str | None = SHA256,
    from_hub: bool = False,
    waits: list[float] | None = None,
    heard: list[int] | None = None,
) -> FetchedFile:
    file = RemoteFile(
        url=shelf.address + NAME, path=to / "model.bin", size_bytes=size_bytes, sha256=sha256, from_hub=from_hub
    )
    report = [] if heard is None else heard
    with open_client() as client:
        return fetch(file, client, report=report.append, sleep=([] if waits is None else waits).append)


def part(to: Path) -> Path:
    return to / "model.bin.part"


def test_a_file_arrives_whole_and_nothing_else_is_left(shelf: Shelf, tmp_path: Path) -> None:
    heard: list[int] = []
    fetched = get(shelf, tmp_path / "new", heard=heard)
    assert fetched == FetchedFile(path=tmp_path / "new" / "model.bin", size_bytes=len(DATA), sha256=SHA256)
    assert [p.name for p in fetched.path.parent.iterdir()] == ["model.bin"]
    assert fetched.path.read_bytes() == DATA
    assert sum(heard) == len(DATA)


def test_a_file_of_unknown_size_and_digest_is_measured(shelf: Shelf, tmp_path: Path) -> None:
    fetched = get(shelf, tmp_path, size_bytes=None, sha256=None)
    assert (fetched.size_bytes, fetched.sha256) == (len(DATA), SHA256)


def test_what_was_begun_is_gone_on_with(shelf: Shelf, tmp_path: Path) -> None:
    part(tmp_path).write_bytes(DATA[:1000])
    heard: list[int] = []
    assert get(shelf, tmp_path, heard=heard).path.read_bytes() == DATA
    assert shelf.ranges_asked == ["bytes=1000-"]
    assert sum(heard) == len(DATA) - 1000


def test_what_is_all_there_but_has_no_name_yet_is_not_sent_again(shelf: Shelf, tmp_path: Path) -> None:
    for size in (len(DATA), None):
        part(tmp_path).write_bytes(DATA)
        heard: list[int] = []
        assert get(shelf, tmp_path, size_bytes=size, heard=heard).path.read_bytes() == DATA
        assert heard == []


def test_a_connection_that_ends_early_is_taken_up_where_it_ended(shelf: Shelf, tmp_path: Path) -> None:
    shelf.cut_at = [5000, 70_000]
    waits: list[float] = []
    assert get(shelf, tmp_path, waits=waits).path.read_bytes() == DATA
    assert shelf.ranges_asked == [None, "bytes=5000-", "bytes=70000-"]
    assert waits == [1.0, 2.0]


def test_a_server_that_sends_no_parts_is_heard_from_the_start(shelf: Shelf, tmp_path: Path) -> None:
    shelf.ranges = False
    part(tmp_path).write_bytes(b"x" * 1000)
    heard: list[int] = []
    assert get(shelf, tmp_path, heard=heard).path.read_bytes() == DATA
    assert sum(heard) == len(DATA) - 1000


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_passing_refusal_is_waited_out(shelf: Shelf, tmp_path: Path, status: int) -> None:
    shelf.faults = [status, status]
    assert get(shelf, tmp_path).path.read_bytes() == DATA


def test_a_lasting_refusal_ends_with_what_is_kept_and_where_it_belongs(shelf: Shelf, tmp_path: Path) -> None:
    part(tmp_path).write_bytes(DATA[:1000])
    shelf.faults = [503] * ATTEMPTS
    with pytest.raises(BundleError, match=r"the server answered 503.*1000 bytes are kept.*belongs at .*model.bin"):
        get(shelf, tmp_path)
    assert part(tmp_path).read_bytes() == DATA[:1000]
    assert not (tmp_path / "model.bin").exists()


@pytest.mark.parametrize(("status", "reason"), [(404, "no such file"), (401, "set HF_TOKEN"), (410, "cannot be had")])
def test_a_plain_no_is_not_asked_twice(shelf: Shelf, tmp_path: Path, status: int, reason: str) -> None:
    shelf.faults = [status]
    with pytest.raises(BundleError, match=f"answered {status}: .*{reason}"):
        get(shelf, tmp_path)
    assert len(shelf.asked) == 1
    assert list(tmp_path.iterdir()) == []


def test_no_server_at_all_is_said(tmp_path: Path) -> None:
    with serving(Shelf(files={})) as gone:
        pass
    waits: list[float] = []
    with pytest.raises(BundleError, match=r"could not be fetched in 5 attempts \(.*refused"):
        get(gone, tmp_path, waits=waits)
    assert len(waits) == ATTEMPTS - 1


@pytest.mark.parametrize(
    ("data", "size_bytes", "wrong"),
    [
        (OTHER, len(DATA), f"SHA-256 {hashlib.sha256(OTHER).hexdigest()}, wanted {SHA256}"),
        (DATA + b"more", len(DATA), f"{len(DATA) + 4} bytes, wanted {len(DATA)}"),
        (b"<html>please log in</html>", None, "SHA-256 .*, wanted"),
    ],
)
def test_another_file_than_the_published_one_is_not_kept(
    shelf: Shelf, tmp_path: Path, data: bytes, size_bytes: int | None, wrong: str
) -> None:
    shelf.files[NAME] = data
    with pytest.raises(BundleError, match=wrong):
        get(shelf, tmp_path, size_bytes=size_bytes)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_stays_too_short_is_no_file(shelf: Shelf, tmp_path: Path) -> None:
    shelf.files[NAME] = DATA[:5000]
    with pytest.raises(BundleError, match=f"more than there are|after 5000 of {len(DATA)} bytes"):
        get(shelf, tmp_path)
    assert not (tmp_path / "model.bin").exists()


def test_the_beginning_of_another_edition_is_thrown_away(shelf: Shelf, tmp_path: Path) -> None:
    part(tmp_path).write_bytes(b"x" * 1000)
    heard: list[int] = []
    assert get(shelf, tmp_path, heard=heard).path.read_bytes() == DATA
    assert shelf.ranges_asked == ["bytes=1000-", None]
    assert sum(heard) == len(DATA) - 1000


def test_two_pulls_do_not_write_one_file(shelf: Shelf, tmp_path: Path) -> None:
    import fcntl

    with part(tmp_path).open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BundleError, match="another pull"):
            get(shelf, tmp_path)
    assert shelf.asked == []


def test_the_hub_says_digest_and_commit_before_it_hands_over(shelf: Shelf, tmp_path: Path) -> None:
    with serving(Shelf(files={NAME: OTHER})) as store:
        shelf.moved[NAME] = store.address + NAME
        shelf.headers = {"X-Linked-Etag": f'"{SHA256}"', "X-Repo-Commit": "c0ffee"}
        with pytest.raises(BundleError, match=f"wanted {SHA256}"):
            get(shelf, tmp_path, sha256=None, from_hub=True)
        store.files[NAME] = DATA
        assert get(shelf, tmp_path, sha256=None, from_hub=True).commit == "c0ffee"


def test_a_token_is_shown_to_the_hub_only(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serving(Shelf(files={NAME: DATA})) as store:
        shelf.moved[NAME] = store.address.replace("127.0.0.1", "localhost") + NAME
        get(shelf, tmp_path, from_hub=True)
        get(store, tmp_path / "plain")
        assert [asked[2] for asked in shelf.asked] == ["Bearer hf_secret"]
        assert [asked[2] for asked in store.asked] == [None, None]


def test_addresses_on_the_hub_and_on_a_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert hub_url("org/model", "unet/config.json") == "https://huggingface.co/org/model/resolve/main/unet/config.json"
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror:8080/")
    assert hub_url("org/model", "a b.json", "refs/pr/1") == "http://mirror:8080/org/model/resolve/refs%2Fpr%2F1/a%20b.json"
    monkeypatch.setenv("HF_ENDPOINT", "mirror")
    with pytest.raises(ConfigError, match="HF_ENDPOINT is 'mirror'"):
        hub_url("org/model", "config.json")


def test_a_proxy_is_gone_through(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.files[f"http://models.example{NAME}"] = DATA
    monkeypatch.setenv("HTTP_PROXY", shelf.address)
    file = RemoteFile(url=f"http://models.example{NAME}", path=tmp_path / "model.bin", sha256=SHA256)
    with open_client() as client:
        assert fetch(file, client).path.read_bytes() == DATA


def test_nothing_is_fetched_where_the_environment_forbids_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match="HF_HUB_OFFLINE"), open_client():
        pass


def test_a_circle_of_redirects_is_said(shelf: Shelf, tmp_path: Path) -> None:
    shelf.moved[NAME] = shelf.address + NAME
    with pytest.raises(BundleError, match=r"cannot be fetched: .*redirects"):
        get(shelf, tmp_path)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys
from pathlib import Path
from lift3d_ray.models.download import RemoteFile, fetch, open_client
with open_client() as client:
    fetch(RemoteFile(url=sys.argv[1], path=Path(sys.argv[2])), client)
"""


def test_a_killed_pull_goes_on_where_it_was_killed(shelf: Shelf, tmp_path: Path) -> None:
    shelf.stall_at = 3 << 18
    arguments = [sys.executable, "-c", KILLED, shelf.address + NAME, str(tmp_path / "model.bin")]
    with subprocess.Popen(arguments) as pulling:
        assert shelf.stalled.wait(60)
        deadline = time.monotonic() + 60
        while not (part(tmp_path).exists() and part(tmp_path).stat().st_size == shelf.stall_at):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        pulling.kill()
    assert not (tmp_path / "model.bin").exists()
    kept, shelf.stall_at = shelf.stall_at, None
    assert get(shelf, tmp_path).path.read_bytes() == DATA
    assert shelf.ranges_asked == [None, f"bytes={kept}-"]
