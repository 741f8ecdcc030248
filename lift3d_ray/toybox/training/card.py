"""The bundle's model card, written from what the trainings recorded."""

from __future__ import annotations

import json
from pathlib import Path

from lift3d_ray.toybox.training.export import ROLES

WHAT = {
    "segmenter": "`segment_anything.Sam` around a convolutional encoder, 128 px: clicks, boxes, automatic masks",
    "captioner": "`BlipForConditionalGeneration` around a convolutional tower: class, colours, pattern, view",
    "depth": "`DPTForDepthEstimation`: relative inverse depth",
    "pose": "this project's own regressor: elevation, zoom and shift of the photo",
    "coarse": "this project's own network: occupancy behind every pixel of the crop, and the colours of the back",
    "point_cloud": "Point-E's transformer, smaller: coloured points in the photo's frame; it sees by CLIP",
    "clip": "`CLIPModel` around the captioner's tower: pictures and sentences in one space; the view prior sees by it",
    "vae": "`AutoencoderTiny` on 4x4 pixel patches: the priors' 32x32 pictures to 12x8x8 latents",
    "unet": "`UNet2DConditionModel`: the text prior, v-prediction",
    "text_encoder": "`CLIPTextModel` of the text prior",
    "tokenizer": "`CLIPTokenizer` over the toy world's words",
    "scheduler": "Stable Diffusion's noise schedule",
    "view_unet": "`UNet2DConditionModel`: the view-conditioned prior (reference, relative azimuth, elevation)",
    "controlnet": "`ControlNetModel`: depth for the text prior",
}

HEAD = """# The embedded bundle: toybox

Small models, trained by this project on its own procedural world and on nothing else, so that every part of the
system runs on a CPU, offline. Each is the official class in its official layout, and the published weights load through
the same code. In four of them (segmenter, captioner, CLIP, depth) a small convolutional network stands where the
published ones have a ViT, because so small a ViT learns far more slowly; their configurations say so.

**For:** trying the whole system, tests, teaching, development; lifting simple, single objects that look like the toys
of the world (fifty classes, twelve colours, six patterns).
**Not for:** faces, scenes, fine texture, anything that matters. A real photo keeps its own front, because the photo is
laid on the mesh; its back is the prior's guess at the nearest toy.

Licence: Apache-2.0, like the code. Data: rendered by `lift3d_ray.toybox`; no picture from outside was used. The
held-out figures are on toys with proportions and colour-class pairs that training never saw.

Made by `lift3d-ray models train toybox`, in several goes. Coarse shape and pose were learnt from the captioner's tower
in one go of 17 and 11 minutes, depth from the coarse shape's encoder in 25 minutes, all on an H100 from half a million
pictures that were rendered meanwhile; depth then went on for 38 minutes on one CPU core. The others were made on one
CPU core and went on from earlier weights of this bundle: their steps are those of all goes since the last change of a
role's shape, their seconds those of the last go. CLIP has the tower of an earlier captioner.
"""


def write_card(bundle: Path) -> Path:
    """Write ``README.md`` into the bundle from each role's ``training.json``."""
    lines = [HEAD, "| role | what | MB | training and held-out figures |", "| --- | --- | --- | --- |"]
    for role in ROLES:
        folder = bundle / role
        if folder.is_dir():
            size = sum(p.stat().st_size for p in folder.iterdir()) / 1e6
            lines.append(f"| {role} | {WHAT[role]} | {size:.1f} | {_figures(folder / 'training.json')} |")
    path = bundle / "README.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _figures(path: Path) -> str:
    if not path.exists():
        return ""
    figures = json.loads(path.read_text(encoding="utf-8"))
    return ", ".join(f"{name} {value:g}" for name, value in figures.items())
