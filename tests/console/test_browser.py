"""A technician's walk through the console, in a real browser, in Arabic, French and English."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from selenium.webdriver.common.keys import Keys

from tests.console.browser import Browser

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
PAGES = ("/", "/assets", "/assets/pole-001", "/assets/valve-001", "/assets/pole-013", "/assets/absent", "/alarms",
         "/commands", "/health", "/quarantine", "/completeness", "/completeness?by=asset&days=31",
         "/assets/pole-006")  # fmt: skip
LANGUAGES = {"ar": ("rtl", "التجهيزات"), "fr": ("ltr", "Équipements"), "en": ("ltr", "Assets")}
LEVEL = '[data-metric="level"]'


class Console(NamedTuple):
    """A console of its own process, with a city of fakes."""

    url: str
    process: "subprocess.Popen[str]"
    log: Path


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """It runs in an empty folder, so that whatever it leaves there is seen."""
    folder = tmp_path_factory.mktemp("console")
    log = tmp_path_factory.mktemp("said") / "log"
    command = [sys.executable, "-m", "tests.console.demo_platform", "--port", "0", "--lights", "30"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    with (
        log.open("w") as said,
        subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=said, text=True
        ) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert line.startswith("http://"), log.read_text()
        yield Console(line, process, log)
        process.terminate()
    assert list(folder.iterdir()) == [], "the console left files in its working directory"


@pytest.fixture(scope="module")
def url(console: Console) -> str:
    return console.url


@pytest.fixture(scope="module")
def browser(url: str) -> Iterator[Browser]:
    browser = Browser(url)
    yield browser
    browser.close()


@pytest.fixture(autouse=True)
def clean(browser: Browser) -> Iterator[None]:
    """Every test ends without a script error and without a request to anybody else."""
    browser.desktop()
    yield
    assert browser.complaints() == []
    assert browser.strangers() == set()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", PAGES)
def test_every_page_speaks_its_language_in_its_direction(browser: Browser, language: str, page: str) -> None:
    direction, word = LANGUAGES[language]
    browser.open(f"/{language}{page}")
    assert browser.script("return document.documentElement.lang").startswith(language)
    assert browser.script("return getComputedStyle(document.body).direction") == direction
    browser.until(lambda: word in browser.text(".rail"), "the rail does not speak the language")
    browser.until(lambda: browser.script("return document.querySelectorAll('.card').length") > 0, "no content came")
    assert "{" not in browser.text(".rail")
    assert browser.script("return document.title").endswith("نبض" if language == "ar" else "Nabd")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", PAGES)
def test_every_page_fits_a_phone(browser: Browser, language: str, page: str) -> None:
    browser.phone()
    browser.open(f"/{language}{page}")
    browser.until(lambda: browser.script("return document.querySelectorAll('.card').length") > 0, "no content came")
    browser.until(lambda: browser.text(".card, .nicegui-content") != "", "no content came")
    too_wide = browser.script(
        """return [...document.querySelectorAll('.nicegui-content *, .top *, .rail *')]
             .filter((e) => e.getBoundingClientRect().width > innerWidth + 1 && !e.closest('.nicegui-leaflet, .chart'))
             .map((e) => e.tagName + '.' + e.className)"""
    )
    assert too_wide == []
    assert browser.script("return document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("page", PAGES)
def test_whatever_is_pressed_on_a_phone_is_as_wide_as_a_finger(browser: Browser, page: str) -> None:
    browser.phone()
    browser.open(f"/fr{page}")
    browser.until(lambda: browser.script("return document.querySelectorAll('.card').length") > 0, "no content came")
    small = browser.script(
        """return [...document.querySelectorAll('a, button, [role=button], .q-field__control, .q-slider')]
             .map((e) => [e, e.getBoundingClientRect()])
             .filter(([e, box]) => box.width > 1 && box.height > 1 && Math.min(box.width, box.height) < 43.5)
             .map(([e, box]) => `${e.outerHTML.slice(0, 90)} ${box.width}x${box.height}`)"""
    )
    assert small == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_chart_of_a_yes_or_no_says_words_and_no_numbers(browser: Browser, language: str) -> None:
    words = {"ar": ["لا", "نعم"], "fr": ["non", "oui"], "en": ["no", "yes"]}[language]
    browser.open(f"/{language}/assets/valve-001")
    written = """const box = document.querySelector('.chart');
        const chart = box && getElement(box.id.slice(1))?.chart;
        const axis = chart?.getOption().yAxis && chart.getOption().yAxis[0].axisLabel.formatter;
        return typeof axis === 'function' ? [axis(0), axis(1)] : []"""
    browser.until(lambda: browser.script(written) == words, f"the axis does not say {words}")


def test_a_page_arrives_with_its_content_and_a_wrong_address_is_told_in_its_language(url: str) -> None:
    page = httpx.get(f"{url}fr/assets/pole-001")
    assert page.status_code == 200
    assert "Lampadaire" in page.text
    assert 'data-metric=\\"voltage_v' in page.text
    assert page.headers["x-frame-options"] == "DENY"
    for number in ("0", "-1", "\N{ARABIC-INDIC DIGIT TWO}", "2", "9" * 6, "9" * 5_000):
        page = httpx.get(f"{url}en/assets", params={"page": number})
        assert (page.status_code, "pole-001" in page.text) == (200, True), number
    lost = httpx.get(f"{url}ar/nowhere")
    assert lost.status_code == 404
    assert "لا وجود لهذه الصفحة" in lost.text


def test_the_first_page_opens_in_the_browsers_language_and_stays_where_it_was_switched(
    browser: Browser, url: str
) -> None:
    assert httpx.get(url, headers={"accept-language": "de, fr;q=0.8, en;q=0.5"}).headers["location"] == "/fr/"
    assert httpx.get(url, headers={"accept-language": "de"}).headers["location"] == "/ar/"
    assert httpx.get(url, headers={"accept-language": ";q=x,,en;q=0"}).headers["location"] == "/ar/"
    browser.open("/en/assets?kind=waste_bin&zone=park")
    browser.click('[data-language="ar"]')
    browser.until(lambda: "/ar/assets?kind=waste_bin&zone=park" in browser.driver.current_url, "the page was left")
    browser.until(lambda: "حاوية نفايات" in browser.text("table"), "the list is not in Arabic")
    browser.driver.get(url)
    browser.until(lambda: browser.driver.current_url.endswith("/ar/"), "the language was forgotten")


def test_a_value_changes_on_the_open_page_without_a_reload(browser: Browser) -> None:
    browser.open("/en/assets/pole-001")
    browser.script("window.same = true")
    browser.until(lambda: browser.text('[data-metric="power_w"] .value'), "no power is shown")
    before = browser.text('[data-metric="power_w"] .value')
    browser.until(lambda: browser.text('[data-metric="power_w"] .value') != before, "the power never changed")
    assert browser.script("return window.same") is True


def test_ages_grow_and_a_silent_lamp_never_looks_alive(browser: Browser) -> None:
    browser.open("/en/assets/pole-013")
    browser.until(lambda: "No contact for" in browser.text(".page-head"), "silence is not said")
    browser.until(
        lambda: browser.script("return document.querySelector(arguments[0])?.classList.contains('is-stale')", LEVEL),
        "the old value is not marked",
    )
    assert "too old to count" in browser.text(LEVEL)
    assert "ago" in browser.text(LEVEL)


@pytest.mark.parametrize(
    ("language", "words"),
    [("ar", "يتعذر تحديث هذه الصفحة"), ("fr", "ne peut pas être actualisée"), ("en", "cannot be refreshed")],
)
def test_an_open_page_that_cannot_be_refreshed_says_so_and_comes_back(
    browser: Browser, console: Console, language: str, words: str
) -> None:
    browser.open(f"/{language}/health")
    assert words not in browser.text(".banner")
    console.process.send_signal(signal.SIGUSR1)
    try:
        browser.until(lambda: words in browser.text(".banner"), "the page does not say that it cannot be refreshed")
        assert "state.db: its disk is full" in browser.text(".banner")
    finally:
        console.process.send_signal(signal.SIGUSR1)
    browser.until(lambda: words not in browser.text(".banner"), "it never came back")
    said = console.log.read_text(encoding="utf-8")
    assert "event=page_refresh_failed section=health reason=" in said
    assert "Traceback" not in said, "a full disk is no fault of ours"


def test_the_map_shows_every_asset_and_leads_to_its_page(browser: Browser) -> None:
    browser.open("/fr/")
    count = "return Object.values(window.nabdMaps ?? {})[0]?.markers.size ?? 0"
    browser.until(lambda: browser.script(count) == 40, "the markers are not on the map")
    assert browser.script("return document.querySelectorAll('.map-zone').length") == 3
    assert browser.script("return document.querySelector('.leaflet-control-zoom-in').title") == "Agrandir la carte"
    assert browser.script("return document.querySelectorAll('.leaflet-tile').length") == 0
    browser.click('[data-map-kind="waste_bin"]')
    shown = "return Object.values(window.nabdMaps)[0].layer.getLayers().length"
    browser.until(lambda: browser.script(shown) == 34, "hiding a kind hides nothing")
    browser.script("Object.values(window.nabdMaps)[0].markers.get('pole-002').fire('click')")
    browser.until(lambda: browser.driver.current_url.endswith("/fr/assets/pole-002"), "a click leads nowhere")


def test_filters_narrow_the_list_and_stand_in_the_address(browser: Browser) -> None:
    browser.open("/en/assets")
    browser.until(
        lambda: "49 assets" in browser.text(".nicegui-content") or "assets" in browser.text(".card"), "no list"
    )
    browser.type(".search input", "pole-02")
    browser.until(lambda: "10 assets" in browser.text(".card"), "the search finds something else")
    browser.until(lambda: "text=pole-02" in browser.driver.current_url, "the address does not say it")
    browser.type(".search input", "no such thing")
    browser.until(lambda: "Nothing matches" in browser.text(".card"), "an empty list says nothing")


def test_an_alarm_is_acknowledged_with_a_name_that_is_remembered(browser: Browser) -> None:
    browser.open("/en/alarms")
    browser.until(lambda: browser.script("return document.querySelectorAll('.alarm').length") == 3, "no alarms")
    assert browser.text(".alarm .tag") == "Critical"
    browser.click('.alarm [data-act="acknowledge"]')
    browser.find(".dialog input")
    browser.click(".dialog .buttons .q-btn:last-child")
    browser.until(
        lambda: "Your name: please fill this in" in browser.text(".dialog .faults"), "an empty name is not refused"
    )
    browser.type(".dialog input", "Amina <b>")
    browser.click(".dialog .buttons .q-btn:last-child")
    browser.until(lambda: "seen by Amina <b>" in browser.text(".card"), "it is not acknowledged")
    browser.until(lambda: browser.text(".rail .badge") == "2", "the badge still counts it")
    browser.open("/en/alarms")
    browser.click('.alarm [data-act="acknowledge"]')
    browser.until(
        lambda: browser.script("return document.querySelector('.dialog input')?.value") == "Amina <b>",
        "the name is forgotten",
    )
    browser.find(".dialog input").send_keys(Keys.ENTER)
    browser.until(lambda: browser.text(".rail .badge") == "1", "the key Enter does not send")


def test_a_valve_is_opened_for_some_minutes_and_the_answer_comes_live(browser: Browser) -> None:
    browser.open("/en/commands?asset=valve-002")
    browser.click(".q-btn:has(.material-icons)")
    browser.until(
        lambda: "Reason: please fill this in" in browser.text(".faults"), "a command without a reason is not refused"
    )
    browser.type('input[aria-label="Reason"]', "new trees")
    browser.type('input[aria-label="Your name"]', "Youssef")
    browser.type('input[aria-label="For how many minutes"]', "240")
    browser.click(".q-btn:has(.material-icons)")
    browser.until(lambda: "Longest run" in browser.text(".faults"), "the longest run is not checked")
    browser.type('input[aria-label="For how many minutes"]', "20")
    browser.click(".q-btn:has(.material-icons)")
    browser.until(lambda: "It affects 1 asset" in browser.text(".dialog"), "it is not shown what it affects")
    assert "new trees" in browser.text(".dialog")
    browser.click(".dialog .buttons .q-btn:last-child")
    browser.until(lambda: "new trees" in browser.text("table"), "the command is not listed")
    browser.until(lambda: "confirmed" in browser.text("table"), "the confirmation does not come")
    browser.open("/ar/assets/valve-002")
    browser.until(lambda: "new trees" in browser.text(".audit"), "the audit does not tell it")
    browser.until(lambda: "مفتوح" in browser.text('[data-metric="open"]'), "the valve does not look open")


def test_a_zone_is_dimmed_and_the_command_taken_back(browser: Browser) -> None:
    browser.open("/fr/commands")
    browser.click(".q-btn:has(.material-icons)")
    browser.until(lambda: "Choisissez où" in browser.text(".faults"), "a command for nowhere is not refused")
    browser.type('input[aria-label="Où"]', "Hay Riad")
    browser.until(lambda: "Hay Riad" in browser.text(".q-menu .q-item"), "the zone is not offered")
    browser.click(".q-menu .q-item")
    browser.type('input[aria-label="Motif"]', "nuit des étoiles")
    browser.type('input[aria-label="Votre nom"]', "Amina")
    browser.click(".q-btn:has(.material-icons)")
    browser.until(lambda: "Touche 10 équipements" in browser.text(".dialog"), "another number is affected")
    browser.click(".dialog .buttons .q-btn:last-child")
    row = "tr[data-wish]:has(.press)"
    browser.until(lambda: "nuit des étoiles" in browser.text(row), "the command is not listed")
    browser.until(
        lambda: "non confirmée" in browser.text(row) or "confirmée" in browser.text(row), "no answer is shown"
    )
    browser.click(f"{row} .press")
    browser.find(".dialog input")
    browser.click(".q-dialog .buttons .q-btn:last-child")
    browser.until(lambda: "retirée" in browser.text(".nicegui-content"), "it is not taken back")


def test_a_waiting_device_is_registered_with_one_dialog(browser: Browser) -> None:
    browser.open("/en/health")
    browser.until(lambda: "lamp-new-1" in browser.text(".nicegui-content"), "the waiting device is not shown")
    browser.click('[data-act="register"]')
    browser.until(lambda: "Street light" in browser.text(".dialog"), "the kind of its birth is not chosen")
    browser.type('.dialog input[aria-label="Your name"]', "Saïd")
    browser.click(".dialog .buttons .q-btn:last-child")
    browser.until(lambda: "Nobody is waiting" in browser.text(".nicegui-content"), "it still waits")
    assert httpx.get(f"{browser.url}/api/v1/devices/lamp-new-1").json()["kind"] == "street_light"


def test_the_theme_is_switched_and_remembered(browser: Browser) -> None:
    browser.open("/en/")
    was_dark = browser.script("return document.body.classList.contains('body--dark')")
    browser.click("[data-theme-toggle]")
    dark = "return document.body.classList.contains('body--dark')"
    browser.until(lambda: browser.script(dark) is not was_dark, "nothing changes")
    browser.open("/en/health")
    browser.until(lambda: browser.script(dark) is not was_dark, "the choice is forgotten")


def test_a_row_of_the_quarantine_is_found_looked_at_replayed_and_dropped_with_a_name(browser: Browser) -> None:
    browser.open("/en/health")
    browser.click('a.press[href="/en/quarantine"]')
    rows = "return document.querySelectorAll('tr[data-row]').length"
    browser.until(lambda: browser.script(rows) == 3, "the three rows are not listed")
    browser.type('input[aria-label="Device"]', "valve-001")
    browser.until(lambda: browser.script(rows) == 1, "the filter finds something else")
    browser.click('[data-act="look"]')
    browser.until(lambda: "ff fe 00" in browser.text(".dialog .payload"), "the bytes are not shown as hex")
    browser.click(".dialog .buttons .q-btn:last-child")
    browser.until(lambda: "Nothing is stored twice" in browser.text(".dialog"), "it is not said what a replay does")
    browser.type(".dialog input", Keys.DELETE)  # a name from an act before is remembered
    browser.click(".dialog .buttons .q-btn:last-child")
    browser.until(lambda: "please fill this in" in browser.text(".dialog .faults"), "an empty name is not refused")
    browser.type(".dialog input", "Amina")
    browser.click(".dialog .buttons .q-btn:last-child")
    browser.until(lambda: "Rows that stay here: 1" in browser.text("body"), "nobody says what became of it")
    browser.click(".filters .q-btn.text-negative")
    browser.until(lambda: "This cannot be taken back" in browser.text(".dialog"), "a drop does not ask")
    assert "1 row" in browser.text(".dialog h2")
    browser.click(".dialog .buttons .q-btn:last-child")
    browser.until(lambda: "Nothing matches" in browser.text(".card"), "it is still there")
    browser.open("/fr/quarantine")
    browser.until(lambda: browser.script(rows) == 2, "others went with it")


def test_gaps_are_told_in_words_with_their_times(browser: Browser) -> None:
    browser.open("/en/assets/pole-006")
    browser.until(lambda: "2 readings missing between" in browser.text(".gaps"), "the gap is not told")
    told = browser.text(".gaps")
    assert "The device may still send them." in told
    assert "1 reading gone between" in told
    assert "The device no longer holds them." in told
    assert "1 reading could not be read" in told


def test_completeness_is_found_from_health_and_by_asset_the_worst_stands_first(browser: Browser) -> None:
    browser.open("/en/health")
    browser.until(lambda: "day by day" in browser.text("body"), "no way to the completeness")
    browser.open("/en/completeness?by=asset&days=7")
    browser.until(lambda: len(browser.script("return [...document.querySelectorAll('tbody tr')]")) > 2, "no rows")
    rows = browser.script("return [...document.querySelectorAll('tbody tr')].map(row => row.innerText)")
    assert "Altogether" in rows[0]
    assert "pole-006" in rows[1]
    assert "of these unreadable 1" in rows[1]
    assert "100" in rows[2]
    browser.open("/fr/completeness?by=day")
    browser.until(lambda: "23/11/2026" in browser.text("body"), "no days")
