"""The drivers' arithmetic, by the examples of their datasheets and by what goes wrong in the street."""

from firmware.drivers import analog, ds18b20
from firmware.drivers.dimmer import Dimmer, duty_u16
from firmware.drivers.latch import Latch
from firmware.drivers.pulses import PulseMeter, flow_l_min, power_w
from firmware.drivers.ultrasonic import FrameParser, TextParser, fill_level


def near(value: "float | None", expected: float) -> bool:
    return value is not None and abs(value - expected) < 1e-3


def raised(action: "object") -> str:
    try:
        action()  # type: ignore[operator]
    except ValueError as fault:
        return str(fault)
    return ""


def test_an_ultrasonic_frame_is_found_wherever_reading_begins() -> None:
    parser = FrameParser()
    assert parser.feed(b"\xff\x07\xa1\xa7") == 1953, "the datasheet's example"
    assert parser.feed(b"\xa1\xa7\xff\x07") is None
    assert parser.feed(b"\xa1\xa7") == 1953, "a frame may come in pieces"
    assert parser.feed(b"\xff\x07\xa1\xa7\xff\x03\xe8\xea") == 1000, "the newest counts"


def test_a_damaged_frame_is_counted_and_the_next_one_is_found() -> None:
    parser = FrameParser()
    assert parser.feed(b"\xff\x07\xa1\x00\xff\x03\xe8\xea") == 1000
    assert parser.feed(b"\xff\x07\xff\x03\xe8\xea") == 1000, "a byte was lost"
    assert parser.bad == 2
    assert parser.feed(b"\xff\x00\x00\xff") is None, "0 is no echo"


def test_maxbotix_text_in_mm_and_cm() -> None:
    parser = TextParser()
    assert parser.feed(b"34\rR1234\rR0") == 1234
    assert parser.feed(b"300\r") == 300
    assert parser.feed(b"R12\xff34\rR99999\r") is None
    assert parser.bad == 2
    assert TextParser(10).feed(b"R123\r") == 1230


def test_fill_level_is_bounded_and_unknown_without_an_echo() -> None:
    assert near(fill_level(850, 1400, 300), 0.5)
    assert fill_level(200, 1400, 300) == 1.0
    assert fill_level(1600, 1400, 300) == 0.0
    assert fill_level(None, 1400, 300) is None
    assert "not beyond" in raised(lambda: fill_level(500, 300, 300))


def test_duty_of_a_level() -> None:
    assert duty_u16(0.0, 0.1, False) == 0
    assert duty_u16(1.0, 0.1, False) == 65535
    assert duty_u16(0.05, 0.1, False) == duty_u16(0.1, 0.1, False) == 6554, "what is on stays above the driver's least"
    assert duty_u16(1.0, 0.1, True) == 0
    assert duty_u16(7.0, 0.1, False) == 65535


class Pins:
    """Writes down what each pin and the clock were told."""

    def __init__(self) -> None:
        self.log = []  # type: list[tuple[str, int]]

    def pin(self, name: str) -> "object":
        return lambda value: self.log.append((name, value))

    def duty_u16(self, value: int) -> None:
        self.log.append(("pwm", value))


def test_the_relay_follows_the_level_and_control_voltage_comes_first() -> None:
    pins = Pins()
    dimmer = Dimmer(pins, pins.pin("relay"), 0.1, False)
    dimmer.set(0.5)
    dimmer.set(0.0)
    assert pins.log == [("pwm", 32768), ("relay", 1), ("pwm", 0), ("relay", 0)]


def test_a_latch_closes_at_boot_and_pulses_only_on_change() -> None:
    pins = Pins()
    latch = Latch(pins.pin("forward"), pins.pin("backward"), pins.pin("wait"), 50)
    assert pins.log == [("forward", 0), ("backward", 0), ("backward", 1), ("wait", 50), ("backward", 0)]
    pins.log = []
    latch.set(False)
    assert pins.log == [], "each pulse wears the battery"
    latch.set(True)
    latch.set(True)
    assert pins.log == [("forward", 0), ("backward", 0), ("forward", 1), ("wait", 50), ("forward", 0)]


def test_a_latch_is_never_driven_on_even_when_waiting_fails() -> None:
    pins = Pins()

    def fails(_: int) -> None:
        if len(pins.log) > 6:
            raise ValueError("stopped")

    latch = Latch(pins.pin("forward"), pins.pin("backward"), fails, 50)
    assert raised(lambda: latch.set(True)) == "stopped"
    assert pins.log[-1] == ("forward", 0)
    assert "pulse_ms: 5000" in raised(lambda: Latch(None, None, None, 5000))


def test_flow_from_pulses_across_the_wrap_of_the_counter() -> None:
    meter = PulseMeter(1000000000 // 450, 5000, 16)
    meter.update(65000, 0)
    meter.update((65000 + 450) & 0xFFFF, 5000)
    assert meter.total == 999, "450 pulses are a litre, less what an integer loses"
    assert near(flow_l_min(meter.rate_per_s) / 12.0, 1.0), "a litre in 5 s"
    meter.update((65000 + 450) & 0xFFFF, 6000)
    assert near(flow_l_min(meter.rate_per_s) / 12.0, 1.0), "until the next gate is over"
    meter.update((65000 + 450) & 0xFFFF, 10000)
    assert meter.rate_per_s == 0.0


def test_slow_pulses_lose_nothing_by_rounding() -> None:
    meter = PulseMeter(12000 * 1000 // 3600, 1000)  # 12 W a Hz: 3.3 mWh a pulse
    for count in range(100001):
        meter.update(count, count * 200)  # 5 Hz: 60 W
    assert near(power_w(meter.rate_per_s) / 60.0, 1.0)
    assert meter.total == 333


def test_temperatures_of_the_datasheet_and_of_a_broken_wire() -> None:
    def scratchpad(low: int, high: int) -> bytes:
        body = bytes((low, high, 0x4B, 0x46, 0x7F, 0xFF, 0x0C, 0x10))
        return body + bytes((ds18b20.crc8(body),))

    assert ds18b20.celsius(scratchpad(0x91, 0x01)) == 25.0625
    assert ds18b20.celsius(scratchpad(0x5E, 0xFF)) == -10.125
    assert ds18b20.celsius(scratchpad(0x50, 0x05)) is None, "85: it has not measured yet"
    assert ds18b20.celsius(scratchpad(0x91, 0x01)[:8] + b"\x00") is None
    assert ds18b20.celsius(bytes(9)) is None
    assert ds18b20.celsius(b"\xff" * 9) is None
    assert ds18b20.crc8(b"\x02\x1c\xb8\x01\x00\x00\x00") == 0xA2, "Maxim application note 27"


def test_battery_behind_a_divider() -> None:
    assert analog.divided_mv(1640000, 100000, 33000) == 6609
    assert analog.divided_mv(100000, 100000, 33000) is None
    assert near(analog.battery_level(12800, 4), 0.2)
    assert analog.battery_level(14000, 4) == 1.0
    assert analog.battery_level(9000, 4) == 0.0
    assert analog.battery_level(None, 4) is None


def test_soil_by_two_points_and_unknown_far_outside() -> None:
    assert near(analog.between(1850000, 2400000, 1300000, 0.4), 0.2)
    assert analog.between(2450000, 2400000, 1300000, 0.4) == 0.0
    assert analog.between(200000, 2400000, 1300000, 0.4) is None, "a broken wire is no flood"
