from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lift3d_ray.export.gallery import write_gallery
from lift3d_ray.export.write import EMBEDDED_GLB, write_asset
from tests.export.assets import PROVENANCE, small_asset
from tests.export.test_gallery import HOSTILE, Page, Row

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def opened_from_disk(page: Path, profile: Path) -> Page:
    """The page as a headless browser leaves it after a while, opened by a double click, so to say."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser to open the gallery with (looked for {', '.join(BROWSERS)})")
    rendering = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    quiet = ["--no-sandbox", "--no-first-run", f"--user-data-dir={profile}"]
    waiting = ["--virtual-time-budget=20000", "--timeout=90000", "--dump-dom"]
    command = [browser, "--headless", *rendering, *quiet, *waiting, page.as_uri()]
    try:
        made = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("the browser did not finish within 100 s")
    if made.returncode:
        pytest.skip(f"the browser would not start here: {made.stderr.strip().splitlines()[-1:]}")
    return Page(made.stdout)


def test_models_come_to_life_without_a_server(tmp_path: Path) -> None:
    write_asset(small_asset(), tmp_path / "run/assets/ball", PROVENANCE)
    index = write_gallery([Row(folder="assets/ball", caption=HOSTILE)], tmp_path / "run")
    page = opened_from_disk(index, tmp_path / "profile")
    # The element upgraded itself, so its library came from disk; it was made at all, so the model was unpacked.
    (viewer,) = page.of("model-viewer")
    assert viewer["alt"] == HOSTILE
    assert "ar-status" in viewer
    assert page.of("img", src="x") == []


def test_a_missing_model_is_said_on_its_card(tmp_path: Path) -> None:
    folder = write_asset(small_asset(), tmp_path / "run/assets/ball", PROVENANCE).folder
    (folder / EMBEDDED_GLB).unlink()
    page = opened_from_disk(write_gallery([Row(folder="assets/ball")], tmp_path / "run"), tmp_path / "profile")
    assert page.of("model-viewer") == []
    assert f"No model to show: {EMBEDDED_GLB} is missing." in page.text
