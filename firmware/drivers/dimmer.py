"""Dimming by PWM, also through an op-amp to 0-10 V, with a relay that cuts the mains at 0.

0-10 V control (IEC 60929 annex E) sinks current in the driver: with an open-collector stage the duty is inverted.
Below a driver's lowest level (1 V, some 10 %) the light would flicker or stay on: it is off only by the relay.
"""

DUTY_MAX = 65535


def duty_u16(level: float, lowest: float, inverted: bool) -> int:
    """PWM duty (0 to 65535) of a level (0 to 1). What is above 0 and below `lowest` is raised to it."""
    if level > 0.0:
        level = max(level, lowest)
    duty = round(min(1.0, max(0.0, level)) * DUTY_MAX)
    return DUTY_MAX - duty if inverted else duty


class Dimmer:
    """`pwm` has duty_u16(n); `relay` (or None) is called with 1 for mains on."""

    def __init__(self, pwm: "object", relay: "object", lowest: float, inverted: bool) -> None:
        self._pwm = pwm
        self._relay = relay
        self._lowest = lowest
        self._inverted = inverted

    def set(self, level: float) -> None:
        """Control voltage first, mains after it: a driver that starts at full power draws its inrush at full power."""
        self._pwm.duty_u16(duty_u16(level, self._lowest, self._inverted))  # type: ignore[attr-defined]
        if self._relay is not None:
            self._relay(1 if level > 0.0 else 0)  # type: ignore[operator]
