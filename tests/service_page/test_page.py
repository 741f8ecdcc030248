"""The page in a real browser, against a running service whose optimizers only pretend."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lift3d_ray.service.jobs import JobState
from tests.service_api.world import KEYS
from tests.service_page.site import BLUE_AT, RED_AT, Site, png, site, two_things, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("playwright.sync_api", reason="playwright drives the browser; it is among the dev dependencies")


def opened(page: Page, url: str, picture: Path | None = None) -> None:
    page.goto(url)
    page.wait_for_selector("#health[data-state=ok]")
    if picture is not None:
        page.set_input_files("#file", picture)
        ready(page)


def ready(page: Page) -> None:
    """Wait until there is a mask, and so a lift can be asked for."""
    page.wait_for_selector("#go:not([disabled])")


def until(page: Page, true: str) -> None:
    """Wait for something to become true; asked from outside, because the page's policy forbids scripts from text."""
    wait_until(lambda: page.evaluate(true), within_s=30)


def click_at(page: Page, place: tuple[float, float], *modifiers: Any) -> None:
    frame = page.locator("#overlay").bounding_box()
    assert frame is not None
    where = {"x": frame["width"] * place[0], "y": frame["height"] * place[1]}
    with page.expect_response("**/v1/segment") as answer:
        page.locator("#overlay").click(position=where, modifiers=list(modifiers))  # type: ignore[arg-type]
    answer.value.finished()


def covered(page: Page) -> int:
    """Percent of the picture that the page says is selected."""
    until(page, "document.querySelector('#stage-said').textContent.includes('covers')")
    match = re.search(r"(\d+) %", page.inner_text("#stage-said"))
    assert match is not None
    return int(match[1])


def lifted(page: Page) -> str:
    """Ask for the lift on the bench, and wait for its page. Returns its id."""
    ready(page)
    page.click("#go")
    page.wait_for_url("**/#/lifts/*")
    return page.url.rsplit("/", 1)[-1]


def test_a_picture_is_pointed_at_lifted_turned_around_and_taken_away(
    served: Site, viewing_page: Page, two: Path
) -> None:
    page = viewing_page
    opened(page, served.url, two)
    # A disc of 55 pixels' radius in 320 x 240 is the larger of both; then the square is clicked.
    assert covered(page) == 12
    click_at(page, RED_AT)
    until(page, "document.querySelector('#stage-said').textContent.includes('11 %')")
    until(page, "document.querySelector('#caption').value === 'a red thing'")
    job_id = lifted(page)
    page.wait_for_selector("model-viewer[data-state=loaded]")
    (point,) = served.world.store.get(job_id).order.selection.points_xy_frac
    assert point == pytest.approx(RED_AT, abs=0.01)
    # No words were given, so the captioner's own are not given for the person's.
    assert served.world.store.get(job_id).order.prompt is None
    assert page.inner_text("#lift-title") == "a painted ball"
    before = page.evaluate("document.querySelector('model-viewer').getCameraOrbit().theta")
    page.focus("model-viewer")
    page.locator("model-viewer").drag_to(page.locator("#lift-title"), source_position={"x": 60, "y": 200}, force=True)
    until(page, f"Math.abs(document.querySelector('model-viewer').getCameraOrbit().theta - {before}) > 0.05")
    for name in ("asset.glb", "points.ply", "turntable.mp4", "result.json"):
        with page.expect_download() as download:
            page.click(f"[data-file='{name}']")
        assert download.value.suggested_filename.endswith(name)
        got = served.world.client.get(f"/v1/lifts/{job_id}/files/{name}").content
        assert Path(download.value.path()).read_bytes() == got
    for image in ("#print-subject", "#print-mask", "#print-depth"):
        until(page, f"document.querySelector('{image}').naturalWidth > 0")
    page.click("[data-look=turntable]")
    until(page, "document.querySelector('#turntable').readyState > 0")
    page.click("[data-look=normals]")
    assert page.locator("#look-normals img").count() == 6


