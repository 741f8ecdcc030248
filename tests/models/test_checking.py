from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lift3d_ray.models.bundle import Bundle, load_bundle
from lift3d_ray.models.catalog import bundle_spec, mixed, model_entry
from lift3d_ray.models.checking import Finding, check_files, check_forward
from lift3d_ray.models.segmenter import SamConfig, build_sam
from lift3d_ray.models.weights import pull
from tests.models.file_server import Shelf
from tests.models.published.copies import write_bundle
from tests.models.small_catalog import small_catalog

UNET = "diffusion_pytorch_model.safetensors"
MODEL = "model.safetensors"


def only(role: str, folder: Path) -> Bundle:
    """A bundle that fills one role."""
    return replace(load_bundle(), name="part", folder=folder.parent, roles=((role, folder),))


def copied(role: str, to: Path) -> Path:
    """A copy of an embedded role whose files can be replaced."""
    folder = to / role
    shutil.copytree(load_bundle().path(role), folder, copy_function=os.link)
    return folder


def faults(bundle: Bundle) -> list[str]:
    return [finding.fault for finding in check_files(bundle) if finding.fault is not None]


def test_the_embedded_bundle_is_as_it_should_be() -> None:
    findings = list(check_files(load_bundle()))
    assert [finding for finding in findings if finding.fault] == []
    files = [Path(finding.subject).name for finding in findings]
    assert files.count(MODEL) + files.count(UNET) == 12
    unet = next(finding for finding in findings if finding.role == "unet" and finding.subject.endswith(UNET))
    assert unet.detail == "8.0 MB, 208 tensors, float16"


def test_every_model_of_the_embedded_bundle_answers() -> None:
    findings = list(check_forward(load_bundle()))
    assert [finding for finding in findings if finding.fault] == []
    assert [finding.role for finding in findings] == [
        *("segmenter", "captioner", "depth", "clip", "vae", "unet", "pose", "coarse", "point_cloud")
    ]
    assert "with depth (1, 12, 8, 8), with a view (1, 12, 8, 8)" in findings[5].detail


