"""The live view: the newest of everything, and never an old value as a new one."""

from typing import Any

from console.conditions import Condition, condition
from console.live import Contact, LiveView
from contract.kind_file import load_kinds
from contract.ports import Device
from contract.records import Entry, Quality, Reading, Record, Registered, Reported, Status, Telemetry, Tick

KINDS = load_kinds()
PERIOD_MS, DAY_MS = 900_000, 86_400_000
T0 = 1_795_458_000_000


class Feeder:
    """Feeds a view as the log would."""

    def __init__(self, view: LiveView | None = None) -> None:
        self.view = LiveView(KINDS) if view is None else view
        self.position = 0

    def __call__(self, record: Record, at_ms: int = T0, now_ms: int | None = None) -> None:
        """`now_ms`: by the machine's clock, where it is not the log's time."""
        self.position += 1
        self.view.apply(Entry(self.position, at_ms, record), at_ms if now_ms is None else now_ms)

    def lamp(self, device: str = "lamp-1", asset: str = "pole-1", **more: Any) -> None:
        self(Registered(device=device, kind="street_light", commune="berkane", asset=asset, **more))

    def reading(
        self, values: dict[str, float | str], measured_at_ms: int, at_ms: int, quality: int = 0,
        now_ms: int | None = None,
    ) -> None:  # fmt: skip
        self(
            Telemetry(device="lamp-1", asset="pole-1", kind="street_light", stream="0a0a0a0a", boot=1,
                      readings=(Reading(1, measured_at_ms, values, quality),)),
            at_ms, now_ms,
        )  # fmt: skip


def test_the_newest_value_of_each_metric_is_kept_with_its_times_and_quality() -> None:
    feed = Feeder()
    feed.lamp()
    feed.reading({"level": 1.0, "power_w": 60.0}, T0, T0 + 5)
    feed.reading({"level": 0.5, "temperature_c": 90.0}, T0 + 1000, T0 + 1005, int(Quality.RATE | Quality.CLOCK_HELD))
    latest = feed.view.latest("pole-1")
    assert (latest["level"].value, latest["level"].measured_at_ms, latest["level"].received_at_ms) == (
        0.5, T0 + 1000, T0 + 1005,
    )  # fmt: skip
    assert latest["temperature_c"].quality == Quality.RATE | Quality.CLOCK_HELD
    assert latest["level"].quality == Quality.CLOCK_HELD, "nobody said how fast a level may change"
    assert latest["power_w"].measured_at_ms == T0


def test_late_readings_never_replace_newer_ones() -> None:
    feed = Feeder()
    feed.lamp()
    feed.reading({"level": 1.0}, T0, T0)
    feed.reading({"level": 0.2}, T0 - 60_000, T0 + 10, int(Quality.LATE))
    assert feed.view.latest("pole-1")["level"].value == 1.0


def test_what_was_dated_while_the_clock_was_ahead_is_never_fresh_and_the_first_true_reading_replaces_it() -> None:
    feed = Feeder()
    feed.lamp()
    wrong_ms = T0 + DAY_MS  # and the log's time stands there until the clock has come up to it
    feed.reading({"level": 1.0, "power_w": 60.0}, wrong_ms, wrong_ms)
    live = feed.view.device("lamp-1")
    assert live is not None
    assert live.fresh("level", wrong_ms) is not None
    assert live.fresh("level", T0 + 1) is None, "the clock is set right"
    feed.reading({"level": 0.0}, T0 + PERIOD_MS, wrong_ms, now_ms=T0 + PERIOD_MS)
    latest = live.fresh("level", T0 + PERIOD_MS)
    assert latest is not None
    assert (latest.value, latest.received_at_ms) == (0.0, T0 + PERIOD_MS)
    assert live.fresh("power_w", T0 + PERIOD_MS) is None
    feed.reading({"level": 1.0}, wrong_ms, wrong_ms, int(Quality.LATE), now_ms=T0 + PERIOD_MS)
    assert live.values["level"].value == 0.0, "what is dated ahead replaces nothing"


def test_a_device_that_died_while_the_clock_was_ahead_is_lost_two_periods_after_it_was_set_right() -> None:
    feed = Feeder()
    feed.lamp()
    feed.lamp("lamp-2", "pole-2")
    wrong_ms = T0 + DAY_MS
    feed.reading({"level": 1.0}, wrong_ms, wrong_ms)
    feed(Status(device="lamp-2", online=True, n=1, boot=1), wrong_ms)
    feed(Tick(listening=True), wrong_ms, T0)
    heard_ms = T0 + PERIOD_MS
    feed(Status(device="lamp-2", online=True, n=1, boot=2), wrong_ms, heard_ms)
    dead, alive = feed.view.device("lamp-1"), feed.view.device("lamp-2")
    assert dead is not None
    assert alive is not None
    assert [dead.contact(T0), alive.contact(T0)] == [Contact.ONLINE, Contact.ONLINE]
    assert (dead.silent_since_ms(), alive.silent_since_ms()) == (T0, heard_ms)
    later_ms = T0 + 2 * PERIOD_MS + 1
    assert [dead.contact(later_ms), alive.contact(later_ms)] == [Contact.LOST, Contact.ONLINE]
    assert alive.contact(heard_ms + 2 * PERIOD_MS + 1) is Contact.LOST