def test_clicks_beside_it_boxes_words_and_everything(served: Site, page: Page, two: Path) -> None:
    opened(page, served.url, two)
    frame = page.locator("#overlay").bounding_box()
    assert frame is not None
    x, y, width, height = frame["x"], frame["y"], frame["width"], frame["height"]
    page.mouse.move(x + 0.02 * width, y + 0.02 * height)
    page.mouse.down()
    page.mouse.move(x + 0.5 * width, y + 0.9 * height, steps=4)
    page.mouse.move(x + 0.98 * width, y + 0.98 * height, steps=4)
    page.mouse.up()
    until(page, "document.querySelector('#stage-said').textContent.includes('12 %')")
    click_at(page, BLUE_AT, "Shift")
    until(page, "document.querySelector('#stage-said').textContent.includes('11 %')")
    first = served.world.store.get(lifted(page)).order.selection
    assert first.labels == (False,)
    assert first.box_xyxy_frac == pytest.approx((0.02, 0.02, 0.98, 0.98), abs=0.01)
    page.click(".back a")
    page.locator("[name=mode][value=words]").check()
    page.fill("#words", "the\u00a0blue disc ")
    ready(page)
    assert served.world.store.get(lifted(page)).order.selection.words == "the blue disc"
    page.click(".back a")
    page.locator("[name=mode][value=every]").check()
    until(page, "document.querySelector('#stage-said').textContent.startsWith('2 things')")
    job_id = lifted(page)
    page.wait_for_selector("#things button:nth-child(2)")
    page.click("#things button:nth-child(2)")
    with page.expect_download() as download:
        page.click("[data-file='asset.glb']")
    assert download.value.url.endswith(f"{job_id}/files/2/asset.glb")


def test_by_keyboard_alone(served: Site, page: Page, two: Path) -> None:
    opened(page, served.url, two)
    page.focus("#stage")
    page.keyboard.press("ArrowLeft")
    for _ in range(2):
        page.keyboard.press("Shift+ArrowLeft")
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#stage-said').textContent.includes('11 %')")
    page.keyboard.press("Backspace")
    until(page, "document.querySelector('#stage-said').textContent.startsWith('Click the thing')")
    page.keyboard.press("b")
    for _ in range(5):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("b")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#stage-said').textContent.includes('12 %')")
    reached = []
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.name"))
        if reached[-1] == "go":
            break
    assert {"undo", "clear", "other", "caption", "quality", "go"} <= set(reached)
    page.keyboard.press("Enter")
    page.wait_for_url("**/#/lifts/*")
    assert page.evaluate("document.activeElement.id") == "lift-title"


def test_a_reload_in_the_middle_keeps_the_lift_and_it_can_be_canceled(served: Site, page: Page, two: Path) -> None:
    slow = two.rename(two.with_name("slow.png"))
    opened(page, served.url, slow)
    job_id = lifted(page)
    page.wait_for_selector(".stages [data-state=now]")
    page.reload()
    page.wait_for_selector("#working:not([hidden])")
    assert page.url.endswith(job_id)
    until(page, "document.querySelector('#bar').value > 0.05")
    until(page, "document.querySelector('#working-photo').naturalWidth === 320")
    assert page.locator("#lifts li").count() == 1
    page.click("#cancel")
    until(page, "document.querySelector('#lift-trouble').textContent.startsWith('Canceled')")
    assert served.world.store.get(job_id).state is JobState.CANCELED
    page.wait_for_selector(".state[data-state=canceled]")
    page.click("#delete")
    page.click("#sure-no")
    page.click("#delete")
    page.click("#sure-yes")
    page.wait_for_selector("#no-lifts:not([hidden])")
    assert served.world.client.get(f"/v1/lifts/{job_id}").status_code == 404


def test_pictures_of_it_are_shown_while_it_is_made(served: Site, page: Page, two: Path) -> None:
    slow = two.rename(two.with_name("slow.png"))
    opened(page, served.url, slow)
    lifted(page)
    # 15 of 30 seconds lie before the first; the dispatcher's clock is not ours to turn, so its task is made younger.
    hands = page.wait_for_selector("#working:not([hidden])")
    assert hands is not None
    crew = served.crew
    wait_until(lambda: any(hand.task for hand in crew.hands))
    crew.hands[0].begun -= 16
    until(page, "document.querySelector('#sight').naturalWidth === 448")
    assert "Shaping all sides" in page.inner_text("#stage-words")
    assert re.fullmatch(r"step \d+ of 500", page.inner_text("#stage-step"))
    first = page.get_attribute("#sight", "src")
    crew.hands[0].begun -= 3
    until(page, f"document.querySelector('#sight').src !== {json.dumps(first)}")


