"""Stand-ins for the modules of the ESP32 port, which write down what the board is told, in order."""

import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

log = []  # type: list[tuple[Any, ...]]
inputs = {}  # type: dict[int, Any]  # pin → what it reads: level, microvolts, pulses
flash = {}  # type: dict[str, Any]  # what is committed to NVS


class Pin:
    IN = 0
    OUT = 1
    PULL_UP = 2

    def __init__(self, number: int, mode: int = 0, pull: int = 0, value: "int | None" = None) -> None:
        self.number = number
        if value is not None:
            log.append(("pin", number, value))

    def __call__(self, value: int) -> None:
        log.append(("pin", self.number, value))

    def value(self, value: "int | None" = None) -> int:
        if value is not None:
            self(value)
        return int(inputs.get(self.number, 0))


class PWM:
    def __init__(self, pin: Pin, freq: int, duty_u16: int) -> None:
        self._pin = pin
        log.append(("pwm", pin.number, duty_u16))

    def duty_u16(self, duty: int) -> None:
        log.append(("pwm", self._pin.number, duty))


class ADC:
    ATTN_11DB = 3

    def __init__(self, pin: Pin, atten: int) -> None:
        self._pin = pin

    def read_uv(self) -> int:
        return int(inputs[self._pin.number])


class Counter:
    def __init__(self, unit: int, pin: Pin) -> None:
        self._pin = pin

    def value(self) -> int:
        return int(inputs.get(self._pin.number, 0))


class UART:
    def __init__(self, number: int, baud: int, rx: int, tx: int) -> None:
        self._rx = rx

    def any(self) -> int:
        return len(inputs.get(self._rx, b""))

    def read(self) -> bytes:
        return bytes(inputs.pop(self._rx))


class WDT:
    def __init__(self, timeout: int) -> None:
        log.append(("watchdog", timeout))

    def feed(self) -> None:
        log.append(("fed",))


class RTC:
    def datetime(self, when: "tuple[int, ...]") -> None:
        log.append(("date", when))


class NVS:
    def __init__(self, name: str) -> None:
        self._new = {}  # type: dict[str, Any]

    def set_i32(self, key: str, value: int) -> None:
        self._new[key] = value

    def get_i32(self, key: str) -> int:
        if key not in flash:
            raise OSError(-4354)
        return int(flash[key])

    def set_blob(self, key: str, value: bytes) -> None:
        self._new[key] = value

    def get_blob(self, key: str, buffer: bytearray) -> int:
        if key not in flash:
            raise OSError(-4354)
        buffer[: len(flash[key])] = flash[key]
        return len(flash[key])

    def commit(self) -> None:
        flash.update(self._new)


class Module:
    """A module by its attributes."""

    def __init__(self, **attributes: "Any") -> None:
        for name, value in attributes.items():
            setattr(self, name, value)


def board(config: "dict[str, Any]") -> "Any":
    """Boot an ESP32 with `config`: what it did is in `log`; `inputs` and `flash` are as they were."""
    machine = Module(Pin=Pin, PWM=PWM, ADC=ADC, Counter=Counter, UART=UART, WDT=WDT, RTC=RTC, reset_cause=lambda: 3)
    for cause, name in enumerate(("PWRON", "HARD", "WDT", "DEEPSLEEP", "SOFT"), 1):
        setattr(machine, name + "_RESET", cause)
    sys.modules["machine"] = machine  # type: ignore[assignment]
    sys.modules["esp32"] = Module(NVS=NVS)  # type: ignore[assignment]
    if not hasattr(time, "ticks_ms"):  # CPython
        time.ticks_ms = lambda: int(time.monotonic() * 1000)  # type: ignore[attr-defined]
        time.ticks_diff = lambda later, earlier: later - earlier  # type: ignore[attr-defined]
        time.sleep_ms = lambda ms: time.sleep(ms / 1000)  # type: ignore[attr-defined]
    from firmware.hal.esp32 import Board

    del log[:]
    return Board(config)
