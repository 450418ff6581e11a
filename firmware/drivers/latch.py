"""A DC latching solenoid on an H-bridge (DRV8871, DRV8876): a short pulse opens it, one of the other polarity closes.

Driven longer than its pulse the coil burns; driven on both pins the bridge brakes. So a pulse ends with both pins
low, whatever happens in between, and its length is bounded here, not by the configuration alone. Usual coils (9 V,
4 to 6 ohm) want 20 to 100 ms.
"""

PULSE_MS_MIN = 10
PULSE_MS_MAX = 200


class Latch:
    """`forward` and `backward` are called with 0 or 1; `sleep_ms` waits. The valve is closed at once, at boot."""

    def __init__(self, forward: "object", backward: "object", sleep_ms: "object", pulse_ms: int) -> None:
        if not PULSE_MS_MIN <= pulse_ms <= PULSE_MS_MAX:
            raise ValueError("pulse_ms: %d is not within %d and %d" % (pulse_ms, PULSE_MS_MIN, PULSE_MS_MAX))
        self._forward = forward
        self._backward = backward
        self._sleep_ms = sleep_ms
        self._pulse_ms = pulse_ms
        self.open = True  # in doubt it is: where it was left before the reset, nobody knows
        self.set(False)

    def set(self, wanted: bool) -> None:
        """Pulse only when it is not there already: each pulse wears the capacitor and the battery."""
        if wanted != self.open:
            self._pulse(self._forward if wanted else self._backward)
            self.open = wanted

    def _pulse(self, pin: "object") -> None:
        self._forward(0)  # type: ignore[operator]
        self._backward(0)  # type: ignore[operator]
        try:
            pin(1)  # type: ignore[operator]
            self._sleep_ms(self._pulse_ms)  # type: ignore[operator]
        finally:
            pin(0)  # type: ignore[operator]
