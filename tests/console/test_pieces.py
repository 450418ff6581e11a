"""The small parts of pages: escaping, charts with gaps, wishes put together, shared work."""

import asyncio
import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from html import unescape
from itertools import pairwise

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from nicegui import Client, ui

from console import desk as desks
from console.acts import Scope
from console.conditions import Condition
from console.desk import STORE_THREADS, Desk, gap_of
from console.documents import missing
from console.language import languages
from console.markup import Html, h, isolated
from console.pages import asset
from console.pages.charts import broken, read_rows
from console.pages.commands import scope_of
from console.pages.frame import Frame
from console.pages.pieces import Pieces
from console.wishes import INTENTS_MAX, Progress, progress, read_wishes
from contract.decisions import Intent, IntentState, Lease, LeaseTarget, Rank, Severity, Step
from contract.kind import LANGUAGES, Value
from contract.ports import Effects, LedgerRow, StoreFault
from contract.questions import Question
from contract.records import Registered
from tests.console.demo_platform import DARK, DEAF, SILENT, DemoCity
from tests.waiting import WITHIN_S, until


@given(st.text(max_size=40))
def test_no_text_can_become_a_tag(text: str) -> None:
    written = h("p", text, title=text)
    assert "<" not in written.removeprefix("<p").removesuffix("</p>").replace(">", "", 1)
    inner = written.split('title="', 1)[1] if text else ""
    assert inner.count('"') <= 1


def test_markup_is_not_escaped_twice_and_absent_attributes_are_left_out() -> None:
    assert h("a", isolated("a<b"), href="/x", class_="row", hidden=False, title=None, open=True, data_at=7) == (
        '<a href="/x" class="row" open data-at="7"><bdi>a&lt;b</bdi></a>'
    )
    assert isinstance(h("br"), Html)


def test_a_line_is_broken_where_nothing_was_measured() -> None:
    shift: Callable[[int], int] = lambda ms: ms  # noqa: E731
    rows: list[tuple[int, Value]] = [(0, 1.0), (1_000, 0.5), (9_000, 0.0)]
    assert broken(rows, 2_500, 100, shift) == [[0, 100.0], [1_000, 50.0], [1_001, None], [9_000, 0.0]]
    assert broken([], 2_500, 1, shift) == []


def test_a_chart_of_steps_shows_how_much_a_counter_grew_and_the_mean_of_a_number(city: DemoCity) -> None:
    """The energy of the demo's lamps grows by 1 Wh an hour; a month has steps of two."""
    desk = Desk(city.platform())
    kind = desk.platform.kinds["street_light"]
    grown = read_rows(desk, "pole-001", kind, kind.metrics["energy_wh"], "month").values
    assert {value for _, value in grown[1:-1]} == {2.0}, "the first has no reading before, the last is not over"
    shown = read_rows(desk, "pole-001", kind, kind.metrics["energy_wh"], "day").values
    assert all(float(before) <= float(after) for (_, before), (_, after) in pairwise(shown))
    assert float(shown[-1][1]) > 1000
    volts = read_rows(desk, "pole-001", kind, kind.metrics["voltage_v"], "month").values
    assert all(229 < float(value) < 233 for _, value in volts)


