from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from lift3d_ray.errors import NotHere, UnreadablePhoto
from lift3d_ray.export import write
from lift3d_ray.service.files import MEDIA_TYPES, PICTURES, JobFiles
from lift3d_ray.service.jobs import Job, JobResult, JobState, LiftOrder
from lift3d_ray.store.files import Folder, open_folder

JOB = Job(
    id="0" * 32,
    owner="local",
    order=LiftOrder(),
    picture_digest="a" * 64,
    picture_bytes=1,
    batch="",
    state=JobState.SUCCEEDED,
    stage="export",
    step=1,
    steps=1,
    progress=1.0,
    attempt=1,
    cancel_asked=False,
    version=5,
    created_at=1.0,
    started_at=2.0,
    finished_at=3.0,
    error_code="",
    error_message="",
    result=JobResult(folders=("assets/cat",)),
)


@pytest.fixture(params=["local", "object store"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> JobFiles:
    if request.param == "local":
        root = open_folder(str(tmp_path / "out"))
    else:
        store = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
        root = Folder(filesystem=store, path="bucket/out", address="test://bucket/out")
    root.create()
    return JobFiles(root=root)


def test_every_file_of_an_asset_has_a_media_type() -> None:
    names = {value for name, value in vars(write).items() if name.isupper() and isinstance(value, str)}
    assert names == set(MEDIA_TYPES)


def test_a_file_goes_out_whole_and_in_parts(files: JobFiles) -> None:
    data = bytes(range(256)) * 3000
    files.root.write("assets/cat/asset.glb", data)
    files.root.write("assets/cat/result.json", b"{}")
    found = files.find(JOB, "asset.glb")
    assert (found.media_type, found.size, found.name) == ("model/gltf-binary", len(data), "asset.glb")
    assert b"".join(files.read(found)) == data
    assert b"".join(files.read(found, 100, 700_001)) == data[100:700_001]
    assert files.names(JOB) == ["asset.glb", "result.json"]


def test_other_bytes_have_another_tag(files: JobFiles) -> None:
    files.root.write("assets/cat/asset.glb", b"one")
    first = files.find(JOB, "asset.glb")
    assert files.find(JOB, "asset.glb").etag == first.etag
    files.root.write("assets/cat/asset.glb", b"two")
    os.utime(_on_disk(files, first.path), (1, 1))
    assert files.find(JOB, "asset.glb").etag != first.etag


def _on_disk(files: JobFiles, path: str) -> str:
    base = getattr(files.root.filesystem, "base_path", "")
    return f"{base}/{path}" if base else path


def test_several_assets_are_numbered(files: JobFiles) -> None:
    files.root.write("assets/a/asset.glb", b"one")
    files.root.write("assets/b/asset.glb", b"two")
    both = replace(JOB, result=JobResult(folders=("assets/a", "assets/b")))
    assert files.names(both) == ["1/asset.glb", "2/asset.glb"]
    assert b"".join(files.read(files.find(both, "2/asset.glb"))) == b"two"
    assert b"".join(files.read(files.find(both, "asset.glb"))) == b"one"
    with pytest.raises(NotHere):
        files.find(both, "3/asset.glb")


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../cat/asset.glb",
        "1/../asset.glb",
        "/etc/passwd",
        "assets/cat/asset.glb",
        "asset.glb/",
        "asset.glb\x00",
        "asset.glb\n",
        "ASSET.GLB",
        "secret.txt",
        "0/asset.glb",
        "01/asset.glb",
        "99999/asset.glb",
        "..%2fasset.glb",
        "%2e%2e/asset.glb",
        "..\\asset.glb",
        "preview-1.jpg/../../x",
        "preview-.jpg",
        "preview-1.svg",
        "a" * 5000,
        "points.ply",
    ],
)
def test_names_that_are_not_on_the_list_are_not_here(files: JobFiles, name: str) -> None:
    files.root.write("assets/cat/asset.glb", b"one")
    files.root.write("assets/cat/secret.txt", b"secret")
    with pytest.raises(NotHere):
        files.find(JOB, name)


def test_previews_come_and_go(files: JobFiles) -> None:
    assert files.write_preview(JOB.id, 3, b"jpeg") == "preview-3.jpg"
    found = files.find(JOB, "preview-3.jpg")
    assert (found.media_type, b"".join(files.read(found))) == ("image/jpeg", b"jpeg")
    with pytest.raises(NotHere):
        files.find(replace(JOB, id="1" * 32), "preview-3.jpg")
    files.delete_previews(JOB.id)
    files.delete_previews(JOB.id)
    with pytest.raises(NotHere):
        files.find(JOB, "preview-3.jpg")


def test_pictures_are_kept_once_an_owner(files: JobFiles) -> None:
    digest = files.keep_picture("local", b"png")
    assert files.keep_picture("local", b"png") == digest
    assert files.keep_picture("abc", b"png") == digest
    assert sorted((owner, kept) for owner, kept, _ in files.pictures()) == [("abc", digest), ("local", digest)]
    files.delete_picture("local", digest)
    files.delete_picture("local", digest)
    with pytest.raises(UnreadablePhoto, match="send it again"):
        files.picture("local", digest)
    assert files.picture("abc", digest) == b"png"
    files.root.write(f"{PICTURES}/abc/{digest}", b"damaged")
    with pytest.raises(UnreadablePhoto, match="damaged"):
        files.picture("abc", digest)


@pytest.mark.parametrize("owner", ["../x", "", "A", "a/b"])
def test_odd_owners_have_no_pictures(files: JobFiles, owner: str) -> None:
    with pytest.raises(NotHere):
        files.picture(owner, "a" * 64)


@pytest.mark.parametrize("digest", ["../../x", "", "A" * 64, "a" * 63])
def test_odd_digests_are_no_pictures(files: JobFiles, digest: str) -> None:
    with pytest.raises(NotHere):
        files.picture("local", digest)


def test_bytes_of_results_are_counted(files: JobFiles) -> None:
    files.root.write("assets/a/asset.glb", b"12345")
    files.root.write("assets/b/asset.glb", b"123")
    assert files.stored_bytes(("assets/a", "assets/b")) == 8
