"""A gallery of a whole run: one page that opens from disk, offline, with every asset orbiting.

The page is plain HTML with all text escaped here; ``web/gallery.js`` only brings it to life, and adds no markup made of
data. Models come from ``asset.glb.js`` (see ``embedded``) as they scroll into view, a handful at a time, so that a page
of a thousand assets stays light. ``web/model-viewer.min.js`` is @google/model-viewer 4.4.0, Apache-2.0.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Protocol
from urllib.parse import quote

from lift3d_ray.errors import ExportError
from lift3d_ray.export.files import write_bytes
from lift3d_ray.export.version import generator

INDEX = "index.html"
ASSETS = "gallery"
"""Folder of the page's own files, beside it."""

_PAGE_FILES = ("gallery.css", "gallery.js", "model-viewer.min.js", "model-viewer.LICENSE.txt")
_LABELS = {"reference_psnr": "PSNR", "reference_ssim": "SSIM", "reference_iou": "IoU", "seconds": "time"}
_UNITS = {"reference_psnr": " dB", "seconds": " s"}
_ON_CARD = ("reference_psnr", "reference_iou", "seconds")
_FILES = {
    "GLB": "asset.glb",
    "Points": "points.ply",
    "Video": "turntable.mp4",
    "Views": "preview.png",
    "Mask": "mask.png",
    "Depth": "depth.png",
    "Facts": "result.json",
}


class GalleryRow(Protocol):
    """One input row as the gallery shows it; ``lift3d_ray.store.schema.Outcome`` is one."""

    @property
    def name(self) -> str:
        """What people call the row, such as the photo's file name."""
        ...

    @property
    def status(self) -> str:
        """``done``, or ``failed``."""
        ...

    @property
    def folder(self) -> str:
        """The asset's folder relative to the page, with forward slashes; "" when failed."""
        ...

    @property
    def caption(self) -> str:
        """What the subject is; "" when unknown."""
        ...

    @property
    def seed(self) -> int | None:
        """The seed of the lift."""
        ...

    @property
    def seconds(self) -> float:
        """Wall time of the row."""
        ...

    @property
    def metrics(self) -> Mapping[str, float]:
        """Figures about the asset."""
        ...

    @property
    def error_code(self) -> str:
        """Stable name of the failure; "" when done."""
        ...

    @property
    def error_message(self) -> str:
        """Why it failed, in a sentence; "" when done."""
        ...


def gallery_files(rows: Sequence[GalleryRow], *, title: str = "Lifted pictures") -> dict[str, bytes]:
    """All files of a gallery by path relative to the run's folder, ``index.html`` last.

    Args:
        rows: what to show, in order; assets first, failures with their reasons in a list of their own.
        title: heading of the page.
    """
    web = files("lift3d_ray.export").joinpath("web")
    contents = {f"{ASSETS}/{name}": web.joinpath(name).read_bytes() for name in _PAGE_FILES}
    page = Template(web.joinpath(INDEX).read_text(encoding="utf-8"))
    done = [row for row in rows if row.status == "done"]
    failed = [row for row in rows if row.status != "done"]
    contents[INDEX] = page.substitute(
        title=html.escape(title),
        generator=html.escape(generator()),
        done=len(done),
        failed=len(failed),
        no_failures="" if failed else " hidden",
        orders="".join(_order_option(name) for name in _ON_CARD if any(name in _figures(row) for row in done)),
        cards="\n".join(_card(row) for row in done),
        failures="\n".join(_failure(row) for row in failed),
    ).encode()
    return contents


def write_gallery(rows: Sequence[GalleryRow], out: Path, *, title: str = "Lifted pictures") -> Path:
    """Writes the gallery into a run's folder.

    Args:
        rows: as in ``gallery_files``.
        out: the local folder that the rows' folders are relative to.
        title: heading of the page.

    Returns:
        Path of the page.

    Raises:
        ExportError: a file cannot be written.
    """
    try:
        (out / ASSETS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"cannot write the gallery into {out}: {error.strerror}; check its permissions") from error
    for name, data in gallery_files(rows, title=title).items():
        write_bytes(out / name, data)
    return out / INDEX


def _figures(row: GalleryRow) -> dict[str, float]:
    """The row's finite figures by name, the time among them."""
    every = {**row.metrics, "seconds": row.seconds}
    return {name: float(value) for name, value in every.items() if math.isfinite(value)}


def _label(name: str) -> str:
    return _LABELS.get(name, name.replace("_", " "))


def _number(name: str, value: float) -> str:
    digits = f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return digits + _UNITS.get(name, "")


def _order_option(name: str) -> str:
    direction, word = ("up", "least first") if name == "seconds" else ("down", "best first")
    return f'<option value="{name}:{direction}">{html.escape(_label(name))}, {word}</option>'


def _link(folder: str, file: str) -> str:
    """A relative address that cannot be taken for one with a scheme."""
    return html.escape(f"./{quote(folder)}/{quote(file)}")


def _card(row: GalleryRow) -> str:
    caption = row.caption or row.name
    figures = _figures(row)
    labelled = {_label(name): _number(name, value) for name, value in sorted(figures.items())}
    if row.seed is not None:
        labelled = {"seed": str(row.seed), **labelled}
    shown = [(_label(name), _number(name, figures[name])) for name in _ON_CARD if name in figures]
    said, name, sheet = html.escape(caption), html.escape(row.name), _link(row.folder, _FILES["Views"])
    image = f'<img src="{sheet}" loading="lazy" decoding="async"'
    attributes = {
        "folder": f"./{quote(row.folder)}",
        "caption": caption,
        "name": row.name,
        "text": f"{caption} {row.name} {row.seed}".lower(),
        "figures": json.dumps(figures),
        "labelled": json.dumps(labelled, ensure_ascii=False),
    }
    data = " ".join(f'data-{key}="{html.escape(value)}"' for key, value in attributes.items())
    definitions = "".join(f"<div><dt>{html.escape(label)}</dt><dd>{value}</dd></div>" for label, value in shown)
    links = "".join(f'<a href="{_link(row.folder, file)}">{label}</a>' for label, file in _FILES.items())
    seed = "" if row.seed is None else f" &middot; seed {row.seed}"
    return (
        f'<li class="card" {data}><div class="pair">'
        f'<div class="photo"><span class="cell c0 r0">{image} alt="The photo: {said}"></span></div>'
        f'<div class="stage"><span class="cell c1 r0">{image} alt="The asset: {said}"></span></div></div>'
        f'<div class="words"><h2><button type="button">{said}</button></h2>'
        f'<p class="from">{name}{seed}</p>'
        f'<dl class="figures">{definitions}</dl><p class="files">{links}</p></div></li>'
    )


def _failure(row: GalleryRow) -> str:
    text = html.escape(f"{row.name} {row.error_code} {row.error_message}".lower())
    return (
        f'<li data-text="{text}"><span>{html.escape(row.name)}</span>'
        f"<code>{html.escape(row.error_code)}</code><span>{html.escape(row.error_message)}</span></li>"
    )