def test_a_chart_of_an_asset_whose_device_was_moved_shows_what_was_measured_on_it(
    city: DemoCity, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(city.platform())
    kind = desk.platform.kinds["street_light"]
    asked: list[Question] = []
    monkeypatch.setattr(city.store, "readings", lambda question: asked.append(question) or [])  # type: ignore[func-returns-value]
    read_rows(desk, "pole-001", kind, kind.metrics["level"], "day")
    city.append(Registered(device="lamp-001", kind=kind.name, commune="berkane", asset="pole-900"))
    read_rows(desk, "pole-001", kind, kind.metrics["level"], "day")
    assert [(question.device, question.asset) for question in asked] == [("lamp-001", None), (None, "pole-001")]


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_page_of_an_asset_whose_device_was_moved_keeps_its_history_and_says_so(city: DemoCity, code: str) -> None:
    desk, language = Desk(city.platform()), languages()[code]
    request = Request({"type": "http", "method": "GET", "path": f"/{code}/assets", "query_string": b"", "headers": []})

    async def looked_at(frame: Frame, client: Client) -> str:
        city.clock.advance(2_000)
        await frame._refresh()
        assert not frame._failing
        return unescape("".join(one.content for one in client.elements.values() if isinstance(one, ui.html)))

    async def look() -> None:
        moved, alarm = language.text("asset.no_device"), city.state.alarms(asset="pole-011")[1][0].alarm.alarm
        with Client(ui.page(""), request=request) as opened:
            frame = asset.build(desk, language, request, "pole-011")
            assert moved not in await looked_at(frame, opened)
            await city.submit(Registered(device=DARK, kind="street_light", commune="berkane", asset="pole-900"))
            told = await looked_at(frame, opened)
            assert (moved in told, alarm in told, DARK in told) == (True, True, True)
            await city.submit(Registered(device="lamp-001", kind="street_light", commune="berkane", asset="pole-011"))
            told = await looked_at(frame, opened)
            assert (moved in told, "lamp-001" in told) == (False, True)
        for name, words in (("pole-001", moved), ("absent", language.text("empty.no_such_asset"))):
            with Client(ui.page(""), request=request) as anew:
                assert words in await looked_at(asset.build(desk, language, request, name), anew)

    asyncio.run(look())


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9)), max_size=6))
def test_missing_numbers_are_those_no_range_covers(spans: list[tuple[int, int]]) -> None:
    ranges = [(start, start + length) for start, length in spans]
    covered = {number for start, end in ranges for number in range(start, end + 1)}
    expected = set(range(1, max(covered, default=0) + 1)) - covered
    assert {number for start, end in missing(ranges) for number in range(start, end + 1)} == expected


def test_a_gap_counts_missing_and_gone_apart() -> None:
    row = LedgerRow(device="lamp-3", stream="9f3c01aa", have=((1, 40), (46, 120)), gone=((41, 42),))
    gap = gap_of("lamp-3", "pole-3", [row])
    assert (gap.missing, gap.gone, gap.ranges) == (3, 2, ((43, 45),))


@pytest.mark.parametrize(
    ("choice", "scope"),
    [
        ("all:", Scope(kind="street_light")),
        ("zone:berkane/centre", Scope(kind="street_light", commune="berkane", zone="centre")),
        ("setting:circuit/c1/a", Scope(kind="street_light", settings={"circuit": "c1/a"})),
        ("asset:urn:x:1", Scope(kind="street_light", asset="urn:x:1")),
    ],
)
def test_a_choice_of_place_becomes_its_scope(choice: str, scope: Scope) -> None:
    assert scope_of("street_light", choice) == scope


def intent(intent_id: str = "i1", asset: str = "pole-1", wish: str = "") -> Intent:
    return Intent(
        intent=intent_id, asset=asset, target="level", to=0.5, rank=Rank.OPERATOR, reason="r", by="amina",
        decided_at_ms=0, until_ms=10, wish=wish,
    )  # fmt: skip


def lease(of: str, state: Step, code: str = "") -> dict[str, Lease]:
    target = LeaseTarget(to=0.5, until_ms=10, reason="r", intent=of)
    return {
        "pole-1": Lease(device="lamp-1", asset="pole-1", version=1, issued_ms=0, targets={"level": target},
                        state=state, code=code)
    }  # fmt: skip


def test_how_far_a_wish_got_is_how_far_its_own_lease_got() -> None:
    won = IntentState(intent=intent(), step=Step.WON, at_ms=0, why="alone")
    assert progress(won, lease("i1", Step.CONFIRMED)) == Progress("pole-1", Step.CONFIRMED, "alone")
    assert progress(won, lease("i1", Step.REFUSED, "over_limit")) == Progress("pole-1", Step.REFUSED, "over_limit")
    assert progress(won, lease("other", Step.CONFIRMED)) == Progress("pole-1", Step.WON, "alone")
    lost = IntentState(intent=intent(), step=Step.LOST, at_ms=0, why="outranked")
    assert progress(lost, lease("i1", Step.CONFIRMED)).step is Step.LOST


