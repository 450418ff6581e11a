"""An asset's page says in words what is missing, and whether two nodes speak under one name."""

import pytest
from msgspec.structs import replace

from console.completeness import Fate, NamedGap, Sum
from console.desk import Desk
from console.language import languages
from console.pages.gap_words import GapWords, Whole, read_whole, share
from contract.decisions import AlarmState
from contract.ports import AlarmRow
from contract.records import Conflicted, Entry, Reading, Record, Telemetry
from contract.tally import Gap, Place, StreamEnd
from rules.identity import IdentityWatch
from tests.console.demo_platform import HOUR_MS, START_MS, DemoCity

PLACE = Place("lamp-1", "pole-1", "street_light", "berkane", "centre")


@pytest.fixture
def desk(city: DemoCity) -> Desk:
    return Desk(city.platform())


def words(desk: Desk, code: str) -> GapWords:
    return GapWords(desk, languages()[code])


def end(stream: str, began_ms: int, heard_ms: int) -> StreamEnd:
    return StreamEnd(
        device="lamp-1", stream=stream, floor=1, next_seq=9, last_ms=heard_ms, began_ms=began_ms, heard_ms=heard_ms
    )


def two_nodes() -> AlarmRow:
    watch = IdentityWatch()
    telemetry = Telemetry(
        device="lamp-1", asset="pole-1", kind="street_light", stream="aaaaaaaa", boot=1,
        readings=(Reading(1, START_MS, {}),),
    )  # fmt: skip
    records: tuple[Record, ...] = (
        telemetry,
        *(Conflicted(device="lamp-1", stream="aaaaaaaa", seq=seq) for seq in (1, 2, 3)),
    )
    told = [alarm for n, record in enumerate(records, 1) for alarm in watch.apply(Entry(n, START_MS + n, record))]
    return AlarmRow(alarm=told[0], acknowledged_by=None, acknowledged_at_ms=None)


@pytest.mark.parametrize(
    ("code", "said", "means"),
    [
        ("en", "12 readings missing between 23 Nov 2026 14:00:00 and 23 Nov 2026 17:15:00", "may still send"),
        ("fr", "12 mesures manquantes entre 23/11/2026 14:00:00 et 23/11/2026 17:15:00", "peut encore"),
        ("ar", "12 قراءة ناقصة بين", "ما زال بإمكان الجهاز"),
    ],
)
def test_a_gap_is_told_with_its_times_and_what_may_become_of_it(desk: Desk, code: str, said: str, means: str) -> None:
    day_ms = START_MS - START_MS % (24 * HOUR_MS)
    gap = Gap(
        place=PLACE, stream="9f3c01aa", first=5, last=16, from_ms=day_ms + 13 * HOUR_MS,
        to_ms=day_ms + 16 * HOUR_MS + HOUR_MS // 4, opened_ms=START_MS,
    )  # fmt: skip
    whole = Whole(week=Sum(), gaps=[NamedGap(gap=gap, fate=Fate.OPEN)], gaps_number=4, memories=[], alarms=[])
    html = words(desk, code).gaps_html(whole)
    assert html is not None
    assert said in html
    assert means in html
    assert "9f3c01aa 5–16" in html
    assert "3" in html.rsplit("<li", 1)[1]  # and three more


def test_a_gap_before_the_first_reading_has_no_beginning(desk: Desk) -> None:
    gap = Gap(place=PLACE, stream="9f3c01aa", first=1, last=1, from_ms=None, to_ms=START_MS, opened_ms=START_MS)
    whole = Whole(week=Sum(), gaps=[NamedGap(gap=gap, fate=Fate.GONE)], gaps_number=1, memories=[], alarms=[])
    html = words(desk, "en").gaps_html(whole)
    assert html is not None
    assert "1 reading gone before 23 Nov 2026" in html
    assert "no longer holds" in html


def test_the_week_of_an_asset_is_read_with_its_gaps(desk: Desk) -> None:
    whole = read_whole(desk, "pole-006", "lamp-006")
    assert (whole.week.had, whole.week.expected, whole.gaps_number) == (14, 17, 3)
    assert [one.stream for one in whole.memories] == ["9f3c01aa"]
    assert whole.alarms == []
    assert [row.alarm.rule for row in read_whole(desk, "bin-002", "bin-002").alarms] == ["bin_fire"]
    said = words(desk, "en").week_html(whole.week).replace("\u00a0", " ")
    assert "82.3 % of the last 7 days (14 of 17 readings)" in said
    assert "No reading was expected" in words(desk, "en").week_html(Sum())


@pytest.mark.parametrize("code", ["ar", "fr", "en"])
def test_two_nodes_are_told_with_their_memories_and_what_to_do(desk: Desk, code: str) -> None:
    memories = [end("bbbbbbbb", START_MS, START_MS + 2), end("aaaaaaaa", START_MS - 9, START_MS + 1)]
    html = words(desk, code).identity_html([two_nodes()], "lamp-1", memories)
    assert languages()[code].text("identity.title") in html
    assert "aaaaaaaa" in html
    assert "bbbbbbbb" in html
    assert "nabd devices rotate lamp-1" in html


def test_a_node_that_began_anew_is_told_apart_from_two_nodes(desk: Desk) -> None:
    memories = [end("bbbbbbbb", START_MS, START_MS + 9), end("aaaaaaaa", 0, START_MS - 9)]
    anew = words(desk, "en").identity_html([], "lamp-1", memories)
    assert "began a new memory on 23 Nov 2026" in anew
    assert "rotate" not in anew
    assert words(desk, "en").identity_html([], "lamp-1", [end("aaaaaaaa", 0, START_MS)]) == ""


def test_an_alarm_that_is_over_is_told_no_more(desk: Desk) -> None:
    row = two_nodes()
    over = replace(row, alarm=replace(row.alarm, state=AlarmState.RESOLVED))
    assert words(desk, "en").identity_html([over], "lamp-1", []) == ""


def test_a_share_below_the_whole_never_reads_as_the_whole() -> None:
    assert share(languages()["en"], 1.0) == "100\u00a0%"
    assert share(languages()["en"], 0.99999) == "99.9\u00a0%"
    assert share(languages()["en"], 0.0) == "0\u00a0%"