def test_a_replayed_reading_is_no_sign_of_life() -> None:
    feed = Feeder()
    feed.lamp()
    feed.reading({"level": 1.0}, T0, T0)
    feed(
        Telemetry(device="lamp-1", asset="pole-1", kind="street_light", stream="0a0a0a0a", boot=0,
                  readings=(Reading(2, T0 + 1, {"power_w": 3.0}, int(Quality.LATE)),), came_at_ms=T0 + 5),
        T0 + DAY_MS,
    )  # fmt: skip
    live = feed.view.asset("pole-1")
    assert live is not None
    assert (live.heard_at_ms, live.contact(T0 + DAY_MS)) == (T0 + 5, Contact.LOST)
    assert live.values["power_w"].received_at_ms == T0 + 5
    assert live.boot == 1


def test_unknown_zero_and_no_contact_are_three_things() -> None:
    feed = Feeder()
    feed.lamp()
    live = feed.view.device("lamp-1")
    assert live is not None
    assert live.contact(T0) is Contact.NEVER
    assert live.silent_since_ms() is None
    feed.reading({"power_w": 0.0}, T0, T0)
    assert live.values["power_w"].value == 0.0
    assert "voltage_v" not in live.values
    assert live.contact(T0) is Contact.ONLINE
    later_ms = T0 + 2 * PERIOD_MS + 1
    assert live.contact(later_ms) is Contact.LOST
    assert live.silent_since_ms() == T0
    assert live.values["power_w"].value == 0.0


def test_a_value_is_stale_after_two_periods_of_its_own_device() -> None:
    feed = Feeder()
    feed.lamp()
    feed(Status(device="lamp-1", online=True, n=1, boot=1, kind="street_light", period_s=60), T0)
    feed.reading({"level": 1.0}, T0, T0)
    live = feed.view.device("lamp-1")
    assert live is not None
    assert live.fresh("level", T0 + 120_000) is not None
    assert live.fresh("level", T0 + 120_001) is None


def test_a_will_is_loss_at_once_and_a_birth_ends_it() -> None:
    feed = Feeder()
    feed.lamp()
    feed.reading({"level": 1.0}, T0, T0)
    feed(Status(device="lamp-1", online=False, n=2, boot=1), T0 + 100)
    live = feed.view.device("lamp-1")
    assert live is not None
    assert live.contact(T0 + 100) is Contact.LOST
    assert live.silent_since_ms() == T0
    feed(Status(device="lamp-1", online=True, n=1, boot=2, firmware="1.4.0"), T0 + 200)
    assert live.contact(T0 + 200) is Contact.ONLINE
    assert live.firmware == "1.4.0"


def test_a_sleeping_device_is_not_lost_before_its_time() -> None:
    feed = Feeder()
    feed.lamp()
    wakes_ms = T0 + 6 * PERIOD_MS
    feed(Status(device="lamp-1", online=True, n=2, boot=1, asleep_until_ms=wakes_ms), T0)
    live = feed.view.device("lamp-1")
    assert live is not None
    assert live.contact(wakes_ms) is Contact.ASLEEP
    assert live.contact(wakes_ms + PERIOD_MS + 1) is Contact.LOST


def test_what_the_device_says_of_its_targets_is_kept() -> None:
    feed = Feeder()
    feed.lamp()
    said = Reported(device="lamp-1", n=3, boot=1, version=7, state={"level": 0.7}, by={"level": "lease"},
                    result="applied")  # fmt: skip
    feed(said, T0 + 5)
    live = feed.view.device("lamp-1")
    assert live is not None
    assert (live.reported, live.reported_at_ms) == (said, T0 + 5)


def test_an_entry_seen_twice_changes_nothing() -> None:
    feed = Feeder()
    feed.lamp()
    feed.reading({"level": 1.0}, T0, T0)
    change = feed.view.change
    again = Telemetry(device="lamp-1", asset="pole-1", kind="street_light", stream="0a0a0a0a", boot=1,
                      readings=(Reading(9, T0 + 9, {"level": 0.0}),))  # fmt: skip
    feed.view.apply(Entry(feed.position, T0 + 9, again), T0 + 9)
    assert feed.view.change == change