def rewritten(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    state = load_file(path)
    change(state)
    path.unlink()
    save_file(state, path)


def _cut(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: len(data) // 2])


def _without(name: str) -> Callable[[Path], None]:
    return lambda path: rewritten(path, lambda state: state.__delitem__(name))


def _with(name: str, value: torch.Tensor) -> Callable[[Path], None]:
    return lambda path: rewritten(path, lambda state: state.update({name: value}))


def _web_page(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"<html>please log in</html>")


def _missing(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.unlink()
    path.touch()


HARMS: list[tuple[str, str, Callable[[Path], None], str]] = [
    ("unet", UNET, _cut, rf"{UNET} has 40\d+ bytes and is no whole safetensors file"),
    ("unet", UNET, _web_page, "has 26 bytes and is no whole safetensors file"),
    ("unet", UNET, _missing, r"unet holds no weights: wanted one of \*\.safetensors"),
    ("unet", UNET, _without("conv_in.bias"), r"conv_in\.bias is missing, expected \[64\]"),
    ("unet", UNET, _with("lora", torch.zeros(2)), rf"{UNET} has lora \[2\], expected nothing of that name"),
    ("unet", UNET, _with("conv_in.bias", torch.zeros(3)), rf"conv_in\.bias in {UNET} is \[3\], expected \[64\]"),
    ("unet", "config.json", _cut, r"config\.json cannot be read as JSON"),
    ("clip", MODEL, _without("logit_scale"), rf"logit_scale is missing in {MODEL}"),
    ("clip", MODEL, _with("lora", torch.zeros(2)), rf"lora in {MODEL}, expected nothing of that name"),
    ("clip", MODEL, _with("visual_projection.weight", torch.zeros(3, 3)), r"is \[3, 3\], expected \[96, \d+\]"),
    ("clip", "merges.txt", _empty, r"merges\.txt is empty"),
    ("captioner", MODEL, _cut, "no whole safetensors file"),
    ("depth", MODEL, _without("head.head.0.weight"), rf"head\.head\.0\.weight is missing in {MODEL}"),
    ("text_encoder", MODEL, _cut, "no whole safetensors file"),
    ("segmenter", MODEL, _without("mask_decoder.iou_token.weight"), r"iou_token\.weight is missing, expected \[1, "),
    ("vae", UNET, _with("encoder.layers.0.bias", torch.zeros(1)), r"is \[1\], expected \["),
    ("pose", MODEL, _without("read.0.bias"), r"read\.0\.bias is missing"),
    ("coarse", MODEL, _without("read.0.bias"), r"read\.0\.bias is missing"),
    ("point_cloud", MODEL, _without("input_proj.bias"), r"input_proj\.bias is missing"),
    ("scheduler", "scheduler_config.json", _web_page, "cannot be read as JSON"),
]


@pytest.mark.parametrize(("role", "name", "harm", "wrong"), HARMS, ids=lambda value: str(value)[:40])
def test_a_harmed_file_is_named_with_what_was_found_and_expected(
    tmp_path: Path, role: str, name: str, harm: Callable[[Path], None], wrong: str
) -> None:
    folder = copied(role, tmp_path)
    harm(folder / name)
    found = faults(only(role, folder))
    assert len(found) == 1
    assert str(folder) in found[0]
    assert re.search(wrong, found[0]), found[0]


@pytest.mark.parametrize(("role", "other"), [("unet", "view_unet"), ("clip", "captioner"), ("pose", "coarse")])
def test_swapped_weights_are_found(tmp_path: Path, role: str, other: str) -> None:
    folder = copied(role, tmp_path)
    weights = next(folder.glob("*.safetensors"))
    weights.unlink()
    shutil.copy(next(load_bundle().path(other).glob("*.safetensors")), weights)
    assert len(faults(only(role, folder))) == 1


def test_a_model_that_answers_with_nonsense_is_found(tmp_path: Path) -> None:
    folder = copied("vae", tmp_path)
    rewritten(folder / UNET, lambda state: state.update({k: v * float("nan") for k, v in state.items()}))
    assert faults(only("vae", folder)) == []
    assert [finding.fault for finding in check_forward(only("vae", folder))] == [
        "BundleError: picture of shape (1, 3, 32, 32) holds 3072 values that are none"
    ]


def test_older_names_of_an_autoencoder_are_known(tmp_path: Path) -> None:
    from diffusers import AutoencoderKL

    torch.random.manual_seed(0)
    model: Any = AutoencoderKL(block_out_channels=(32,), norm_num_groups=8)
    model.save_pretrained(tmp_path / "vae")
    new = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def age(state: dict[str, torch.Tensor]) -> None:
        for name in [name for name in state if ".attentions." in name]:
            old = name
            for now, then in new.items():
                old = old.replace(f".{now}.", f".{then}.")
            state[old] = state.pop(name)

    rewritten(tmp_path / "vae" / UNET, age)
    assert any(".query." in name for name in load_file(tmp_path / "vae" / UNET))
    assert faults(only("vae", tmp_path / "vae")) == []
    rewritten(tmp_path / "vae" / UNET, lambda state: state.__delitem__("encoder.mid_block.attentions.0.query.bias"))
    assert "encoder.mid_block.attentions.0.to_q.bias is missing" in faults(only("vae", tmp_path / "vae"))[0]


def test_a_reduced_copy_of_a_published_bundle_is_as_it_should_be(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path, mixed(bundle_spec("sd15"), {"captioner": "blip2-opt-2.7b"}))
    bundle = load_bundle(folder)
    assert faults(bundle) == []
    found = {finding.role: finding.fault for finding in check_forward(bundle)}
    assert found == dict.fromkeys(["segmenter", "captioner", "depth", "clip", "vae", "unet", "point_cloud"])


SMALL = SamConfig(
    image_size=64, encoder_dim=32, encoder_depth=2, encoder_heads=2, global_attention=(1,), prompt_dim=32,
    window_size=2, decoder_mlp_dim=32, iou_dim=32,
)  # fmt: skip


@pytest.fixture
def pulled_sam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Shelf, Path]]:
    """A published segmenter, its official sizes in the catalogue, pulled into a folder."""
    torch.random.manual_seed(0)
    with small_catalog(tmp_path / "data", monkeypatch) as shelf:
        data = tmp_path / "data" / "models" / "small-sam"
        config = {name: value for name, value in vars(SMALL).items() if name != "weights"}
        (data / "config.json").write_text(json.dumps(config))
        torch.save(build_sam(SMALL).state_dict(), tmp_path / "sam.pth")
        facts = json.loads((data / "model.json").read_text())
        facts["files"] = [{"path": "sam_small.pth"}]
        facts["notes"] = ["not pinned"]
        (data / "model.json").write_text(json.dumps(facts))
        shelf.files["/files.example/sam/sam_small.pth"] = (tmp_path / "sam.pth").read_bytes()
        yield shelf, tmp_path / "weights"


def test_a_pulled_file_is_compared_with_the_official_sizes(pulled_sam: tuple[Shelf, Path]) -> None:
    folder = pull([model_entry("small-sam")], pulled_sam[1])[0]
    assert faults(only("segmenter", folder)) == []
    assert [finding.fault for finding in check_forward(only("segmenter", folder))] == [None]


def test_another_model_under_its_name_is_found(pulled_sam: tuple[Shelf, Path], tmp_path: Path) -> None:
    torch.save(build_sam(replace(SMALL, encoder_depth=3)).state_dict(), tmp_path / "other.pth")
    pulled_sam[0].files["/files.example/sam/sam_small.pth"] = (tmp_path / "other.pth").read_bytes()
    folder = pull([model_entry("small-sam")], pulled_sam[1])[0]
    found = faults(only("segmenter", folder))
    assert len(found) == 1
    assert "sam_small.pth has image_encoder.blocks.2." in found[0]


def test_another_precision_than_the_published_one_is_found(pulled_sam: tuple[Shelf, Path], tmp_path: Path) -> None:
    torch.save(build_sam(SMALL).half().state_dict(), tmp_path / "half.pth")
    pulled_sam[0].files["/files.example/sam/sam_small.pth"] = (tmp_path / "half.pth").read_bytes()
    folder = pull([model_entry("small-sam")], pulled_sam[1])[0]
    assert "in sam_small.pth is float16, expected float32" in faults(only("segmenter", folder))[0]


def test_a_bit_that_fell_over_is_found(pulled_sam: tuple[Shelf, Path]) -> None:
    folder = pull([model_entry("small-sam")], pulled_sam[1])[0]
    data = bytearray((folder / "sam_small.pth").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "sam_small.pth").write_bytes(data)
    assert any("has SHA-256" in fault and "what was pulled had" in fault for fault in faults(only("segmenter", folder)))


class _Runs:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch ran",)


def test_a_file_that_carries_code_is_refused_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "segmenter").mkdir()
    (tmp_path / "segmenter" / "sam.pth").write_bytes(pickle.dumps({"weight": _Runs()}, protocol=2))
    found: list[Finding] = list(check_files(only("segmenter", tmp_path / "segmenter")))
    assert "is damaged or not a weight file" in str(found[0].fault)
    assert not (tmp_path / "ran").exists()
