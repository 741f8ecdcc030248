"""Copies of published models on disk: their files, names and configurations, reduced in size, with random weights.

What a copy's files are called, how their parameters are named and which of them there are is as published, not as the
installed libraries would write it today.
"""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lift3d_ray.models.bundle import BUNDLES_FOLDER
from lift3d_ray.models.catalog import BundleSpec, Layout, ModelEntry, ModelPart, model_entry, written_bundle
from lift3d_ray.models.point_e.loading import network_config
from lift3d_ray.models.point_e.transformer import PointTransformer
from lift3d_ray.models.segmenter import SamConfig, build_sam

IMAGE_SIZE = 64
"""Side of the copies' pictures, in place of 512."""
TOYBOX = BUNDLES_FOLDER / "toybox"

_CLIP_VOCABULARY = len(json.loads((TOYBOX / "tokenizer" / "vocab.json").read_text(encoding="utf-8")))
_BERT_VOCABULARY = len((TOYBOX / "captioner" / "vocab.txt").read_text(encoding="utf-8").splitlines())
_OPT_WORDS = ("<s>", "<pad>", "</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyz", "\u0120", "<image>")

_TINY = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
_CHANNELS = {"block_out_channels": [32, 64, 64, 64], "layers_per_block": 1, "norm_num_groups": 16}
_UNET = {**_CHANNELS, "cross_attention_dim": 32}
_REDUCED: Mapping[str, Mapping[str, Any]] = {
    "UNet2DConditionModel": {**_UNET, "sample_size": IMAGE_SIZE // 8},
    "ControlNetModel": {**_UNET, "conditioning_embedding_out_channels": [4, 8, 8, 16]},
    "AutoencoderKL": {
        "block_out_channels": [16, 16, 32, 32],
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "sample_size": IMAGE_SIZE,
    },
    "CLIPTextModel": {**_TINY, "vocab_size": _CLIP_VOCABULARY},
    "CLIPModel": {
        "projection_dim": 16,
        "text_config": {**_TINY, "vocab_size": _CLIP_VOCABULARY, "projection_dim": 16},
        "vision_config": {**_TINY, "image_size": 56, "projection_dim": 16},
    },
    "BlipForConditionalGeneration": {
        "text_config": {
            **_TINY,
            "encoder_hidden_size": 32,
            "vocab_size": _BERT_VOCABULARY,
            "bos_token_id": _BERT_VOCABULARY - 2,
            "sep_token_id": 3,
        },
        "vision_config": {**_TINY, "image_size": 32},
    },
    "Blip2ForConditionalGeneration": {
        "num_query_tokens": 3,
        "image_token_index": _OPT_WORDS.index("<image>"),
        "vision_config": {**_TINY, "image_size": 28},
        "qformer_config": {**_TINY, "encoder_hidden_size": 32, "vocab_size": 8},
        "text_config": {
            **_TINY,
            "ffn_dim": 64,
            "word_embed_proj_dim": 32,
            "vocab_size": len(_OPT_WORDS) + 3,
            "max_position_embeddings": 64,
            "eos_token_id": 2,
        },
    },
    "DPTForDepthEstimation": {**_TINY, "image_size": 64, "num_hidden_layers": 4, "fusion_hidden_size": 16},
    "Sam": {
        "image_size": 64,
        "encoder_dim": 32,
        "encoder_depth": 4,
        "encoder_heads": 2,
        "window_size": 3,
        "global_attention": [1, 3],
        "prompt_dim": 32,
        "mask_channels": 8,
        "decoder_mlp_dim": 32,
        "iou_dim": 32,
    },
    "PointTransformer": {"width": 64, "layers": 2, "heads": 1, "condition_width": 32},
}
_STAGES: Mapping[bool, Mapping[str, Any]] = {
    False: {"neck_hidden_sizes": [16, 16, 32, 32], "backbone_out_indices": [0, 1, 2, 3]},
    True: {
        "neck_hidden_sizes": [32, 64, 32, 32],
        "backbone_out_indices": [0, 1, 2, 3],
        "backbone_featmap_shape": [1, 128, 4, 4],
        "backbone_config": {
            "embedding_size": 32,
            "hidden_sizes": [32, 64, 128, 128],
            "depths": [1, 1, 1],
            "num_groups": 8,
        },
    },
}


def official_config(entry: ModelEntry, part: ModelPart) -> dict[str, Any]:
    """The configuration of a part as its publisher has it; for a schedule, that of the schedule."""
    folder = entry.config_folder(part.role)
    name = "scheduler_config.json" if part.role == "scheduler" else "config.json"
    config: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return config


def reduced_config(entry: ModelEntry, part: ModelPart) -> dict[str, Any]:
    """The same, of a model small enough for a test."""
    config = official_config(entry, part)
    kind = part.model_class.rsplit(".", 1)[-1]
    config = _merged(config, _REDUCED.get(kind, {}))
    if isinstance(config.get("attention_head_dim"), list):
        config["attention_head_dim"] = [2, 4, 4, 4]
    return _merged(config, _STAGES[config.get("is_hybrid", False)]) if part.role == "depth" else config


def _merged(config: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **config,
        **{k: _merged(config.get(k, {}), v) if isinstance(v, Mapping) else v for k, v in change.items()},
    }


def build(entry: ModelEntry, part: ModelPart, config: dict[str, Any], *, device: str = "cpu") -> nn.Module:
    """The official class of a part with fresh weights."""
    with torch.device(device):
        if entry.layout is Layout.SAM_PTH:
            numbers: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
            sam: nn.Module = build_sam(SamConfig(**numbers))
            return sam
        if entry.layout is Layout.POINT_E_PT:
            return PointTransformer(network_config(config), device=device)
        library, name = part.model_class.rsplit(".", 1)
        kind: Any = getattr(importlib.import_module(library), name)
        if library == "diffusers":
            return kind.from_config(config)  # type: ignore[no-any-return]
        return kind(kind.config_class.from_dict(config))  # type: ignore[no-any-return]


_OLD_ATTENTION = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}


