"""The page, in a real Chromium against a real server: photos, a camera that plays a clip, files, looks."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import SLOW, until
from clips import scene, story, write_clip
from photographs import photographs
from pictures import astronaut, encode, grace_hopper_path, pattern
from PIL import Image
from serving import Server, serving

from mien.labels import LABELS
from mien.output.palette import contrast

pytest.importorskip("fastapi")
playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("needs Chromium: apt-get install chromium", allow_module_level=True)

SIZES = {"desktop": (1280, 860), "phone": (390, 844)}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face that moves from side to side, as Motion JPEG: what the fake camera plays, again and again."""
    path = tmp_path_factory.mktemp("clip") / "face.mjpeg"
    picture = Image.fromarray(astronaut())
    with path.open("wb") as file:
        for offset in (0, 10, 20, 30, 20, 10):
            frame = picture.crop((20 + offset, 0, 420 + offset, 300)).resize((320, 240))
            file.write(encode(frame, "jpeg"))
    return path


@pytest.fixture(scope="module")
def browser(clip: Path) -> Iterator[Any]:
    options = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={clip}",
    ]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=options, timeout=2 * SLOW)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any, server: Server) -> Iterator[Any]:
    """Opens the page; at the end it must have logged no error, nor asked another server for anything."""
    contexts, wrong = [], []

    def open_page(path: str = "/", size: str = "desktop", of: Server = server, **options: Any) -> Any:
        width, height = SIZES[size]
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(SLOW)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda r: r.url.startswith((of.url, "blob:")) or wrong.append(r.url))
        page.goto(of.url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def drop(
    page: Any, data: bytes, name: str = "photo.jpg", kind: str = "image/jpeg", event: str = "drop"
) -> None:
    """Drop or paste a file, by the event that a browser fires."""
    page.evaluate(
        """([bytes, name, kind, event]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name, { type: kind }));
            const made = event === "drop"
                ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
                : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
            document.querySelector(".view").dispatchEvent(made);
        }""",
        [list(data), name, kind, event],
    )


def cards(page: Any, number: int = 0) -> dict[str, str]:
    """The words and percents of a card."""
    card = page.locator(".face").nth(number)
    card.wait_for()
    return dict(
        zip(card.locator("dt").all_inner_texts(), card.locator(".percent").all_inner_texts(), strict=True)
    )


def side_by_side(people: int) -> Image.Image:
    """So many faces in a row."""
    head = Image.fromarray(astronaut()).crop((125, 0, 325, 260))
    row = Image.new("RGB", (200 * people, 260))
    for k in range(people):
        row.paste(head, (200 * k, 0))
    return row


def expected(server: Server, data: bytes) -> list[dict[str, Any]]:
    with server.client() as client:
        return client.post("/v1/recognize", content=data, headers={"Content-Type": "image/jpeg"}).json()[0][
            "faces"
        ]


def download(page: Any, what: str) -> tuple[str, bytes]:
    with page.expect_download() as waiting:
        page.click(f"[data-do={what}]")
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


class TestPhoto:
    @pytest.mark.parametrize("event", ["drop", "paste"])
    def test_a_photo_shows_seven_bars_in_percent(self, open_page: Any, server: Server, event: str):
        page = open_page()
        data = grace_hopper_path().read_bytes()
        drop(page, data, event=event)
        shown = cards(page)
        face = expected(server, data)[0]
        assert tuple(shown) == LABELS
        for label, text in shown.items():
            assert float(text.removesuffix(" %")) == pytest.approx(100 * face[label], abs=0.51)
            bar = page.locator(".bar > span").nth(LABELS.index(label))
            share = bar.evaluate("e => e.offsetWidth / e.parentElement.offsetWidth")
            assert share == pytest.approx(face[label], abs=0.05)
        assert page.inner_text(".word") == face["emotion"] + ("?" if face["uncertain"] else "")
        assert page.inner_text("#status") == f"1 face: {face['emotion']}"

    def test_several_faces_are_numbered_from_left_to_right_and_linked_with_their_cards(self, open_page: Any):
        page = open_page(size="desktop")
        drop(page, encode(side_by_side(3), "jpeg"))
        cards(page, 2)
        faces = [[10, 20, 60, 80], [64, 22, 110, 82], [20, 90, 60, 118]]
        xs = page.evaluate(
            """async (boxes) => {
                const { placeLabels } = await import("/page/drawing.js");
                const faces = (boxes) => boxes.map(([x1, y1, x2, y2]) => ({ x1, y1, x2, y2 }));
                const sizes = boxes.map(() => [60, 16]);
                const all = placeLabels(faces([[0, 0, 99, 99]]), [[50, 20]], 99, 99);
                return [placeLabels(faces(boxes), sizes, 300, 120), all];
            }""",
            faces,
        )
        boxes = [*faces, *xs[0]]
        for k, a in enumerate(boxes):
            for b in boxes[k + 1 :]:
                if a in xs[0] or b in xs[0]:
                    overlap = (min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1]))
                    assert min(overlap) <= 0, (a, b)
        assert xs[1] == [[0, 0, 50, 20]]  # nowhere else to go: it stays inside
        canvas = page.locator("#picture")
        size = canvas.bounding_box()
        for number in range(3):
            canvas.hover(position={"x": size["width"] * (number + 0.5) / 3, "y": size["height"] / 2})
            assert page.locator(".face.shown .number").inner_text() == str(number + 1)
        page.mouse.move(0, 0)
        assert page.locator(".face.shown").count() == 0

    @pytest.mark.parametrize("size", SIZES)
    def test_many_faces_are_lines_beside_a_picture_that_stays(self, open_page: Any, size: str):
        page = open_page(size=size)
        drop(page, encode(side_by_side(6), "jpeg"))
        cards(page, 5)
        assert page.locator(".bars:visible").count() == 0
        button = page.get_by_role("button", name="All probabilities of face 6")
        button.click()
        assert page.locator(".bars:visible").count() == 1
        assert button.get_attribute("aria-expanded") == "true"
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        top = page.locator("#picture").evaluate("e => e.getBoundingClientRect().top")
        assert 0 <= top < page.viewport_size["height"] / 2
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]

    def test_chosen_and_sample(self, open_page: Any):
        page = open_page()
        page.set_input_files(
            "#file", files=[{"name": "a.png", "mimeType": "image/png", "buffer": encode(astronaut())}]
        )
        assert cards(page)["happy"]
        page = open_page()
        page.get_by_role("button", name="Try a sample").click()
        assert len(cards(page)) == 7

    def test_the_box_is_drawn_around_the_face(self, open_page: Any, server: Server):
        page = open_page()
        data = grace_hopper_path().read_bytes()
        drop(page, data)
        cards(page)
        face = expected(server, data)[0]
        changed = page.evaluate(
            """async () => {
                const canvas = document.getElementById("picture");
                const plain = await createImageBitmap(await (await fetch("/sample.jpg")).blob());
                const other = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
                other.drawImage(plain, 0, 0);
                const [a, b] = [canvas.getContext("2d"), other].map(
                    (pen) => pen.getImageData(0, 0, canvas.width, canvas.height).data);
                const ys = [], xs = [];
                for (let i = 0; i < a.length; i += 4) {
                    if (Math.abs(a[i] - b[i]) + Math.abs(a[i + 1] - b[i + 1]) > 60) {
                        xs.push((i / 4) % canvas.width); ys.push(Math.floor(i / 4 / canvas.width));
                    }
                }
                return [Math.min(...xs), Math.max(...xs), Math.max(...ys)];
            }"""
        )
        assert changed == pytest.approx([face["x1"], face["x2"], face["y2"]], abs=10)

    def test_a_large_photo_has_the_numbers_of_the_command(self, open_page: Any, server: Server):
        page = open_page()
        large = encode(Image.fromarray(astronaut()).resize((3072, 3072)), "jpeg", quality=60)
        drop(page, large, "large.jpg")
        cards(page)
        name, data = download(page, "save-table")
        assert name == "large-mien.csv"
        row = next(csv.DictReader(io.StringIO(data.decode())))
        assert row["source"] == "large.jpg"
        assert row["uncertain"] in ("TRUE", "FALSE")  # as the command writes it
        (face,) = expected(server, large)
        for column in ("x1", "y2", "confidence", face["emotion"]):
            assert float(row[column]) == pytest.approx(face[column], abs=1e-4)
        # Its box is drawn where the face is shown: in the middle of the picture's upper half.
        drawn = page.evaluate(
            "[document.getElementById('picture').width, document.getElementById('status').textContent]"
        )
        assert drawn == [1600, "1 face: happy"]

    def test_what_the_server_refuses_comes_reduced_and_the_table_is_in_its_own_pixels(self, open_page: Any):
        with serving("--max-pixels", "3000000") as small:
            page = open_page(of=small)
            drop(
                page,
                encode(Image.fromarray(astronaut()).resize((2048, 2048)), "jpeg", quality=60),
                "large.jpg",
            )
            cards(page)
            assert page.inner_text("#status") == "1 face: happy (in the photo reduced to 1600 pixels)"
            _, table = download(page, "save-table")
            row = next(csv.DictReader(io.StringIO(table.decode())))
            assert 300 < float(row["x2"]) - float(row["x1"]) < 600
            assert page.inner_text("#alert") == ""

    def test_a_format_that_only_the_browser_reads(self, open_page: Any):
        page = open_page()
        drop(page, encode(pattern(48, 48), "ico"), "icon.ico", "image/x-icon")
        until(page, "document.getElementById('status').textContent === 'no face found'")
        assert page.inner_text("#alert") == ""

    def test_no_face_no_picture_and_a_new_picture(self, open_page: Any):
        page = open_page()
        drop(page, encode(np.full((200, 300, 3), 128, np.uint8)), "grey.png", "image/png")
        page.wait_for_selector(".hint:visible")
        assert page.inner_text("#status") == "no face found"
        drop(page, b"no picture", "text.txt", "text/plain")
        until(page, "document.getElementById('alert').textContent.includes('text.txt')")
        drop(page, grace_hopper_path().read_bytes())
        cards(page)
        assert page.inner_text("#alert") == ""
        assert page.locator(".face").count() == 1

    def test_files_to_keep(self, open_page: Any, server: Server):
        page = open_page()
        data = grace_hopper_path().read_bytes()
        drop(page, data, 'a, "b".jpg')
        cards(page)
        name, table = download(page, "save-table")
        row = next(csv.DictReader(io.StringIO(table.decode())))
        assert list(row)[:3] == ["source", "frame", "time"]
        assert list(row)[-8:] == [*LABELS, "error"]
        assert row["source"] == 'a, "b".jpg'
        assert row["emotion"] == expected(server, data)[0]["emotion"]
        name, picture = download(page, "save-picture")
        assert name.endswith("-mien.png")
        saved = Image.open(io.BytesIO(picture))
        assert (saved.format, saved.size) == ("PNG", (512, 600))
        assert (
            np.abs(
                np.asarray(saved.convert("RGB"), int) - np.asarray(Image.open(grace_hopper_path()), int)
            ).max()
            > 50
        )


