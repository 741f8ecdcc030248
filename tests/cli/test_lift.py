from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image

import lift3d_ray.best_of
import lift3d_ray.export.write
import lift3d_ray.guidance.drawing
import lift3d_ray.lifting
import lift3d_ray.models.bundle
import lift3d_ray.stages
import lift3d_ray.subject.select
from lift3d_ray.cli.lift import read_selection
from lift3d_ray.cli.main import main
from lift3d_ray.cli.options import parse_box, parse_point
from lift3d_ray.errors import ConfigError, NoSubject
from lift3d_ray.models.tuning import Tuning
from lift3d_ray.store.keys import candidate_seeds, picture_seed, prompt_digest
from lift3d_ray.subject.select import AUTOMATIC
from lift3d_ray.types import Photo


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """400 x 200 pixels as it should be seen, stored lying on its side."""
    path = tmp_path / "mug.jpg"
    pixels = np.random.default_rng(0).integers(0, 255, (400, 200, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(pixels).save(path, exif=exif)
    return path


class Calls:
    """What the command asked of the library."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lifted: dict[str, Any] = {}
        self.written: dict[str, Any] = {}
        self.loaded: dict[str, Any] = {}
        self.error: Exception | None = None
        bundle = SimpleNamespace(name="toybox", digest="b1")
        monkeypatch.setattr(lift3d_ray.models.bundle, "load_bundle", lambda name: bundle)
        monkeypatch.setattr(lift3d_ray.models.bundle, "load_models", self.load)
        monkeypatch.setattr(lift3d_ray.lifting, "load_tools", lambda bundle, recipe, device: "tools")
        monkeypatch.setattr(lift3d_ray.best_of, "lift_best", self.lift)
        monkeypatch.setattr(lift3d_ray.export.write, "write_asset", self.write)

    def load(self, bundle: Any, **settings: Any) -> Any:
        self.loaded = settings
        return "models"

    def lift(self, photo: Any, models: Any, recipe: Any, **settings: Any) -> Any:
        self.lifted = {"photo": photo, "models": models, "recipe": recipe, **settings}
        if self.error:
            raise self.error
        return SimpleNamespace(perception=SimpleNamespace(caption="a red mug"), remarks=())

    def write(self, asset: Any, folder: Path, provenance: Any) -> Any:
        self.written = {"asset": asset, "provenance": provenance}
        return SimpleNamespace(folder=folder)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


def test_lifts_and_writes(calls: Calls, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["lift", str(photo), "--out", str(out), "--quality", "draft", "--seed", "5", "--prompt", "a cup"]) == 0
    got, digest = calls.lifted, calls.lifted["photo"].digest
    assert (got["models"], got["tools"], got["recipe"].quality, got["prompt"]) == ("models", "tools", "draft", "a cup")
    assert got["seeds"] == [picture_seed(5, digest)]
    assert got["selection"] is AUTOMATIC
    made_from = calls.written["provenance"]
    assert (made_from.photo_width_px, made_from.photo_height_px, made_from.photo_digest) == (400, 200, digest)
    assert capsys.readouterr().out.startswith(f"a red mug: {out / 'asset.glb'} (")


def test_the_prior_is_tuned_as_asked_and_the_precision_recorded(calls: Calls, photo: Path, tmp_path: Path) -> None:
    command = ["lift", str(photo), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert calls.loaded == {"device": "cpu", "dtype": torch.float32, "tuning": Tuning()}
    assert calls.written["provenance"].dtype == "float32"
    assert main([*command, "--dtype", "bfloat16", "--compile", "--channels-last", "--slice-attention"]) == 0
    all_of_it = Tuning(compile=True, channels_last=True, slice_attention=True)
    assert calls.loaded == {"device": "cpu", "dtype": torch.bfloat16, "tuning": all_of_it}
    assert calls.written["provenance"].dtype == "bfloat16"


def test_a_picture_without_subject_fails(
    calls: Calls, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls.error = NoSubject("mug.jpg: nothing stands out; crop the picture closer")
    assert main(["lift", str(photo), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == "lift3d-ray: mug.jpg: nothing stands out; crop the picture closer\n"
    assert calls.written == {}


def test_without_a_picture_the_prompt_is_drawn(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {}

    def draw(prompt: str, *models: Any, digest: str, generator: Any) -> Photo:
        asked.update(prompt=prompt, models=models, seed=generator.initial_seed())
        return Photo(rgb_HWC=np.zeros((8, 9, 3), np.uint8), alpha_HW=None, digest=digest, name=prompt, drawn=True)

    monkeypatch.setattr(lift3d_ray.guidance.drawing, "draw_photo", draw)
    parts = {name: name for name in ("prior", "clip", "codec", "schedule")}
    monkeypatch.setattr(lift3d_ray.models.bundle, "load_models", lambda bundle, **settings: SimpleNamespace(**parts))
    monkeypatch.setattr(
        lift3d_ray.lifting, "load_tools", lambda bundle, recipe, device: SimpleNamespace(**parts)
    )
    assert main(["lift", "--prompt", " a  red mug", "--out", str(tmp_path / "out"), "--seed", "5"]) == 0
    seed = picture_seed(5, prompt_digest("a red mug"))
    assert asked == {"prompt": "a red mug", "models": ("prior", "clip", "codec", "schedule"), "seed": seed}
    assert (calls.lifted["photo"].drawn, calls.lifted["seeds"]) == (True, [seed])
    assert calls.written["provenance"].photo_name == "a red mug"
    capsys.readouterr()
    for wrong in ([], ["--prompt", "a mug", "--select", "all"], ["--prompt", "a mug", "--point", "3,4"]):
        assert main(["lift", "--out", str(tmp_path / "out"), *wrong]) == 2
        assert "lift3d-ray: " in capsys.readouterr().err


def test_words_alone_need_no_drawing(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: dict[str, Any] = {}

    def optimize(perception: Any, prior: Any, recipe: Any, *, seed: int, **others: Any) -> Any:
        made.update(perception=perception, prior=prior, recipe=recipe, seed=seed)
        return SimpleNamespace(perception=perception, remarks=("Made from words alone.",))

    monkeypatch.setattr(lift3d_ray.lifting, "optimize", optimize)
    models = SimpleNamespace(prior="prior")
    monkeypatch.setattr(lift3d_ray.models.bundle, "load_models", lambda bundle, **settings: models)
    out = tmp_path / "out"
    wanted = ["lift", "--prompt", " a  red mug", "--without-picture", "--out", str(out), "--quality", "draft"]
    assert main([*wanted, "--seed", "5", "--set", "optimize.steps=7"]) == 0
    digest = prompt_digest("a red mug")
    assert (made["prior"], made["seed"], made["recipe"].optimize.steps) == ("prior", picture_seed(5, digest), 7)
    assert [term.conditioning for term in made["recipe"].guidance] == ["text"]
    assert (made["perception"].caption, made["perception"].pictured) == ("a red mug", False)
    assert (calls.written["provenance"].photo_name, calls.written["provenance"].photo_digest) == ("a red mug", digest)
    said = capsys.readouterr().out
    assert said.startswith(f"a red mug: {out / 'asset.glb'} (")
    assert said.endswith("\nMade from words alone.\n")
    assert calls.lifted == {}


def test_words_alone_go_with_nothing_that_a_picture_has(
    calls: Calls, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = ["--out", str(tmp_path), "--without-picture"]
    words = ["--prompt", "a mug"]
    for wrong in ([], [str(photo), *words], [*words, "--select", "all"], [*words, "--best-of", "2"]):
        assert main(["lift", *made, *wrong]) == 2
        assert "makes a thing from --prompt alone" in capsys.readouterr().err
    assert main(["submit", "--prompts", "things.txt", *made]) == 2
    assert "use lift --prompt TEXT --without-picture" in capsys.readouterr().err
    assert calls.lifted == {}


def test_points_are_pixels_of_the_upright_picture(photo: Path) -> None:
    selection = read_selection(photo, ["100,50"], ["300,150"], "0,0,400,100")
    assert selection.points_xy_frac == ((0.25, 0.25), (0.75, 0.75))
    assert selection.labels == (True, False)
    assert selection.box_xyxy_frac == (0, 0, 1, 0.5)


def test_pixels_count_at_the_size_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", (5000, 1000)).save(path)
    assert read_selection(path, ["2500,500"], [], None).points_xy_frac == ((0.5, 0.5),)


def test_a_point_beside_the_picture_is_refused(photo: Path) -> None:
    with pytest.raises(ConfigError, match=r"\(300, 250\) lies outside the picture, which has 400 x 200 pixels"):
        read_selection(photo, ["300,250"], [], None)


@pytest.mark.parametrize("text", ["", "3", "3,4,5", "three,4", "3;4"])
def test_garbled_points_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="a point is x,y in pixels"):
        parse_point(text)


def test_garbled_boxes_are_refused() -> None:
    with pytest.raises(typer.BadParameter, match="a box is left,top,right,bottom"):
        parse_box("1,2,3")


def test_a_garbled_point_is_wrong_use(calls: Calls, photo: Path, tmp_path: Path) -> None:
    assert main(["lift", str(photo), "--out", str(tmp_path), "--point", "here"]) == 2
    assert calls.lifted == {}


def test_a_subject_may_be_named(calls: Calls, photo: Path, tmp_path: Path) -> None:
    assert main(["lift", str(photo), "--out", str(tmp_path / "out"), "--select", "the mug"]) == 0
    assert calls.lifted["selection"].words == "the mug"


def test_one_of_all_things_is_lifted_alone_with_the_seed_it_has_among_them(
    calls: Calls, photo: Path, tmp_path: Path
) -> None:
    assert main(["lift", str(photo), "--out", str(tmp_path / "out"), "--select", "#2"]) == 0
    assert calls.lifted["selection"].thing == 2
    assert calls.lifted["seeds"] == [picture_seed(0, calls.lifted["photo"].digest, 2)]
    assert calls.written["provenance"].selection == "#2"


def test_the_best_of_several_seeds_begins_with_the_picture_s_own(calls: Calls, photo: Path, tmp_path: Path) -> None:
    assert main(["lift", str(photo), "--out", str(tmp_path / "out"), "--best-of", "3"]) == 0
    seeds = calls.lifted["seeds"]
    assert seeds == candidate_seeds(picture_seed(0, calls.lifted["photo"].digest), 3)
    assert len(set(seeds)) == 3
    assert main(["lift", str(photo), "--out", str(tmp_path / "out"), "--best-of", "0"]) == 2


def test_the_stages_of_a_lift_are_kept_on_a_sheet(
    calls: Calls, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def in_stages(*arguments: Any, seed: int, **settings: Any) -> Any:
        return calls.lift(*arguments, seed=seed, **settings), np.full((4, 6, 3), 7, dtype=np.uint8)

    monkeypatch.setattr(lift3d_ray.stages, "lift_in_stages", in_stages)
    out = tmp_path / "out"
    out.mkdir()
    assert main(["lift", str(photo), "--out", str(out), "--stages"]) == 0
    assert calls.lifted["seed"] == picture_seed(0, calls.lifted["photo"].digest, 1)
    with Image.open(out / "stages.png") as sheet:
        assert np.asarray(sheet).tolist() == np.full((4, 6, 3), 7).tolist()
    assert main(["lift", str(photo), "--out", str(out), "--stages", "--best-of", "2"]) == 2
    assert "--best-of makes several" in capsys.readouterr().err


def test_pointing_and_naming_at_once_is_wrong_use(
    calls: Calls, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lift", str(photo), "--out", str(tmp_path), "--select", "all", "--point", "3,4"]) == 2
    assert "not both" in capsys.readouterr().err
    assert calls.lifted == {}


def test_every_thing_gets_a_folder_and_one_that_fails_stops_no_other(
    calls: Calls, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        lift3d_ray.models.bundle, "load_models", lambda bundle, **settings: SimpleNamespace(segmenter="segmenter")
    )
    monkeypatch.setattr(lift3d_ray.subject.select, "every_subject", lambda photo, segmenter: ["one", "two", "three"])
    tried: list[int] = []
    folders: list[Path] = []
    selections: list[str] = []

    def lift(photo: Any, models: Any, recipe: Any, *, mask: str, seeds: list[int], **settings: Any) -> Any:
        tried.extend(seeds)
        if mask == "two":
            raise NoSubject("too thin")
        return SimpleNamespace(perception=SimpleNamespace(caption=f"a Red mug, {mask}"), remarks=())

    def write(asset: Any, folder: Path, provenance: Any) -> Any:
        folders.append(folder)
        selections.append(provenance.selection)
        return SimpleNamespace(folder=folder)

    monkeypatch.setattr(lift3d_ray.best_of, "lift_best", lift)
    monkeypatch.setattr(lift3d_ray.export.write, "write_asset", write)
    assert main(["lift", str(photo), "--out", str(tmp_path / "out"), "--select", "all"]) == 1
    assert folders == [tmp_path / "out" / "01-a-red-mug-one", tmp_path / "out" / "03-a-red-mug-three"]
    assert len(set(tried)) == len(tried) == 3
    assert selections == ["#1", "#3"]
    assert capsys.readouterr().err == "lift3d-ray: thing 2: too thin\n"