def test_wishes_of_one_request_stand_together_and_rules_apart(city: DemoCity) -> None:
    rows = [
        IntentState(intent=intent(f"p{number}", f"pole-00{number}", "w1"), step=Step.WON, at_ms=number)
        for number in range(1, 4)
    ]
    ruled = IntentState(
        intent=Intent(intent="r", asset="pole-001", target="level", to=1, rank=Rank.RULE, reason="rule:x", by="x",
                      decided_at_ms=0),
        step=Step.WON, at_ms=9,
    )  # fmt: skip
    city.state.commit(Effects(intents=[*rows, ruled]), 1)
    wishes = read_wishes(Desk(city.platform()))
    (wish,) = wishes.past
    assert wish.id == "w1"
    assert [part.asset for part in wish.parts] == ["pole-001", "pole-002", "pole-003"]
    assert (wish.running, wishes.running) == (False, [])


def test_a_wish_that_runs_is_found_however_many_intents_changed_since(city: DemoCity) -> None:
    until_ms = city.clock.now_ms() + 86_400_000
    lasting = [
        IntentState(intent=replace(intent(f"m{n}", f"pole-{n}", f"w{n}"), until_ms=until_ms), step=Step.WON, at_ms=n)
        for n in range(INTENTS_MAX + 1)
    ]
    ruled = [
        IntentState(intent=replace(intent(f"r{n}"), rank=Rank.RULE), step=Step.WON, at_ms=9) for n in range(INTENTS_MAX)
    ]
    over = [IntentState(intent=intent(f"o{n}", wish=f"o{n}"), step=Step.EXPIRED, at_ms=9) for n in range(INTENTS_MAX)]
    city.state.commit(Effects(intents=[lasting[0], *ruled, *over]), 1)
    wishes = read_wishes(Desk(city.platform()))
    assert [wish.id for wish in wishes.running] == ["w0"]
    assert not wishes.cut
    city.state.commit(Effects(intents=lasting), 2)
    assert read_wishes(Desk(city.platform())).cut, "one more runs than is read"


def test_shared_work_is_done_once_for_all_who_ask(city: DemoCity) -> None:
    desk = Desk(city.platform())
    runs: list[int] = []

    async def ask() -> None:
        results = await asyncio.gather(*(desk.shared("x", lambda: runs.append(1) or len(runs)) for _ in range(20)))  # type: ignore[func-returns-value]
        assert set(results) == {1}
        city.clock.advance(2_000)
        assert await desk.shared("x", lambda: 7) == 7

    asyncio.run(ask())
    assert runs == [1]


def test_a_failed_look_is_tried_again_and_not_remembered(city: DemoCity) -> None:
    desk = Desk(city.platform())

    def fail() -> int:
        raise OSError("disk")

    async def ask() -> int:
        with pytest.raises(OSError, match="disk"):
            await desk.shared("x", fail)
        return await desk.shared("x", lambda: 3)

    assert asyncio.run(ask()) == 3


def test_a_store_that_hangs_holds_neither_pages_nor_the_platforms_own_threads(city: DemoCity) -> None:
    desk = Desk(city.platform())
    answers, asked = threading.Event(), list[int]()

    def hang(number: int) -> None:
        asked.append(number)
        answers.wait(WITHIN_S)

    async def look() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        waiting = [
            asyncio.create_task(desk.shared(("chart", number), partial(hang, number), asks_store=True))
            for number in (1, 2, 3, 3, 4)
        ]
        try:
            async with asyncio.timeout(WITHIN_S / 2):
                assert await desk.shared("x", lambda: 7) == 7
                assert await asyncio.to_thread(lambda: 8) == 8
            await until(lambda: len(asked) == STORE_THREADS, "as many are asked as there are threads for them")
            desk.close()
            await asyncio.sleep(0)
        finally:
            answers.set()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert len(asked) == STORE_THREADS, "what waits at a stop is not asked any more"

    asyncio.run(look())


def test_a_question_that_is_on_its_way_is_not_asked_twice_whatever_is_asked_meanwhile(
    city: DemoCity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desks, "SHARED_MAX", 3)
    desk = Desk(city.platform())
    answers, asked = threading.Event(), list[int]()

    def hang() -> int:
        asked.append(1)
        answers.wait(WITHIN_S)
        return 5

    async def look() -> None:
        first = asyncio.create_task(desk.shared("slow", hang, asks_store=True))
        for number in range(9):
            assert await desk.shared(number, lambda: 7) == 7
        again = asyncio.create_task(desk.shared("slow", hang, asks_store=True))
        await desk.shared("last", lambda: 7)
        answers.set()
        assert [await first, await again, asked] == [5, 5, [1]]

    asyncio.run(look())


