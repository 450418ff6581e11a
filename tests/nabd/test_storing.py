"""Which store a city has, and its token."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

import pytest

from console.live import LiveView
from contract.kind import Value
from contract.kind_file import load_kinds
from contract.ports import Device, Store, StoreFault
from contract.records import Entry, Reading, Telemetry
from nabd import storing
from nabd.fault import Refused
from nabd.storing import TokenFile, restore_live
from tests.console.fakes import FakeClock

AT_MS = 1_795_457_855_000


def test_a_token_file_is_read_anew_each_time_and_the_last_token_holds_while_it_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    token = TokenFile(path)
    assert token() == "first"
    path.write_text("second\n")
    assert token() == "second"
    path.unlink()
    assert token() == "second"


@pytest.mark.parametrize("content", [b"", b"\n", b"first\nsecond", "clé".encode(), b"\xff\xfe"])
def test_a_file_without_a_token_is_refused_and_its_content_is_not_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(Refused, match=r"\[influxdb\] token_file .*token: is (empty|not one line)|has more") as caught:
        TokenFile(path)
    assert "second" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"token_file .*absent: cannot be read \(No such file"):
        TokenFile(tmp_path / "absent")


class Away:
    """A store that is away the first times it is asked."""

    def __init__(self, times: int) -> None:
        self.times = times

    def latest(self) -> Iterable[tuple[str, str, int, Mapping[str, Value]]]:
        if self.times:
            self.times -= 1
            raise StoreFault("it is away")
        yield "lamp-1", "street_light", AT_MS, {"power_w": 1.0, "level": 0.5}


def test_the_live_view_takes_the_stores_readings_in_when_it_comes_and_keeps_what_the_log_told_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(storing, "RETRY_S", 0.01)
    view = LiveView(load_kinds())
    facts = Device(device="lamp-1", kind="street_light", commune="berkane", zone="", asset="pole-1", name="", lat=None,
                   lon=None, settings={}, registered_at_ms=AT_MS)  # fmt: skip
    view.restore([facts], (), AT_MS)
    news = Telemetry(device="lamp-1", asset="pole-1", kind="street_light", stream="9f3c01aa", boot=1,
                     readings=(Reading(9, AT_MS + 1000, {"power_w": 9.0}),))  # fmt: skip
    view.apply(Entry(1, AT_MS + 1000, news), AT_MS + 1000)
    asyncio.run(restore_live(cast(Store, Away(3)), view, FakeClock(AT_MS + 1000)))
    latest = view.latest("pole-1")
    assert {metric: (one.value, one.received_at_ms) for metric, one in latest.items()} == {
        "power_w": (9.0, AT_MS + 1000),
        "level": (0.5, None),
    }
