"""After hours without a store the live view begins at the log's end, and soon knows all that the log tells."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from adapters.log.sqlite_log import SqliteLog
from console.live import LiveDevice, LiveView
from contract.kind_file import load_kinds
from contract.ports import Device
from contract.records import Entry, Reading, Record, Reported, Status, Telemetry, Tick
from nabd import recalling
from nabd.recalling import Recall
from tests.console.fakes import FakeClock

KINDS = load_kinds()
AT_MS = 1_795_457_855_000
NOW_MS = AT_MS + 2 * 86_400_000
DEVICES = 5
SEEDS = range(12)


def device(name: str) -> Device:
    return Device(
        device=name, kind="street_light", commune="berkane", zone="", asset=name, name="", lat=None, lon=None,
        settings={}, registered_at_ms=0,
    )  # fmt: skip


def view() -> LiveView:
    made = LiveView(KINDS)
    made.restore([device(f"lamp-{n}") for n in range(DEVICES)], (), AT_MS)
    return made


def dated_ms(chance: random.Random) -> int:
    """Now and then by a clock that was far ahead."""
    return AT_MS + chance.randint(0, 40) * 1000 + (chance.random() < 0.2) * 10 * (NOW_MS - AT_MS)


def happened(chance: random.Random) -> Record:
    name, boot = f"lamp-{chance.randrange(DEVICES)}", chance.randint(1, 3)
    what = chance.random()
    if what < 0.6:
        metrics = chance.sample(("power_w", "level", "voltage_v"), chance.randint(1, 3))
        readings = tuple(
            Reading(n, dated_ms(chance), {metric: chance.random() for metric in metrics})
            for n in range(chance.randint(1, 3))
        )
        return Telemetry(device=name, asset=name, kind="street_light", stream="0a0a0a0a", boot=boot, readings=readings)
    if what < 0.75:
        birth = {"model": f"m{boot}", "firmware": f"f{boot}", "period_s": 60 * boot}
        online = chance.random() < 0.6
        return Status(device=name, online=online, n=1, boot=boot, **(birth if online else {}))  # type: ignore[arg-type]
    if what < 0.9:
        return Reported(device=name, n=1, boot=boot, version=boot, state={"level": chance.random()}, by={}, result="")
    return Tick(listening=True)


def known(live: LiveDevice | None) -> dict[str, Any]:
    assert live is not None
    return {name: getattr(live, name) for name in LiveDevice.__slots__ if name != "change"}


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_recalled_from_the_end_backwards_is_what_reading_from_the_beginning_tells(seed: int) -> None:
    chance = random.Random(seed)
    entries = [Entry(n, AT_MS + n // 3 * 1000, happened(chance)) for n in range(1, 61)]
    whole, later = view(), view()
    for entry in entries:
        whole.apply(entry, NOW_MS)
    begin = chance.randint(0, 60)
    for entry in entries[begin:]:
        later.apply(entry, NOW_MS)
    for entry in reversed(entries[:begin]):
        later.recall(entry, NOW_MS)
    for n in range(DEVICES):
        assert known(later.device(f"lamp-{n}")) == known(whole.device(f"lamp-{n}"))


def test_a_device_that_was_heard_after_its_sleep_is_awake() -> None:
    later = view()
    reading = Telemetry(
        device="lamp-1", asset="lamp-1", kind="street_light", stream="0a0a0a0a", boot=1,
        readings=(Reading(1, AT_MS, {"level": 1.0}),),
    )  # fmt: skip
    later.apply(Entry(2, AT_MS + 5000, reading), NOW_MS)
    later.recall(
        Entry(1, AT_MS, Status(device="lamp-1", online=True, n=1, boot=1, asleep_until_ms=AT_MS + 1000)), NOW_MS
    )
    live = later.device("lamp-1")
    assert live is not None
    assert live.asleep_until_ms is None


def test_what_a_replay_stored_was_heard_when_it_came_not_when_it_was_replayed() -> None:
    later = view()
    replayed = Telemetry(
        device="lamp-1", asset="lamp-1", kind="street_light", stream="0a0a0a0a", boot=1, came_at_ms=AT_MS + 1000,
        readings=(Reading(1, AT_MS, {"level": 1.0}),),
    )  # fmt: skip
    later.recall(Entry(2, AT_MS + 86_400_000, replayed), NOW_MS)
    later.recall(Entry(1, AT_MS + 2000, Status(device="lamp-1", online=True, n=1, boot=7)), NOW_MS)
    live = later.device("lamp-1")
    assert live is not None
    assert (live.heard_at_ms, live.boot, live.values["level"].received_at_ms) == (AT_MS + 2000, 7, AT_MS + 1000)


def records(count: int) -> Sequence[Record]:
    return [
        Telemetry(
            device=f"lamp-{n % DEVICES}", asset=f"lamp-{n % DEVICES}", kind="street_light", stream="0a0a0a0a", boot=1,
            readings=(Reading(n, AT_MS + n, {"level": float(n)}),),
        )
        for n in range(1, count + 1)
    ]  # fmt: skip


def test_all_that_the_store_lacks_is_recalled_from_the_log_over_its_holes_and_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recalling, "BATCH", 7)
    monkeypatch.setattr(recalling, "RETRY_S", 0.0)
    told: list[str] = []
    with closing(SqliteLog(tmp_path / "log.db", bytes_max=10**8, days_max=30)) as log:
        log.append(records(20), AT_MS)
        log.consumed("store", 30)
        log.append(records(20), AT_MS)
        assert log.last() == 50
        read = log.read
        refusals: list[Exception] = [ValueError("ours"), OSError("not now")]

        def hardly(after: int, limit: int) -> Sequence[Entry]:
            told.append(recall.fault)
            if refusals:
                raise refusals.pop()
            return read(after, limit)

        monkeypatch.setattr(log, "read", hardly)
        seen: list[int] = []

        class Remembers(LiveView):
            def recall(self, entry: Entry, now_ms: int) -> None:
                seen.append(entry.position)

        recall = Recall(log, Remembers(KINDS), FakeClock(NOW_MS), 3, 48)
        asyncio.run(recall.run())
        assert seen == [*range(48, 30, -1), *range(20, 3, -1)]
        assert (recall.left, recall.fault) == (0, "")
        assert told[:4] == ["", "not now", "ValueError: ours", ""]
