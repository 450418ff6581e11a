"""What passes the meter is counted by who said what to whom, and the page reckons from that alone."""

from collections.abc import Iterator

import pytest

from adapters.mqtt.broker import EmbeddedBroker
from bench.city import FastPublisher
from bench.wire_cost import CONNECTION, DAY_S, PINGS, Row, Tls, on_the_wire, ping_row, rows
from bench.wire_page import page
from contract.wire import topics
from contract.wire.packets import encode_publish
from stand.metering import DOWN, UP, Meter, metering
from tests.waiting import eventually


@pytest.fixture
def meter() -> Iterator[Meter]:
    broker = EmbeddedBroker(port=0)
    broker.start()
    try:
        with metering("127.0.0.1", broker.port) as running:
            yield running
    finally:
        broker.stop()


def test_every_packet_is_counted_whole_by_device_direction_and_channel(meter: Meter) -> None:
    payload = b"x" * 300
    publisher = FastPublisher(meter.port, "lamp-1")
    publisher.subscribe("nabd/1/lamp-1/kept")
    publisher.send([("lamp-1", payload)] * 5)
    publisher.close()
    one = len(encode_publish(topics.topic("lamp-1", topics.TELEMETRY), payload, 1, False, 1))
    eventually(lambda: meter.packets["lamp-1", DOWN, "puback"] == 5, "all acknowledgements have passed")
    assert meter.packets["lamp-1", UP, topics.TELEMETRY] == 5
    assert meter.bytes["lamp-1", UP, topics.TELEMETRY] == 5 * one
    assert meter.bytes["lamp-1", DOWN, "puback"] == 5 * 4
    assert {word for _, _, word in meter.packets} == {
        "connect", "connack", "subscribe", "suback", "puback", topics.TELEMETRY,
    }  # fmt: skip
    assert sum(meter.bytes.values()) == sum(meter.raw.values())


def test_a_day_is_a_mean_device_s_and_a_connection_is_counted_once() -> None:
    meter = Meter("127.0.0.1", 1)
    for name in ("lamp-1", "lamp-2"):
        for word, direction, packets, octets in (
            (topics.TELEMETRY, UP, 48, 4_800), ("puback", DOWN, 48, 192), ("connect", UP, 1, 100),
            ("pingreq", UP, 9, 18),
        ):  # fmt: skip
            meter.packets[name, direction, word] += packets
            meter.bytes[name, direction, word] += octets
    made = {row.what: row for row in rows(meter, ["lamp-1", "lamp-2"], days=0.5)}
    assert made["telemetry"] == Row("telemetry", 96, 9_600, 100)
    assert made["broker's acknowledgements"].octets == 384
    assert made[CONNECTION] == Row(CONNECTION, 1, 100, 100)
    assert made[PINGS] == ping_row()


def test_a_longer_keep_alive_costs_in_proportion_less() -> None:
    assert ping_row(30).packets == 2 * DAY_S / 22.5
    assert on_the_wire(ping_row(300), 29) == pytest.approx(on_the_wire(ping_row(30), 29) / 10)


def test_the_page_has_a_row_for_each_kind_and_its_sums() -> None:
    lamp = [ping_row(), Row("telemetry", 100, 20_000, 200), Row("kept", 100, 5_000, 50),
            Row("broker's acknowledgements", 100, 400, 4), Row(CONNECTION, 4, 400, 100)]  # fmt: skip
    text = page(1.0, {"street_light": lamp}, {"1.2": Tls(1_300, 29.0), "1.3": Tls(2_000, 22.0)})
    pings, rest = 7_680 * (2 + 80 + 29), 25_400 + 300 * (80 + 29)
    figures = (20_000 + 100 * 109, rest, pings, rest + pings, rest + pings / 10)
    assert f"| `street_light` | {' | '.join(f'{octets / 1000:,.0f}' for octets in figures)} |" in text
    assert "{" not in text