class TestCamera:
    @pytest.fixture
    def page(self, open_page: Any) -> Any:
        """With the camera on, and an answer there."""
        page = open_page("/?camera", permissions=["camera"])
        page.wait_for_selector(".face")
        return page

    def test_frames_are_answered_one_after_the_other(self, page: Any):
        assert cards(page)["happy"]
        until(page, "/^live [0-9]+\\/s$/.test(document.getElementById('rate').textContent)")
        assert page.is_visible(".timeline")
        painted = """() => {
            const canvas = document.getElementById("timeline");
            const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            return data.filter((value, at) => at % 4 === 3 && value).length;
        }"""
        until(page, f"({painted})() > 0")
        first = page.evaluate(painted)
        until(page, f"({painted})() > {first}")

    def test_frozen_it_stands_still_and_then_goes_on(self, page: Any):
        look = "document.getElementById('picture').toDataURL()"
        page.get_by_role("button", name="Freeze").click()
        page.wait_for_timeout(500)
        frozen = page.evaluate(look)
        page.wait_for_timeout(1000)
        assert page.evaluate(look) == frozen
        name, table = download(page, "save-table")
        rows = list(csv.DictReader(io.StringIO(table.decode())))
        assert rows
        assert [row["frame"] for row in rows] == [str(n) for n in range(len(rows))]
        assert name.startswith("camera-")
        assert download(page, "save-picture")[1].startswith(b"\x89PNG")
        page.get_by_role("button", name="Freeze").click()
        until(page, f"{look} !== {json.dumps(frozen)}")

    def test_a_face_is_followed_and_smoothed(self, open_page: Any):
        page = open_page()
        got = page.evaluate(
            """async () => {
                const { Following } = await import("/page/following.js");
                const face = (x, happy) => ({ x1: x, y1: 0, x2: x + 10, y2: 10, happy, sad: 1 - happy });
                const following = new Following(["happy", "sad"]);
                const seen = [following.next([face(0, 1), face(50, 0)], 0)];
                seen.push(following.next([face(1, 0), face(50, 0)], 0.3));
                following.choose(face(50, 0));
                seen.push(following.next([face(2, 1), face(52, 0.5)], 0.4)); // the smaller one
                seen.push(following.next([face(2, 1)], 0.9)); // out of sight
                seen.push(following.next([face(2, 1)], 1.5)); // for too long: the largest again
                return seen.map((one) => one && [one.x1, one.happy, one.sad]);
            }"""
        )
        decayed = math.exp(-1)
        assert got[0] == [0, 1, 0]
        assert got[1] == [1, pytest.approx(decayed), pytest.approx(1 - decayed)]
        assert got[2] == [52, 0.5, 0.5]
        assert got[3] is None
        assert got[4] == [2, 1, 0]

    def test_another_face_is_chosen_by_a_click(self, page: Any):
        page.locator(".face").first.wait_for()
        assert "largest" in page.inner_text("#followed")
        page.locator(".face").first.locator(".word").click()
        assert page.inner_text("#followed").startswith("of the chosen face")
        size = page.locator("#picture").bounding_box()
        page.mouse.click(size["x"] + size["width"] - 8, size["y"] + size["height"] / 2)
        assert page.inner_text("#followed").startswith("of the largest face")

    def test_it_can_be_turned_off(self, page: Any, server: Server):
        page.get_by_role("button", name="Camera").click()
        until(page, "document.getElementById('video').srcObject === null")
        assert page.is_hidden(".timeline")
        assert page.get_by_role("button", name="Camera").get_attribute("aria-pressed") == "false"

    def test_a_camera_that_is_denied_is_explained(self, open_page: Any):
        page = open_page()
        page.get_by_role("button", name="Use the camera").click()
        until(page, "document.getElementById('alert').textContent.includes('blocked')")
        assert page.is_visible(".empty")

    def test_a_server_that_goes_is_told(self, open_page: Any):
        with serving() as other:
            page = open_page("/?camera", of=other, permissions=["camera"])
            page.wait_for_selector(".face")
            other.stop()
            until(page, "document.getElementById('alert').textContent !== ''")
            assert page.is_hidden(".badge")


