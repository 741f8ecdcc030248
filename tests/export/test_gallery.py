from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lift3d_ray.errors import ExportError
from lift3d_ray.export.embedded import CALLBACK
from lift3d_ray.export.gallery import ASSETS, INDEX, gallery_files, write_gallery
from lift3d_ray.export.preview import COLUMNS, ROWS
from lift3d_ray.export.write import EMBEDDED_GLB
from lift3d_ray.store.schema import Outcome

HOSTILE = """"><script>alert('x')</script><img src=x onerror=alert(1)> & ' $title ${title} </title>"""


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str = "mug.png"
    status: str = "done"
    folder: str = "assets/mug-1"
    caption: str = "a red mug"
    seed: int | None = 7
    seconds: float = 41.23
    metrics: dict[str, float] = field(default_factory=dict)
    error_code: str = ""
    error_message: str = ""


class Page(HTMLParser):
    """All elements of a page with their attributes, and its text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and all(attributes.get(key.rstrip("_")) == value for key, value in wanted.items())
        ]


def page_of(*rows: Row, title: str = "Lifted pictures") -> Page:
    return Page(gallery_files(rows, title=title)[INDEX].decode())


def test_every_row_is_shown_once_done_or_failed() -> None:
    failed = Row(name="zero.png", status="failed", folder="", error_code="unreadable-photo", error_message="is empty")
    page = page_of(Row(), Row(folder="assets/cup-2", caption="a blue cup"), failed)
    assert [card["data-caption"] for card in page.of("li", class_="card")] == ["a red mug", "a blue cup"]
    text = " ".join(page.text)
    for word in ("a red mug", "a blue cup", "zero.png", "unreadable-photo", "is empty", "seed 7", "41.2 s"):
        assert word in text
    assert "hidden" not in page.of("section", id="failures")[0]
    assert "hidden" in page_of(Row()).of("section", id="failures")[0]


def test_links_lead_to_the_files() -> None:
    page = page_of(Row(folder="assets/my mug #1?"))
    links = [link["href"] for link in page.of("a")]
    for file in ("asset.glb", "points.ply", "turntable.mp4", "preview.png", "mask.png", "depth.png", "result.json"):
        assert f"./assets/my%20mug%20%231%3F/{file}" in links
    assert page.of("li", class_="card")[0]["data-folder"] == "./assets/my%20mug%20%231%3F"


def test_figures_are_in_words_with_units_and_never_odd() -> None:
    row = Row(metrics={"reference_psnr": 24.567, "reference_iou": 0.931, "bad": float("nan"), "novel_score": 123.4})
    card = page_of(row).of("li", class_="card")[0]
    assert json.loads(card["data-labelled"]) == {
        "seed": "7",
        "PSNR": "24.6 dB",
        "IoU": "0.931",
        "time": "41.2 s",
        "novel score": "123",
    }
    assert "bad" not in json.loads(card["data-figures"])


def test_hostile_text_stays_text() -> None:
    clean = page_of(Row(), Row(status="failed", folder="", error_code="input", error_message="why"))
    hostile = page_of(
        Row(name=HOSTILE, caption=HOSTILE, folder=f"assets/{HOSTILE}", metrics={HOSTILE: 1.0}),
        Row(name=HOSTILE, status="failed", folder="", error_code=HOSTILE, error_message=HOSTILE),
        title=HOSTILE,
    )
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in clean.elements]
    names = {name for _, attributes in hostile.elements for name in attributes}
    assert names == {name for _, attributes in clean.elements for name in attributes}
    assert "".join(hostile.text).count(HOSTILE) >= 5
    for _, attributes in hostile.elements:
        for name in ("href", "src"):
            assert not re.match(r"\s*[a-z]+:", attributes.get(name, ""), re.IGNORECASE)


def test_an_address_never_gets_a_scheme() -> None:
    page = page_of(Row(folder="javascript:alert(1)//"))
    assert all(link["href"].startswith(("./", "#")) for link in page.of("a"))
    assert all(image["src"].startswith("./") for image in page.of("img", loading="lazy"))


def test_scripts_come_from_files_and_the_policy_says_so() -> None:
    page = page_of(Row())
    assert all(script.get("src", "").startswith(f"{ASSETS}/") for script in page.of("script"))
    policy = next(meta["content"] for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    directives = {part.split()[0]: part.split()[1:] for part in policy.split(";")}
    assert directives["default-src"] == ["'none'"]
    assert "'unsafe-inline'" not in directives["script-src"]
    assert not any("http" in source for sources in directives.values() for source in sources)


def test_nothing_points_to_the_network() -> None:
    files = gallery_files([Row()])
    own = b"".join(data for name, data in files.items() if "model-viewer" not in name)
    assert re.findall(rb"https?://", own) == []


def test_pictures_wait_until_they_are_in_view() -> None:
    page = page_of(*(Row(folder=f"assets/{k}") for k in range(50)))
    images = [image for image in page.of("img") if image.get("src")]
    assert len(images) == 100
    assert all(image["loading"] == "lazy" for image in images)
    assert page.of("model-viewer") == []
    assert all(image["alt"] for image in images)


def test_a_thousand_assets_make_a_page_of_a_few_megabytes() -> None:
    assert len(gallery_files([Row(folder=f"assets/mug-{k}") for k in range(1000)])[INDEX]) < 4_000_000


def test_the_page_and_its_script_agree_with_the_files() -> None:
    files = gallery_files([Row()])
    script = files[f"{ASSETS}/gallery.js"].decode()
    style = files[f"{ASSETS}/gallery.css"].decode()
    assert f'"{CALLBACK}"' in script
    assert f"/{EMBEDDED_GLB}`" in script
    assert f"width: {COLUMNS}00%; height: {ROWS}00%" in style
    ids = {attributes["id"] for _, attributes in page_of(Row()).elements if "id" in attributes}
    assert set(re.findall(r'\$\("([a-z-]+)"\)', script)) <= ids


def test_the_viewer_is_the_one_that_was_vendored() -> None:
    data = gallery_files([])[f"{ASSETS}/model-viewer.min.js"]
    assert hashlib.sha256(data).hexdigest() == "d785423b1d046ea84a9f59ef6cf15f3077603e1bf938b01ced9b0240691884a2"
    assert b"Apache License" in gallery_files([])[f"{ASSETS}/model-viewer.LICENSE.txt"]


def test_a_run_without_assets_has_a_page_too() -> None:
    page = page_of()
    assert page.of("li", class_="card") == []
    assert page.of("b")[0] is not None


def test_the_ledgers_outcomes_are_rows(tmp_path: Path) -> None:
    outcome = Outcome(
        key="k",
        name="mug.png",
        source="in/mug.png",
        picture_digest="d",
        status="done",
        recipe="make-it-3d",
        quality="draft",
        recipe_digest="r",
        bundle_digest="b",
        run_seed=0,
        seed=5,
        folder="assets/mug",
        caption="a mug",
        run="1",
    )
    path = write_gallery([outcome], tmp_path)
    assert path == tmp_path / INDEX
    assert {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()} == set(
        gallery_files([outcome])
    )
    assert "a mug" in path.read_text(encoding="utf-8")


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ExportError, match="cannot write the gallery"):
        write_gallery([], tmp_path / "taken")