def test_a_question_that_fails_after_nobody_waits_any_longer_is_no_line_in_the_log(city: DemoCity) -> None:
    desk = Desk(city.platform())
    fails, complaints = threading.Event(), list[dict[str, object]]()

    def fail() -> None:
        fails.wait(WITHIN_S)
        raise StoreFault("it gave no answer")

    async def look() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        asking = asyncio.create_task(desk.shared("x", fail))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        fails.set()
        await until(lambda: desk._shared["x"][1].done(), "it fails")
        desk._shared.clear()
        gc.collect()

    asyncio.run(look())
    assert complaints == []


def test_the_city_at_a_glance_counts_alarms_silence_and_changes(city: DemoCity) -> None:
    desk = Desk(city.platform())

    async def look() -> None:
        first = await desk.city()
        assert (sum(first.firing.by_severity.values()), first.firing.unseen, first.silent) == (3, 3, 1)
        assert first.by_kind["street_light"][Condition.FAULT] == 2
        assert len(first.markers) == 19
        city.clock.advance(2_000)
        second = await desk.city()
        assert [m.asset for m in second.markers if m.generation > first.generation] == []
        city.levels["lamp-001"] = 0.0
        city.step()
        city.clock.advance(2_000)
        third = await desk.city()
        assert [m.asset for m in third.markers if m.generation > second.generation] == ["pole-001"]

    asyncio.run(look())


def test_the_one_grave_alarm_is_seen_however_many_newer_ones_fire(city: DemoCity) -> None:
    _, rows = city.state.alarms()
    storm = [
        replace(rows[0].alarm, alarm=f"storm-{n}", asset=f"far-{n}", severity=Severity.MINOR,
                since_ms=city.clock.now_ms() + n)
        for n in range(12_000)
    ]  # fmt: skip
    grave = replace(rows[0].alarm, alarm="grave", asset="pole-002", severity=Severity.CRITICAL, since_ms=1)
    city.state.commit(Effects(alarms=[grave, *storm]), 1)
    seen = asyncio.run(Desk(city.platform()).city())
    assert seen.firing.by_severity[Severity.MINOR] >= 12_000
    assert "grave" in [row.alarm.alarm for row in seen.gravest]
    assert [marker.condition for marker in seen.markers if marker.asset == "pole-002"] == [Condition.FAULT]


def test_rates_are_per_real_second(city: DemoCity) -> None:
    desk = Desk(city.platform())

    async def look() -> None:
        await desk.figures()
        city.clock.advance(10_000)
        city.log.append([], 0, counts={"received": 50, "accepted": 50})
        figures = await desk.figures()
        assert figures.per_s["accepted"] == 5.0

    asyncio.run(look())


def test_a_value_stands_with_its_age_and_an_old_one_is_marked(city: DemoCity) -> None:
    pieces = Pieces(Desk(city.platform()), languages()["en"])
    live = city.live.device(DARK)
    assert live is not None
    metrics = city.kinds["street_light"].metrics
    tile = pieces.value_tile(metrics["power_w"], live)
    assert "0.0\u00a0W" in tile
    assert f'data-at="{live.values["power_w"].measured_at_ms}"' in tile
    assert f'data-stale="{live.stale_at_ms(live.values["power_w"], city.clock.now_ms())}"' in tile
    unknown = pieces.value_tile(metrics["illuminance_lx"], live)
    assert "never measured" in unknown
    assert "data-at" not in unknown
    silent = city.live.device(SILENT)
    assert silent is not None
    assert "No contact for" in pieces.contact(silent, city.clock.now_ms())
    assert DEAF != SILENT


def test_an_alarm_of_a_stranger_cannot_smuggle_markup_in(city: DemoCity) -> None:
    pieces = Pieces(Desk(city.platform()), languages()["ar"])
    _, rows = city.state.alarms()
    bad = "<script>alert(1)</script>"
    row = replace(rows[0], alarm=replace(rows[0].alarm, because=bad, text={"ar": bad}, asset="pole-1"),
                  acknowledged_by=bad, acknowledged_at_ms=1)  # fmt: skip
    assert "<script" not in pieces.alarm(row)
