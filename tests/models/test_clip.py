"""The CLIP adapter over the official class and folder layout, with small random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from lift3d_ray.errors import BundleError  # noqa: E402
from lift3d_ray.models.clip import ClipEncoder, load_clip  # noqa: E402
from lift3d_ray.toybox.training.tokenizers import COMMON_WORDS, write_clip_tokenizer  # noqa: E402

TEXTS = ["a red mug", "a red mug with white dots, side view", ""]


def write_folder(folder: Path) -> Path:
    """A CLIP folder as published ones are laid out: 32x32 pictures, 40-d vectors, half precision."""
    write_clip_tokenizer(folder, COMMON_WORDS)
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = transformers.CLIPConfig(
        vision_config={**size, "image_size": 32, "patch_size": 8},
        text_config={**size, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": 24},
        projection_dim=40,
    )
    torch.manual_seed(0)
    transformers.CLIPModel(config).half().save_pretrained(folder)
    transformers.CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, image_mean=[0.5, 0.4, 0.3]
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def encoder(folder: Path) -> ClipEncoder:
    return load_clip(folder)


def pictures(count: int, height: int = 48, width: int = 48) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def test_images_become_float32_unit_vectors(encoder: ClipEncoder) -> None:
    vectors = encoder.encode_images(pictures(3))
    assert vectors.shape == (3, 40)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_texts_become_float32_unit_vectors(encoder: ClipEncoder) -> None:
    vectors = encoder.encode_texts(TEXTS)
    assert vectors.shape == (3, 40)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_company_in_the_batch_changes_nothing(encoder: ClipEncoder) -> None:
    images = pictures(70)
    np.testing.assert_allclose(encoder.encode_images(images)[69:], encoder.encode_images(images[69:]), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS)[:1], encoder.encode_texts(TEXTS[:1]), atol=1e-5)


def test_the_official_model_gives_the_same_vectors(encoder: ClipEncoder, folder: Path) -> None:
    model = transformers.CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
    processor = transformers.CLIPImageProcessor.from_pretrained(folder)
    images = pictures(2, 40, 60)
    tokens = tokenizer(TEXTS, padding="max_length", truncation=True, return_tensors="pt")
    with torch.no_grad():
        output = model(**tokens, **processor(images=list(images), return_tensors="pt"))
    np.testing.assert_allclose(encoder.encode_images(images), output.image_embeds.numpy(), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), output.text_embeds.numpy(), atol=1e-5)


def test_no_pictures_and_no_texts_give_no_vectors(encoder: ClipEncoder) -> None:
    assert encoder.encode_images(pictures(0)).shape == (0, 40)
    assert encoder.encode_texts([]).shape == (0, 40)


def test_what_is_too_long_is_cut(encoder: ClipEncoder) -> None:
    assert np.isfinite(encoder.encode_texts(["mug " * 200])).all()


@pytest.mark.parametrize("wrong", [np.zeros((32, 32, 3), np.uint8), np.zeros((1, 32, 32, 3), np.float32)])
def test_other_arrays_are_refused(encoder: ClipEncoder, wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8 pictures"):
        encoder.encode_images(wrong)


def test_one_string_is_refused(encoder: ClipEncoder) -> None:
    with pytest.raises(ValueError, match="wrap it in a list"):
        encoder.encode_texts("a red mug")


def test_the_tensor_door_agrees_and_has_a_gradient(encoder: ClipEncoder) -> None:
    images = pictures(2, 32, 32)
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255).requires_grad_(True)
    vectors = encoder.embed_images(tensor)
    np.testing.assert_allclose(vectors.detach().numpy(), encoder.encode_images(images), atol=1e-5)
    (vectors @ encoder.embed_texts(["a cat"]).T).sum().backward()
    assert tensor.grad is not None
    assert float(tensor.grad.abs().sum()) > 0
    assert all(parameter.grad is None for parameter in encoder.model.parameters())


def test_the_tensor_door_takes_any_size(encoder: ClipEncoder) -> None:
    assert encoder.embed_images(torch.rand(1, 3, 50, 70)).shape == (1, 40)


def test_half_precision_is_brought_back(encoder: ClipEncoder) -> None:
    assert encoder.model.dtype == torch.float32


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "vocab.json", "merges.txt", "preprocessor_config.json"]
)
def test_missing_files_are_named(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / name).unlink()
    with pytest.raises(BundleError, match=name.split(".")[-1]):
        load_clip(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.json", "preprocessor_config.json"])
def test_damaged_files_are_named(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleError, match=str(tmp_path)):
        load_clip(tmp_path)


def test_another_models_tokenizer_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    write_clip_tokenizer(tmp_path, (*COMMON_WORDS, "xylophone"))
    with pytest.raises(BundleError, match="different models"):
        load_clip(tmp_path)


def test_weights_of_another_shape_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config["projection_dim"] = 24
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BundleError):
        load_clip(tmp_path)