def test_a_failure_is_told_in_plain_words_and_can_be_tried_again(served: Site, page: Page, two: Path) -> None:
    opened(page, served.url, two.rename(two.with_name("fails.png")))
    click_at(page, BLUE_AT)
    page.click("#more summary")
    page.fill("#seed", "41")
    first = lifted(page)
    page.wait_for_selector("#lift-trouble:not([hidden])")
    said = page.inner_text("#lift-trouble")
    assert said.startswith("The shape would not settle")
    assert "the density vanished at step 40" in said
    page.click("#again")
    until(page, f"!location.hash.endsWith('{first}')")
    again = served.world.store.get(page.url.rsplit("/", 1)[-1])
    order = served.world.store.get(first).order
    assert order.seed == 41 != again.order.seed
    assert again.order.selection == order.selection
    page.wait_for_selector("#reuse:not([hidden])")
    page.click("#reuse")
    ready(page)
    assert page.inner_text("#picture-name") == "fails.png"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no picture at all", "This file is no picture that can be read"),
        (png(two_things()[:60, :30]), "Nothing in the picture could be picked out"),
    ],
    ids=["no picture", "nothing in it"],
)
def test_a_picture_that_is_no_good_is_said_at_once(
    served: Site, page: Page, tmp_path: Path, data: bytes, said: str
) -> None:
    path = tmp_path / "odd.png"
    path.write_bytes(data)
    page.goto(served.url)
    page.set_input_files("#file", path)
    until(page, f"document.querySelector('#stage-said').textContent.startsWith({json.dumps(said)})")
    assert page.is_disabled("#go")


def test_a_picture_is_dropped_or_pasted(served: Site, page: Page) -> None:
    opened(page, served.url)
    carry = """async (kind) => {
      const blob = await (await fetch('/web/examples/duck.png')).blob();
      const transfer = new DataTransfer();
      transfer.items.add(new File([blob], `${kind}.png`, {type: 'image/png'}));
      const event = kind === 'drop' ? new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true})
        : new ClipboardEvent(kind, {clipboardData: transfer, bubbles: true, cancelable: true});
      document.body.dispatchEvent(event);
    }"""
    for kind in ("drop", "paste"):
        page.evaluate(carry, kind)
        until(page, f"document.querySelector('#picture-name').textContent === '{kind}.png'")
        ready(page)


def test_a_key_is_asked_for_where_one_is_needed_and_forgotten_with_the_tab(
    page: Page, tmp_path: Path, two: Path
) -> None:
    with site(tmp_path, keys=KEYS) as served:
        page.goto(served.url)
        page.wait_for_selector("#key-dialog[open]")
        page.fill("#key", "wrong")
        page.keyboard.press("Enter")
        until(page, "document.querySelector('#key-why').textContent.includes('not valid')")
        page.wait_for_selector("#key-dialog[open]")
        page.fill("#key", next(iter(KEYS)))
        page.keyboard.press("Enter")
        page.wait_for_selector("#no-lifts:not([hidden])")
        page.set_input_files("#file", two)
        job_id = lifted(page)
        page.wait_for_selector("#result:not([hidden])")
        assert served.world.store.get(job_id, "a").order.name == "two things.png"
        with page.expect_download() as download:
            page.click("[data-file='asset.glb']")
        assert Path(download.value.path()).read_bytes()[:4] == b"glTF"
        kept = page.evaluate("[JSON.stringify(sessionStorage), JSON.stringify(localStorage), document.cookie]")
        assert [next(iter(KEYS)) in text for text in kept] == [True, False, False]
        page.reload()
        page.wait_for_selector("#result:not([hidden])")


def test_what_strangers_call_their_pictures_stays_text(served: Site, page: Page, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>.png"
    path = tmp_path / name
    path.write_bytes(png(two_things()))
    opened(page, served.url, path)
    page.fill("#caption", "<b>bold</b>")
    lifted(page)
    page.wait_for_selector("#result:not([hidden])")
    assert name in page.inner_text("#lift-facts")
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("#lift-title b").count() == 0


def test_on_a_narrow_screen_nothing_is_cut_off(served: Site, page: Page, two: Path) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    wide = "document.documentElement.scrollWidth"
    opened(page, served.url)
    assert page.evaluate(wide) == 360
    page.set_input_files("#file", two)
    ready(page)
    assert page.evaluate(wide) == 360
    lifted(page)
    until(page, "document.querySelector('#look-model').textContent.startsWith('The model could not be loaded')")
    assert page.evaluate(wide) == 360


def test_everything_that_is_operated_has_a_name(served: Site, page: Page, two: Path) -> None:
    opened(page, served.url, two)
    click_at(page, RED_AT)
    page.click("#more summary")
    unnamed = """() => [...document.querySelectorAll('button, input, select, a, [role=application], progress, video')]
      .filter((element) => element.checkVisibility() && !(element.labels?.length || element.textContent.trim()
        || element.getAttribute('aria-label') || element.querySelector('img[alt]:not([alt=""])')
        || element.closest('[aria-hidden=true]') || element.getAttribute('aria-hidden')))
      .map((element) => element.outerHTML)"""
    assert page.evaluate(unnamed) == []
    lifted(page)
    page.wait_for_selector("#result:not([hidden])")
    assert page.evaluate(unnamed) == []
