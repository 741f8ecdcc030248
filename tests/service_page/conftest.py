from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.service_page.site import Site, png, site, two_things

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Models are drawn without a GPU.
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
# The browser's own words for answers that are no success; the page has its own.
EXPECTED = "Failed to load resource"


# Not for the session: while Playwright runs, this thread counts as inside an event loop, where the handles of Serve
# refuse to be asked synchronously; tests of other folders do that.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless browser; each page that is opened in it knows nothing of the others."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser to open the page with (looked for {', '.join(BROWSERS)})")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS), headless=True)
        yield browser
        browser.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Site]:
    """A service without keys."""
    with site(tmp_path) as running:
        yield running


@pytest.fixture
def page(viewing_page: Page) -> Page:
    """A page without its viewer of models, which takes seconds to begin where no GPU draws."""
    viewing_page.route("**/model-viewer.min.js", lambda route: route.abort())
    return viewing_page


@pytest.fixture
def viewing_page(browser: Browser) -> Iterator[Page]:
    """A page that has to stay free of script errors, and of anything that its policy forbids."""
    context = browser.new_context(viewport={"width": 1000, "height": 600}, reduced_motion="reduce")
    context.set_default_timeout(30_000)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "console",
        lambda said: wrong.append(said.text) if said.type == "error" and EXPECTED not in said.text else None,
    )
    yield page
    context.close()
    assert wrong == []


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A picture of two things."""
    path = tmp_path / "two things.png"
    path.write_bytes(png(two_things()))
    return path
