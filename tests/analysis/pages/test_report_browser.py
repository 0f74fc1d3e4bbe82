"""The report in a real browser: the slider moves by keyboard, shows what was measured, and nothing leaves the page."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.helpers.browser import Browser, find_browser
from tests.helpers.pages import EVIL, written
from tests.helpers.picture_tables import STEPS, family, films

pytestmark = pytest.mark.xdist_group("browser")

READ = """[...document.querySelectorAll('.film')].map(film => ({
    run: film.dataset.run, phase: film.querySelector('.phase').textContent,
    values: [...film.querySelectorAll('.value')].map(value => value.textContent),
    share: film.querySelector('.bar').offsetWidth && parseFloat(getComputedStyle(
        film.querySelector('.bar'), '::before').width) / film.querySelector('.bar').offsetWidth,
    pairs: [...film.querySelectorAll('.pair')].map(pair => ({
        ratio: pair.querySelector('.ratio').textContent, frame: getComputedStyle(pair).borderTopColor,
        word: getComputedStyle(pair, '::after').content.replaceAll('"', '').trim()}))}))"""
RED, NO_FRAME = "rgb(208, 21, 43)", "rgba(0, 0, 0, 0)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        if os.environ.get("DIFFMEM_NEED_BROWSER"):
            pytest.fail("there is no Chromium on this machine, and DIFFMEM_NEED_BROWSER is set")
        pytest.skip("there is no Chromium on this machine")
    with Browser(program, tmp_path_factory.mktemp("browser") / "profile") as running:
        yield running


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Browser:
    written(tmp_path, films=films())
    browser.open(tmp_path / "deep" / "report.html")
    return browser


def read(browser: Browser) -> list[dict[str, Any]]:
    """What the page shows of each run now."""
    shown: list[dict[str, Any]] = browser.evaluate(READ)
    return shown


def test_the_slider_moves_by_keyboard_and_shows_what_was_measured(page: Browser) -> None:
    for _ in range(40):
        page.press("Tab")
        if page.evaluate("document.activeElement.id") == "time":
            break
    rows, _ = family(ns=(32, 1024))
    table: pd.DataFrame = rows.set_index(["run", "step"])
    for key, place in (("Home", 0), ("ArrowRight", 1), ("End", 18), ("ArrowLeft", 17), ("ArrowLeft", 16)):
        page.press(key)
        label = page.evaluate("document.getElementById('time-label').textContent")
        assert label.startswith(f"step {STEPS[place]:,}: ")
        assert page.evaluate("document.getElementById('time').getAttribute('aria-valuetext')") == label
        for film, shown in zip(films(), read(page), strict=True):
            row = table.loc[(film.run, STEPS[place])]
            assert shown["run"] == film.run
            assert shown["values"][0].removesuffix(" (last)") == f"{STEPS[place]:,}"
            assert shown["values"][2:] == [f"{row['f_mem']:.3f}", f"{row['fd_pixels']:.3g}"]
            assert shown["share"] == pytest.approx(row["f_mem"], abs=0.01)
            assert [pair["ratio"] for pair in shown["pairs"]] == [f"{ratio:.2f}" for ratio in film.ratio[place]]
            copies = film.ratio[place] < 1 / 3
            assert [pair["frame"] for pair in shown["pairs"]] == [RED if copy else NO_FRAME for copy in copies]
            assert [pair["word"] for pair in shown["pairs"]] == ["copy" if copy else "" for copy in copies]
    assert [shown["phase"] for shown in read(page)] == ["copying", "good"]


def test_each_image_is_the_sample_and_its_nearest_one(page: Browser) -> None:
    page.evaluate("document.getElementById('time').focus()")
    page.press("Home")
    for place in (0, 1, 2):
        for number, film in enumerate(films()):
            for j in (0, 5):
                pair = f"#film-{number} .pair:nth-child({j + 1})"
                for image, pixels in (("first", film.samples), ("last", film.nearest)):
                    seen = page.picture(f"{pair} .image:{image}-child")
                    np.testing.assert_array_equal(
                        seen, np.kron(pixels[place, j, 0], np.ones((6, 6)))[..., None] + [0] * 3
                    )
        page.press("ArrowRight")


def test_nothing_is_loaded_and_no_other_script_runs(page: Browser) -> None:
    page.press("End")
    asked = [
        event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"
    ]
    assert [address[:5] for address in asked] == ["file:", *["data:"] * len(films())]
    assert not [event for event in page.events if event["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")]
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = true'}))"
    )
    page.evaluate("new Promise(done => requestAnimationFrame(done))")
    assert page.evaluate("window.ran") is None


def test_without_scripts_the_samples_are_there_and_the_slider_is_not(page: Browser) -> None:
    moving = read(page)
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.events.clear()
    page.call("Page.reload")
    page.wait("Page.loadEventFired")
    still = read(page)
    hidden = page.evaluate("document.getElementById('timeline').offsetHeight")
    page.call("Emulation.setScriptExecutionDisabled", value=False)
    assert hidden == 0
    assert still == moving


def test_hostile_names_are_text_and_the_slider_still_moves(browser: Browser, tmp_path: Path) -> None:
    rows, times = family(ns=(32, 1024))
    name = rows["run"].iloc[0]
    rows, times = (table.assign(run=table["run"].replace({name: EVIL})) for table in (rows, times))
    hostile = [dataclasses.replace(film, run=film.run.replace(name, EVIL)) for film in films()]
    written(tmp_path, title=EVIL, rows=rows, times=times, films=hostile, warnings=[EVIL])
    browser.open(tmp_path / "deep" / "report.html")
    browser.evaluate("document.getElementById('time').focus()")
    browser.press("Home")
    assert read(browser)[0]["run"] == EVIL
    assert EVIL in browser.evaluate("document.querySelector('#film-0 h3').textContent")
    assert browser.evaluate("document.title") == EVIL
    assert browser.evaluate("document.images.length + document.querySelectorAll('[onerror]').length") == 0
    assert browser.evaluate("document.scripts.length") == 2
    assert not [event for event in browser.events if event["method"] == "Page.javascriptDialogOpening"]
