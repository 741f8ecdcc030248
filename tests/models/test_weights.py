from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lift3d_ray.errors import BundleError, ConfigError
from lift3d_ray.models.bundle import Bundle, load_bundle
from lift3d_ray.models.catalog import bundle_spec, model_entry
from lift3d_ray.models.reference import reference, wanted_models
from lift3d_ray.models.weights import PullProgress, is_pulled, pull, weights_folder, write_bundle
from tests.models.file_server import Shelf
from tests.models.small_catalog import HUB_FILES, REVISION, SAM, UNET, small_catalog


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    with small_catalog(tmp_path / "data", monkeypatch) as shelf:
        yield shelf


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return tmp_path / "weights"


def pull_all(weights: Path, *names: str) -> None:
    specs, entries = wanted_models(names or ["small"], [])
    pull(entries, weights)
    for spec in specs:
        write_bundle(spec, weights)


def load(weights: Path, name: str = "small", models: list[str] | None = None) -> Bundle:
    return load_bundle(reference(name, models or [], weights))


def test_a_pulled_bundle_opens_by_its_name(
    shelf: Shelf, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull_all(weights)
    monkeypatch.setenv("LIFT3D_WEIGHTS", str(weights))
    bundle = load_bundle("small")
    assert (bundle.name, bundle.image_size, bundle.latent_pack) == ("small", 64, 1)
    assert bundle.path("unet") == weights / "models" / "small-prior" / "unet"
    assert bundle.path("segmenter") == weights / "models" / "small-sam"
    assert (bundle.path("unet") / "a.safetensors").read_bytes() == UNET
    assert load(weights).digest == bundle.digest


def test_the_folder_says_what_was_pulled(shelf: Shelf, weights: Path) -> None:
    pull_all(weights)
    said = json.loads((weights / "models" / "small-prior" / "pulled.json").read_text())
    assert said["entry"] == "small-prior"
    assert said["files"].keys() == HUB_FILES.keys()
    assert {fact["commit"] for fact in said["files"].values()} == {REVISION}
    assert not list(weights.rglob("*.part"))


def test_what_is_there_is_not_fetched_again(shelf: Shelf, weights: Path) -> None:
    pull_all(weights)
    asked = len(shelf.asked)
    pull_all(weights)
    assert len(shelf.asked) == asked == len(HUB_FILES) + 1
    (weights / "models" / "small-prior" / "unet" / "a.safetensors").unlink()
    pull_all(weights)
    assert len(shelf.asked) == asked + 1


def test_files_put_there_by_hand_are_verified_and_taken(
    shelf: Shelf, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for path, data in {**{f"small-prior/{k}": v for k, v in HUB_FILES.items()}, "small-sam/sam_small.pth": SAM}.items():
        (weights / "models" / path).parent.mkdir(parents=True, exist_ok=True)
        (weights / "models" / path).write_bytes(data)
    pull_all(weights)
    assert shelf.asked == []
    assert load(weights).name == "small"


def test_a_wrong_file_put_there_by_hand_is_refused(shelf: Shelf, weights: Path) -> None:
    place = weights / "models" / "small-sam" / "sam_small.pth"
    place.parent.mkdir(parents=True)
    place.write_bytes(SAM[:-1] + b"?")
    with pytest.raises(BundleError, match=r"sam_small\.pth has SHA-256 .*, wanted .*delete it and pull again"):
        pull([model_entry("small-sam")], weights)
    assert not is_pulled(model_entry("small-sam"), weights)


def test_offline_a_pull_names_every_missing_file_and_its_place(
    shelf: Shelf, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull([model_entry("small-sam")], weights)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError) as caught:
        pull_all(weights)
    said = str(caught.value)
    assert "HF_HUB_OFFLINE" in said
    for path in HUB_FILES:
        url = f"{shelf.address}/org/small/resolve/{REVISION}/{path}"
        assert f"{url}\n    -> {weights}/models/small-prior/{path}\n" in said + "\n"
    assert "sam_small.pth" not in said


def test_a_file_that_cannot_be_had_ends_the_pull_and_what_came_stays(shelf: Shelf, weights: Path) -> None:
    gone = f"/org/small/resolve/{REVISION}/vae/a.safetensors"
    del shelf.files[gone]
    with pytest.raises(BundleError, match=r"answered 404(.|\n)*Still missing(.|\n)*vae/a\.safetensors"):
        pull_all(weights)
    assert not is_pulled(model_entry("small-prior"), weights)
    with pytest.raises(BundleError, match=r"bundle 'small' is not whole .*small-prior.* not pulled.*models pull small"):
        load(weights)
    shelf.files[gone] = UNET
    before = {path for path, _, _ in shelf.asked} - {gone}
    shelf.asked.clear()
    pull_all(weights)
    assert gone in {path for path, _, _ in shelf.asked}
    assert before & {path for path, _, _ in shelf.asked} == set(), "what came before does not come again"
    assert load(weights).name == "small"


@pytest.mark.parametrize(
    ("harm", "wrong"),
    [
        (lambda file: file.write_bytes(UNET[:100]), r"a\.safetensors has 100 bytes, wanted \d+ bytes: pull again"),
        (lambda file: file.unlink(), r"a\.safetensors is missing, wanted"),
        (lambda file: file.with_name("b.safetensors.part").write_bytes(b"half"), "is half a file: pull again"),
        (lambda file: (file.parent.parent / "pulled.json").write_text("{"), "cannot be read as JSON"),
        (lambda file: (file.parent.parent / "pulled.json").write_text("{}"), "does not say what was pulled"),
    ],
)
def test_what_is_not_whole_any_more_is_not_used(shelf: Shelf, weights: Path, harm: object, wrong: str) -> None:
    pull_all(weights)
    assert callable(harm)
    harm(weights / "models" / "small-prior" / "unet" / "a.safetensors")
    with pytest.raises(BundleError, match=wrong):
        load(weights)


def test_another_model_in_a_role(shelf: Shelf, weights: Path) -> None:
    pull_all(weights)
    with pytest.raises(BundleError, match=r"other-sam not pulled.*pull small --model segmenter=other-sam --to"):
        load(weights, models=["segmenter=other-sam"])
    pull_all(weights, "other-sam")
    mixed = load(weights, models=["segmenter=other-sam"])
    assert mixed.name == "small+segmenter=other-sam"
    assert mixed.path("segmenter") == weights / "models" / "other-sam"
    assert mixed.path("unet") == load(weights).path("unet")
    assert mixed.digest == load(weights).digest, "the same bytes, whatever they are called"


def test_a_pulled_mix_needs_only_what_is_in_it(shelf: Shelf, weights: Path) -> None:
    specs, entries = wanted_models(["small"], ["segmenter=other-sam"])
    assert [entry.name for entry in entries] == ["other-sam", "small-prior"]
    pull(entries, weights)
    folder = write_bundle(specs[0], weights)
    assert load_bundle(folder).path("segmenter") == weights / "models" / "other-sam"


def test_a_published_model_in_the_embedded_bundle(shelf: Shelf, weights: Path) -> None:
    with pytest.raises(BundleError, match="small-sam is not pulled: lift3d-ray models pull small-sam"):
        load(weights, "toybox", ["segmenter=small-sam"])
    specs, entries = wanted_models(["toybox"], ["segmenter=small-sam"])
    assert (specs, [entry.name for entry in entries]) == ([], ["small-sam"])
    pull(entries, weights)
    mixed, plain = load(weights, "toybox", ["segmenter=small-sam"]), load_bundle()
    assert mixed.path("segmenter") == weights / "models" / "small-sam"
    assert {r: p for r, p in mixed.roles if r != "segmenter"} == {r: p for r, p in plain.roles if r != "segmenter"}
    assert mixed.digest != plain.digest


def test_another_prior_takes_along_what_only_the_old_one_could_use(shelf: Shelf, weights: Path) -> None:
    pull_all(weights, "small-prior")
    mixed = load(weights, "toybox", ["unet=small-prior"])
    assert mixed.image_size == 64
    assert mixed.path("vae") == weights / "models" / "small-prior" / "vae"
    assert mixed.optional_path("view_unet") is mixed.optional_path("controlnet") is None
    assert mixed.path("segmenter") == load_bundle().path("segmenter")


def test_a_role_may_be_left_empty() -> None:
    assert load_bundle().has_view_prior
    assert not load_bundle(reference("toybox", ["view_unet=none"])).has_view_prior


def test_the_digest_is_of_what_was_pulled(shelf: Shelf, weights: Path) -> None:
    pull_all(weights)
    before = load(weights).digest
    record = weights / "models" / "small-sam" / "pulled.json"
    facts = json.loads(record.read_text())
    facts["files"]["sam_small.pth"]["sha256"] = "0" * 64
    record.write_text(json.dumps(facts))
    assert load(weights).digest != before


@pytest.mark.parametrize(
    ("models", "error", "wrong"),
    [
        (["segmenter"], ConfigError, "ROLE=ENTRY"),
        (["segmenter=small-sam", "segmenter=other-sam"], ConfigError, "a role twice"),
        (["segmenter=huge-sam"], BundleError, "unknown model 'huge-sam'"),
        (["captioner=small-sam"], BundleError, "small-sam cannot be the captioner"),
    ],
)
def test_choices_that_make_no_sense(
    shelf: Shelf, models: list[str], error: type[Exception], wrong: str
) -> None:
    with pytest.raises(error, match=wrong):
        reference("small", models)


def test_a_plain_bundle_is_called_as_it_was(tmp_path: Path) -> None:
    assert reference("toybox") == "toybox"
    assert reference("/some/folder", [], tmp_path) == "/some/folder"


def test_a_full_disk_is_said_before_anything_is_fetched(
    shelf: Shelf, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(BundleError, match=r"GB free and .* GB are to be fetched"):
        pull_all(weights)
    assert shelf.asked == []


def test_a_pull_says_how_it_stands(shelf: Shelf, weights: Path) -> None:
    heard: list[PullProgress] = []
    pull([model_entry("small-sam")], weights, watch=heard.append)
    assert heard[0] == PullProgress(file="small-sam/sam_small.pth", done_bytes=0, size_bytes=len(SAM))
    assert heard[-1].done_bytes == len(SAM)


def test_where_pulled_models_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIFT3D_WEIGHTS", raising=False)
    assert weights_folder() == Path(os.path.expanduser("~/.cache/lift3d-ray"))
    monkeypatch.setenv("LIFT3D_WEIGHTS", str(tmp_path / "a"))
    assert weights_folder() == tmp_path / "a"
    assert weights_folder(tmp_path / "b") == tmp_path / "b"


def test_a_mirror_that_is_no_address_is_said(shelf: Shelf, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFT3D_MIRROR", "mirror")
    with pytest.raises(ConfigError, match="LIFT3D_MIRROR is 'mirror'"):
        pull([model_entry("small-sam")], weights)


def test_nothing_to_pull_by_that_name(shelf: Shelf) -> None:
    for name in ("toybox", "huge"):
        with pytest.raises(BundleError, match=f"'{name}' is nothing to pull: .*small"):
            wanted_models([name], [])


def test_a_published_bundle_is_spelt_out(shelf: Shelf, weights: Path) -> None:
    pull_all(weights)
    written = json.loads((weights / "bundles" / "small" / "bundle.json").read_text())
    assert written["roles"]["vae"] == "../../models/small-prior/vae"
    assert written["name"] == bundle_spec("small").name
