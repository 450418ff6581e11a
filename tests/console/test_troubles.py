"""What is wrong with the platform is said in the reader's language, with the exact sentence behind it."""

import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from console.health import read_health
from console.language import languages
from console.troubles import ROOMS, troubles
from contract import full_disk
from tests.console.demo_platform import DemoCity

ROOT = Path(__file__).parents[2]
FULL = "/city/log.sqlite: 4000000001 bytes in use, 4000000000 allowed ([log] bytes_max), and consumer store has read"
CROWDED = "/city/log.sqlite: the quarantine holds 100 bytes, 99 allowed; find the device that sends what cannot be read"


def told(city: DemoCity, code: str, **health: Any) -> list[tuple[str, str, str]]:
    city.told |= health
    found = troubles(languages()[code], read_health(city.platform()))
    return [(one.room, one.sentence, one.detail) for one in found]


def test_a_platform_that_is_well_has_no_troubles(city: DemoCity) -> None:
    assert told(city, "ar") == []


@pytest.mark.parametrize("code", ["ar", "fr", "en"])
@pytest.mark.parametrize("room", ROOMS)
def test_every_room_that_stands_still_is_named_in_the_readers_words(city: DemoCity, code: str, room: str) -> None:
    text = languages()[code].text(f"fault.{room.replace(' ', '_')}")
    assert told(city, code, faults=[f"{room}: connection refused: 8086"]) == [(room, text, "connection refused: 8086")]


@pytest.mark.parametrize(
    ("holding", "word"), [(FULL, "log_full"), (CROWDED, "quarantine_full"), ("disk I/O error", "holding")]
)
def test_why_nothing_is_kept_is_told_apart(city: DemoCity, holding: str, word: str) -> None:
    assert told(city, "fr", holding=holding) == [("log", languages()["fr"].text(f"reason.{word}"), holding)]


def test_a_broker_that_is_away_is_one_trouble_with_its_cause(city: DemoCity) -> None:
    found = told(city, "en", connected=False, faults=["broker: connection refused", "store: token refused"])
    assert [room for room, _, _ in found] == ["broker", "store"]
    assert found[0][2] == "connection refused"


@pytest.mark.parametrize("code", ["ar", "fr", "en"])
def test_who_fills_the_quarantine_is_named_and_the_nameless_are_said_to_be_so(city: DemoCity, code: str) -> None:
    city.log.quarantine_rows.full = (("lamp-5", 9), ("", 8))
    named, nameless = (sentence for _, sentence, _ in told(city, code))
    assert "lamp-5" in named
    assert nameless == languages()[code].text("reason.quarantine_filled_by_strangers")


def test_a_fault_of_a_room_nobody_knows_is_shown_as_it_is(city: DemoCity) -> None:
    assert told(city, "en", faults=["heating: cold"]) == [("", languages()["en"].text("reason.fault"), "heating: cold")]


def test_a_log_far_ahead_of_its_store_is_told_with_how_far(city: DemoCity) -> None:
    city.behind = 60_000
    city.log.entries += city.log.entries[:1] * 60_000
    assert [(room, "60,000" in sentence) for room, sentence, _ in told(city, "en")] == [("store", True)]