def _old_attention(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """An autoencoder's attention was named otherwise when it was published."""
    renamed = {}
    for name, value in state.items():
        for new, old in _OLD_ATTENTION.items() if ".attentions." in name else ():
            name = name.replace(new, old)
        renamed[name] = value
    return renamed


def _positions(state: dict[str, Tensor], embeddings: str) -> Tensor:
    """The numbers 0, 1, ... that were once stored beside every table of positions."""
    table = state[f"{embeddings}.weight"]
    return torch.arange(len(table))[None]


def _text_encoder(state: dict[str, Tensor]) -> dict[str, Tensor]:
    named = {f"text_model.{name.removeprefix('text_model.')}": value for name, value in state.items()}
    positions = _positions(named, "text_model.embeddings.position_embedding")
    return {**named, "text_model.embeddings.position_ids": positions}


def _clip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        **state,
        **{
            f"{half}.embeddings.position_ids": _positions(state, f"{half}.embeddings.position_embedding")
            for half in ("text_model", "vision_model")
        },
    }


def _blip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    kept = {name: value for name, value in state.items() if name != "text_decoder.cls.predictions.decoder.bias"}
    positions = _positions(state, "text_decoder.bert.embeddings.position_embeddings")
    return {**kept, "text_decoder.bert.embeddings.position_ids": positions}


def _blip2(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name != "language_model.lm_head.weight"}


def _dpt(state: dict[str, Tensor]) -> dict[str, Tensor]:
    unused = "neck.fusion_stage.layers.0.residual_layer1."
    return {name: value for name, value in state.items() if not name.startswith(unused)}