def test_a_token_is_asked_for_and_opens_photo_and_camera(open_page: Any):
    with serving(token="the-token") as other:
        page = open_page(of=other, permissions=["camera"])
        page.get_by_role("button", name="Try a sample").click()
        page.fill("#token input", "wrong")
        page.keyboard.press("Enter")
        until(page, "document.querySelector('#token input').value === ''")
        page.fill("#token input", "the-token")
        page.keyboard.press("Enter")
        cards(page)
        page.get_by_role("button", name="Camera").click()
        page.wait_for_selector(".badge:visible")
        until(page, "document.getElementById('rate').textContent !== 'live'")


class TestLooks:
    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_texts_have_contrast_and_nothing_sticks_out(self, open_page: Any, size: str, scheme: str):
        page = open_page(size=size, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
        assert weak_texts(page) == []
        drop(page, encode(crowd()), "crowd.png", "image/png")
        cards(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
        assert weak_texts(page) == []
        ground = rgb(page.evaluate("getComputedStyle(document.querySelector('.face')).backgroundColor"))
        for bar in page.locator(".face:first-child .bar > span").all():
            assert contrast(rgb(bar.evaluate("e => getComputedStyle(e).backgroundColor")), ground) >= 3

    def test_the_theme_is_chosen_and_kept(self, open_page: Any):
        page = open_page(color_scheme="light")
        ground = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(ground)
        toggle = page.get_by_role("button", name="Dark colours")
        toggle.click()
        assert toggle.get_attribute("aria-pressed") == "true"
        dark = page.evaluate(ground)
        assert sum(rgb(dark)) < sum(rgb(light))
        page.reload()
        assert page.evaluate(ground) == dark

    def test_everything_is_reached_by_keyboard_and_has_a_name(self, open_page: Any):
        page = open_page()
        reached = []
        for _ in range(6):
            page.keyboard.press("Tab")
            reached.append(
                page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent.trim()")
            )
        assert reached[:5] == [
            "Skip to the results",
            "Dark colours",
            "Choose a photo or clip",
            "Use the camera",
            "Try a sample",
        ]
        page.get_by_role("button", name="Try a sample").focus()
        page.keyboard.press("Enter")
        cards(page)
        for button in page.get_by_role("button").all():
            assert button.evaluate("e => e.ariaLabel || e.innerText.trim()")
        assert "sample: 1 face" in page.locator("#picture").get_attribute("aria-label")

    def test_it_says_what_the_numbers_are_not_and_where_pictures_go(self, open_page: Any):
        text = open_page().inner_text("footer")
        assert "not what the person feels" in text
        assert "Nothing leaves this machine" in text


def crowd() -> np.ndarray:
    """Four faces, and a patch that is none."""
    row = np.concatenate([astronaut()[:256, 80:380]] * 4, axis=1)
    row[-48:, :48] = photographs(1)[0][..., None]
    return row


def rgb(css: str) -> tuple[int, int, int]:
    red, green, blue = (round(float(part)) for part in css[css.index("(") + 1 : -1].split(",")[:3])
    return red, green, blue


def weak_texts(page: Any) -> list[tuple[str, float]]:
    """Visible texts whose contrast is below WCAG's AA, 4.5 to 1 (3 to 1 where they are large)."""
    found = page.evaluate(
        """() => {
            const opaque = (element) => {
                for (let e = element; e; e = e.parentElement) {
                    const color = getComputedStyle(e).backgroundColor;
                    if (!color.startsWith("rgba")) return color;
                }
                return "rgb(255, 255, 255)";
            };
            return [...document.querySelectorAll("body *")]
                .filter((e) => e.checkVisibility() && !e.closest(".skip, #token, svg, .badge"))
                .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()))
                .map((e) => {
                    const style = getComputedStyle(e);
                    return [e.textContent.trim(), style.color, opaque(e), parseFloat(style.fontSize)];
                });
        }"""
    )
    assert len(found) > 8
    return [
        (text, ratio)
        for text, ink, ground, size in found
        if (ratio := contrast(rgb(ink), rgb(ground))) < (3 if size >= 24 else 4.5)
    ]


class TestClips:
    @pytest.mark.parametrize("size", SIZES)
    def test_a_clip_becomes_its_page(self, open_page: Any, tmp_path: Path, size: str) -> None:
        clip = write_clip(tmp_path / "two people.mp4", story())
        page = open_page(size=size)
        page.set_input_files("#file", clip)
        until(page, "document.getElementById('clip').classList.contains('done')")
        assert page.locator("[data-part=name]").inner_text() == "two people.mp4"
        assert page.locator("[data-part=sentence]").inner_text() == "4 people in 0:06"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        with page.context.expect_page() as opened:
            page.locator("[data-part=open]").click()
        report = opened.value
        report.wait_for_load_state()
        assert report.title() == "Expressions in two people.mp4"
        until(report, "document.querySelector('video').readyState > 0")
        report.close()
        with page.expect_download() as saved:
            page.locator("[data-part=save]").click()
        assert saved.value.suggested_filename == "two people.html"
        page.locator("[data-part=stop]").click()
        assert page.evaluate("document.body.dataset.mode") == "empty"

    def test_what_is_no_clip_is_said(self, open_page: Any) -> None:
        page = open_page()
        drop(page, b"nothing of the kind", "holiday.mov", "video/quicktime")
        until(page, "document.getElementById('alert').textContent.startsWith('holiday.mov: not a video')")
        assert page.evaluate("document.body.dataset.mode") == "empty"

    def test_a_photo_takes_the_place_of_a_clip(self, open_page: Any, tmp_path: Path) -> None:
        frames = (scene((0, 200 + i % 40, 90)) for i in range(1500))
        page = open_page()
        drop(page, write_clip(tmp_path / "long.mp4", frames).read_bytes(), "long.mp4", "video/mp4")
        until(page, "document.querySelector('[data-part=sentence]').textContent.includes(' of 1:00')")
        with page.expect_request(lambda request: request.method == "DELETE"):
            drop(page, grace_hopper_path().read_bytes())
        assert cards(page)
        assert page.evaluate("document.body.dataset.mode") == "photo"
