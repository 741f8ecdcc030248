from __future__ import annotations

import pytest

from lift3d_ray.service.ranges import RangeNotHere, is_known, wanted_range

TAG = '"abc"'


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-9", 0, 10),
        ("bytes=90-", 90, 100),
        ("bytes=90-1000", 90, 100),
        ("bytes=-10", 90, 100),
        ("bytes=-1000", 0, 100),
        ("bytes= 1 - 2 ", 1, 3),
    ],
)
def test_one_part_is_cut_out(header: str, start: int, stop: int) -> None:
    part = wanted_range(header, 100, etag=TAG)
    assert part is not None
    assert (part.start, part.stop, part.length) == (start, stop, stop - start)
    assert part.content_range == f"bytes {start}-{stop - 1}/100"


@pytest.mark.parametrize(
    "header",
    [None, "", "bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,5-6", "bytes=a-b", "items=0-1", "bytes=--1",
     "bytes=1e2-", "bytes=" + "9" * 30 + "-", "bytes=٣-"],
)  # fmt: skip
def test_what_is_not_understood_gives_the_whole_file(header: str | None) -> None:
    assert wanted_range(header, 100, etag=TAG) is None


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=100-", 100), ("bytes=200-300", 100), ("bytes=-0", 100), ("bytes=0-", 0)]
)
def test_a_part_behind_the_end_is_refused(header: str, size: int) -> None:
    with pytest.raises(RangeNotHere, match=f"{size} bytes"):
        wanted_range(header, size, etag=TAG)


def test_a_part_of_another_version_is_not_cut() -> None:
    assert wanted_range("bytes=0-9", 100, etag=TAG, if_range=TAG) is not None
    for other in ('"other"', 'W/"abc"', "Wed, 21 Oct 2015 07:28:00 GMT"):
        assert wanted_range("bytes=0-9", 100, etag=TAG, if_range=other) is None


@pytest.mark.parametrize(
    ("header", "known"),
    [(None, False), ("", False), (TAG, True), ('"x", W/"abc"', True), ("*", True), ('"x"', False), ("abc", False)],
)
def test_known_versions(header: str | None, known: bool) -> None:
    assert is_known(TAG, header) is known
