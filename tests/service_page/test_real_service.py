"""The page against the whole service on a real Ray with the embedded bundle."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.service_api.test_service_cluster import serving
from tests.service_page.site import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]

LONG_MS = 600_000


def test_an_example_is_clicked_lifted_through_a_reload_and_taken_away(viewing_page: Page, tmp_path: Path) -> None:
    page = viewing_page
    with serving(tmp_path / "out") as (client, _):
        page.goto(f"http://{client._host}:{client._port}/")
        page.click("[data-example$='duck.png']")
        page.wait_for_selector("#go:not([disabled])", timeout=LONG_MS)
        page.click("#overlay", position={"x": 180, "y": 220})
        wait_until(lambda: "covers" in page.inner_text("#stage-said"), within_s=120)
        covered = re.search(r"(\d+) %", page.inner_text("#stage-said"))
        assert covered is not None
        assert 10 <= int(covered[1]) <= 60
        wait_until(lambda: "duck" in page.input_value("#caption"), within_s=120)
        page.click("#go")
        page.wait_for_url("**/#/lifts/*", timeout=60_000)
        first = page.url.rsplit("/", 1)[-1]
        page.wait_for_selector("#stages [data-state=now]", timeout=LONG_MS)
        page.reload()
        page.wait_for_selector("#stages [data-state=now]", timeout=LONG_MS)
        assert page.url.endswith(first)
        # A second one waits behind it, and is canceled.
        page.click("#lift .back a")
        page.click("[data-example$='car.png']")
        page.wait_for_selector("#go:not([disabled])", timeout=LONG_MS)
        page.click("#go")
        page.wait_for_url(re.compile(rf"/#/lifts/(?!{first})"), timeout=60_000)
        page.click("#cancel")
        page.wait_for_selector(".state[data-state=canceled]", timeout=60_000)
        page.click(f"#lifts a[href$='{first}']")
        page.wait_for_selector("model-viewer[data-state=loaded]", timeout=LONG_MS)
        assert "duck" in page.inner_text("#lift-title")
        with page.expect_download() as download:
            page.click("[data-file='asset.glb']")
        data = Path(download.value.path()).read_bytes()
        assert data[:4] == b"glTF"
        assert client.get(first).id == first