def _as_it_is(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return state


_PUBLISHED_NAMES: Mapping[str, Callable[[dict[str, Tensor]], dict[str, Tensor]]] = {
    "AutoencoderKL": _old_attention,
    "CLIPTextModel": _text_encoder,
    "CLIPModel": _clip,
    "BlipForConditionalGeneration": _blip,
    "Blip2ForConditionalGeneration": _blip2,
}


def published_state(entry: ModelEntry, part: ModelPart, model: nn.Module) -> dict[str, Tensor]:
    """A model's parameters and buffers under the names of its published file, without what that file lacks."""
    state = dict(model.state_dict())
    if part.role == "depth" and not official_config(entry, part).get("is_hybrid", False):
        return _dpt(state)
    return _PUBLISHED_NAMES.get(part.model_class.rsplit(".", 1)[-1], _as_it_is)(state)


def random_model(entry: ModelEntry, part: ModelPart, config: dict[str, Any], seed: int) -> nn.Module:
    """A model that says something: what starts at zero is moved away from it."""
    with torch.random.fork_rng():
        torch.random.manual_seed(seed)
        model = build(entry, part, config).eval()
        with torch.no_grad():
            for value in model.parameters():
                value.add_(0.02 * torch.randn_like(value))
    return model


def write_entry(
    folder: Path,
    entry: ModelEntry,
    *,
    seed: int = 0,
    config_of: Callable[[ModelEntry, ModelPart], dict[str, Any]] = reduced_config,
) -> None:
    """A copy of an entry: exactly the files that the catalogue lists.

    Args:
        folder: where to.
        entry: what.
        seed: of the random weights.
        config_of: how large; ``official_config`` = as published.
    """
    for part in entry.parts:
        if part.role == "point_clip":
            continue
        _write_part(folder / part.folder, entry, part, seed, config_of)
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for path in written - {file.path for file in entry.files}:
        (folder / path).unlink()
    assert {file.path for file in entry.files} <= written, entry.name


def write_bundle(weights: Path, spec: BundleSpec, *, seed: int = 0) -> Path:
    """A copy of a bundle and of all its entries below a folder of weights; the bundle's own folder."""
    for entry in spec.entries():
        if not (weights / "models" / entry.name).exists():
            write_entry(weights / "models" / entry.name, entry, seed=seed)
    folder = weights / "bundles" / spec.name
    folder.mkdir(parents=True)
    facts = written_bundle(replace(spec, image_size=IMAGE_SIZE))
    (folder / "bundle.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return folder


def _write_part(
    folder: Path,
    entry: ModelEntry,
    part: ModelPart,
    seed: int,
    config_of: Callable[[ModelEntry, ModelPart], dict[str, Any]],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if part.role == "tokenizer":
        _write_clip_tokenizer(folder, entry.config_folder("tokenizer"))
        return
    if part.role == "scheduler":
        _write_json(folder / "scheduler_config.json", official_config(entry, part))
        return
    config = config_of(entry, part)
    _write_json(folder / "config.json", config)
    state = published_state(entry, part, random_model(entry, part, config, seed))
    prefix = "" if part.folder == "." else f"{part.folder}/"
    files = [file.path.removeprefix(prefix) for file in entry.files if file.path.startswith(prefix)]
    _write_weights(folder, [name for name in files if "/" not in name and _is_weights(name)], state)
    if part.role in {"captioner", "clip", "depth"}:
        _write_processor(folder, entry, part, config)
        _write_words(folder, part)


def _is_weights(name: str) -> bool:
    return Path(name).suffix in {".safetensors", ".bin", ".pth", ".pt"}


def _write_weights(folder: Path, names: list[str], state: dict[str, Tensor]) -> None:
    from safetensors.torch import save_file

    if len(names) == 1:
        if names[0].endswith(".safetensors"):
            save_file(_apart(state), folder / names[0], {"format": "pt"})
        else:
            torch.save(state, folder / names[0])
        return
    shards = {name: sorted(state)[number :: len(names)] for number, name in enumerate(names)}
    for name, keys in shards.items():
        save_file(_apart({key: state[key] for key in keys}), folder / name, {"format": "pt"})
    where = {key: name for name, keys in shards.items() for key in keys}
    size = sum(value.numel() * value.element_size() for value in state.values())
    _write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": where})


def _apart(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that share no memory: a tied matrix is written twice, as published."""
    seen: set[int] = set()
    apart = {}
    for key, value in state.items():
        apart[key] = value.clone() if value.data_ptr() in seen else value.contiguous()
        seen.add(value.data_ptr())
    return apart


def _write_processor(folder: Path, entry: ModelEntry, part: ModelPart, config: dict[str, Any]) -> None:
    path = entry.config_folder(part.role) / "preprocessor_config.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    side = int(config.get("vision_config", config)["image_size"])
    sizes = {name: side for name in ("size", "crop_size") if isinstance(facts.get(name), int)}
    if not sizes:
        sizes = {"size": {"height": side, "width": side}}  # type: ignore[dict-item]
    _write_json(folder / "preprocessor_config.json", {**facts, **sizes})


def _write_words(folder: Path, part: ModelPart) -> None:
    kind = part.model_class.rsplit(".", 1)[-1]
    if kind == "CLIPModel":
        _write_clip_tokenizer(folder)
    if kind == "BlipForConditionalGeneration":
        shutil.copy(TOYBOX / "captioner" / "vocab.txt", folder)
        _write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
        marks = {"cls_token": "[CLS]", "mask_token": "[MASK]", "pad_token": "[PAD]", "sep_token": "[SEP]"}
        _write_json(folder / "special_tokens_map.json", {**marks, "unk_token": "[UNK]"})
        _write_tokenizer_json(folder, "BertTokenizer")
    if kind == "Blip2ForConditionalGeneration":
        _write_json(folder / "vocab.json", {word: number for number, word in enumerate(_OPT_WORDS)})
        (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
        marks = {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>"}
        _write_json(folder / "special_tokens_map.json", marks)
        _write_json(folder / "tokenizer_config.json", {"tokenizer_class": "GPT2Tokenizer", **marks})
        _write_tokenizer_json(folder, "GPT2Tokenizer")


def _write_clip_tokenizer(folder: Path, official: Path | None = None) -> None:
    """A small vocabulary, with the publisher's own remarks on it where they are at hand."""
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(TOYBOX / "tokenizer" / name, folder)
    marks = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}
    marks |= {"unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    _write_json(folder / "special_tokens_map.json", marks)
    facts = {"tokenizer_class": "CLIPTokenizer", "do_lower_case": True, "errors": "replace", "model_max_length": 77}
    _write_json(folder / "tokenizer_config.json", {**marks, **facts})
    if official is not None and official.is_dir():
        shutil.copytree(official, folder, dirs_exist_ok=True)
    _write_tokenizer_json(folder, "CLIPTokenizer")


def _write_tokenizer_json(folder: Path, kind: str) -> None:
    import transformers

    tokenizer = getattr(transformers, kind).from_pretrained(str(folder), local_files_only=True)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def entry_copy(weights: Path, name: str) -> Path:
    """The folder of a copy of one entry below a folder of weights."""
    folder = weights / "models" / name
    write_entry(folder, model_entry(name))
    return folder