@pytest.fixture(scope="module")
def ailing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a console whose store is away, whose log is full, and whose broker asks for passwords."""
    command = [sys.executable, "-m", "tests.console.demo_platform", "--port", "0", "--lights", "14", "--ailing"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


def page(url: str) -> str:
    """What a page shows, as it arrives: content is HTML, escaped once more for its way to the browser."""
    return unescape(unescape(httpx.get(url).text)).replace('\\"', '"')


@pytest.mark.parametrize("code", ["ar", "fr", "en"])
@pytest.mark.parametrize("section", ["", "alarms", "health"])
def test_every_page_says_what_is_wrong(ailing: str, code: str, section: str) -> None:
    shown = page(f"{ailing}{code}/{section}")
    texts = languages()[code]
    for key in ("reason.log_full", "fault.store"):
        assert texts.text(key) in shown
    assert "http://influxdb:8086: connection refused" in shown


@pytest.mark.parametrize("code", ["ar", "fr", "en"])
def test_the_health_page_marks_what_stands_still_and_says_where_credentials_come_from(ailing: str, code: str) -> None:
    shown = page(f"{ailing}{code}/health")
    texts = languages()[code]
    assert shown.count(f'class="under">{texts.text("health.stands_still")}<') == 1
    assert texts.text("health.left_out") in shown
    assert texts.text("deferred.no_credential") in shown
    assert "nabd devices rotate ID --credentials node.json" in shown


HOURS_2_10 = {"en": "2 hours 10 minutes", "fr": "2 heures 10 minutes", "ar": "ساعتان 10 دقائق"}
DAYS_3 = {"en": "3 days", "fr": "3 jours", "ar": "3 أيام"}


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize("code", ["ar", "fr", "en"])
@pytest.mark.parametrize(("consumer", "room"), [("store", "store"), ("decider", "decider"), ("live", "live view")])
def test_who_is_behind_is_told_in_time_and_how_long_the_log_has_room(
    city: DemoCity, code: str, consumer: str, room: str
) -> None:
    city.log.unread_since = lambda: city.clock.now_ms() - 7_800_000
    position = city.log.last()
    city.consumers = {"store": position, "decider": position, "live": position, consumer: position - 7}
    [(told_room, sentence, _)] = told(city, code, log={"full_in_s": 3 * 86_400.0 + 3_000.0})
    assert told_room == room
    assert HOURS_2_10[code] in plain(sentence)
    assert DAYS_3[code] in plain(sentence)
    [reason] = read_health(city.platform()).reasons
    assert "2 hours 10 minutes (7 entries) behind the log" in reason
    assert "full in about 3 days" in reason


def test_a_store_that_is_a_moment_behind_is_well(city: DemoCity) -> None:
    city.log.unread_since = lambda: city.clock.now_ms() - 5_000
    assert told(city, "en") == []
    assert read_health(city.platform()).lag_s == {"store": 5.0, "decider": 0.0, "live": 0.0}


@pytest.mark.parametrize("code", ["ar", "fr", "en"])
def test_each_rooms_full_disk_is_told_apart_with_the_remedy(city: DemoCity, code: str) -> None:
    log, state, store = (full_disk.sentence(f"/city/{name}", "no room") for name in ("log.db", "state.db", "s.duckdb"))
    found = told(city, code, holding=log, faults=[f"decider: {state}", f"store: {store}"])
    text = languages()[code].text
    assert found == [
        ("log", text("reason.log_disk_full"), log),
        ("decider", text("fault.decider_disk_full"), state),
        ("store", text("fault.store_disk_full"), store),
    ]
    assert len({sentence for _, sentence, _ in found}) == 3


@pytest.mark.parametrize("code", ["ar", "fr", "en"])
@pytest.mark.parametrize(("by_s", "key"), [(3600.0, "clock_forward"), (-3600.0, "clock_back")])
def test_a_clock_that_jumped_and_a_log_that_waits_for_it_are_two_troubles(
    city: DemoCity, code: str, by_s: float, key: str
) -> None:
    found = told(city, code, log={"clock_jump_s": by_s, "ahead_s": 1800.0})
    language = languages()[code]
    assert [(room, sentence) for room, sentence, _ in found] == [
        ("clock", language.text(f"reason.{key}", span=language.span(3600))),
        ("clock", language.text("reason.log_ahead", span=language.span(1800))),
    ]
    assert "by 1 hour" in found[0][2]
    assert "30 minutes ahead" in found[1][2]


@pytest.mark.parametrize("code", ["ar", "fr", "en"])
def test_the_health_page_names_the_device_that_says_too_much_and_what_to_do(ailing: str, code: str) -> None:
    shown = page(f"{ailing}{code}/health")
    texts = languages()[code]
    assert texts.text("over.title") in shown
    assert "lamp-001" in shown.split(texts.text("over.means"))[1].split("</table>")[0]
    assert texts.text("over.do_readings") in shown