def test_a_swapped_controller_takes_the_asset_over() -> None:
    feed = Feeder()
    feed.lamp()
    feed.reading({"level": 1.0}, T0, T0)
    feed.lamp("lamp-2", "pole-1")
    asset = feed.view.asset("pole-1")
    assert asset is not None
    assert asset.facts.device == "lamp-2"
    assert feed.view.latest("pole-1") == {}
    former = feed.view.device("lamp-1")
    assert former is not None
    assert former.facts.asset == ""
    assert [live.facts.device for live in feed.view.assets()] == ["lamp-2"]


def test_a_device_that_moves_leaves_its_old_asset_empty() -> None:
    feed = Feeder()
    feed.lamp()
    feed.lamp("lamp-1", "pole-9")
    assert feed.view.asset("pole-1") is None
    assert [live.facts.asset for live in feed.view.assets()] == ["pole-9"]


def test_strangers_are_counted_and_the_view_is_bounded() -> None:
    feed = Feeder(LiveView(KINDS, devices_max=2))
    feed.reading({"level": 1.0}, T0, T0)
    assert feed.view.refused == 1
    for number in range(4):
        feed.lamp(f"lamp-{number}", f"pole-{number}")
    assert len(feed.view) == 2
    assert feed.view.refused == 3
    assert len(feed.view.assets()) == 2


def test_a_restored_view_knows_values_but_not_when_they_came() -> None:
    facts = Device(
        device="lamp-1", kind="street_light", commune="berkane", zone="", asset="pole-1", name="", lat=None, lon=None,
        settings={}, registered_at_ms=T0,
    )  # fmt: skip
    view = LiveView(KINDS)
    view.restore([facts], [("lamp-1", "street_light", T0, {"level": 0.5}), ("stranger", "street_light", T0, {})], T0)
    latest = view.latest("pole-1")["level"]
    assert (latest.value, latest.received_at_ms) == (0.5, None)
    live = view.device("lamp-1")
    assert live is not None
    assert live.contact(T0) is Contact.ONLINE
    assert live.contact(T0 + 2 * PERIOD_MS + 1) is Contact.LOST


def test_old_entries_read_again_after_a_start_do_not_undo_what_was_restored() -> None:
    view = LiveView(KINDS)
    feed = Feeder(view)
    feed.lamp()
    view.restore([], [("lamp-1", "street_light", T0, {"level": 0.5})], T0)
    feed.reading({"level": 1.0}, T0 - 5_000, T0 - 4_000, now_ms=T0)
    live = view.device("lamp-1")
    assert live is not None
    assert live.values["level"].value == 0.5
    assert live.heard_at_ms == T0


def test_what_the_store_dates_ahead_of_the_clock_is_restored_as_too_old_and_is_no_sign_of_life() -> None:
    feed = Feeder()
    feed.lamp()
    feed.reading({"level": 0.0}, T0, T0)
    feed.view.restore([], [("lamp-1", "street_light", T0 + DAY_MS, {"level": 1.0, "power_w": 60.0})], T0)
    live = feed.view.device("lamp-1")
    assert live is not None
    assert {metric: latest.value for metric, latest in live.values.items()} == {"level": 0.0, "power_w": 60.0}
    assert live.fresh("power_w", T0) is None
    assert live.heard_at_ms == T0


def test_ticks_are_no_news_of_anybody() -> None:
    feed = Feeder()
    feed(Tick(listening=True))
    assert (feed.view.change, feed.view.position) == (0, 1)


def test_a_condition_says_alarm_before_silence_before_the_last_value() -> None:
    feed = Feeder()
    feed.lamp()
    kind = KINDS["street_light"]
    live = feed.view.device("lamp-1")
    assert live is not None

    def word(at_ms: int, *, alarmed: bool = False) -> Condition:
        return condition(kind, live, at_ms, alarmed=alarmed)

    assert word(T0) is Condition.NO_CONTACT
    feed(Status(device="lamp-1", online=True, n=1, boot=1), T0)
    assert word(T0) is Condition.UNKNOWN
    for level, expected in ((1.0, Condition.ON), (0.5, Condition.DIMMED), (0.0, Condition.OFF)):
        feed.reading({"level": level}, T0, T0)
        assert word(T0) is expected
    assert word(T0, alarmed=True) is Condition.FAULT
    feed(Status(device="lamp-1", online=True, n=2, boot=1), T0 + PERIOD_MS)
    assert word(T0 + 2 * PERIOD_MS + 1) is Condition.UNKNOWN
    assert word(T0 + 9 * PERIOD_MS) is Condition.NO_CONTACT


def test_a_thing_without_targets_just_reports() -> None:
    feed = Feeder()
    feed(Registered(device="bin-1", kind="waste_bin", commune="berkane", asset="bin-1"))
    feed(Status(device="bin-1", online=True, n=1, boot=1), T0)
    live = feed.view.device("bin-1")
    assert live is not None
    assert condition(KINDS["waste_bin"], live, T0, alarmed=False) is Condition.REPORTING
