"""Meters that give pulses: water flow, and mains power (HLW8012, BL0937). Pure arithmetic on a running counter.

The hardware counter runs on and is never reset: reading and resetting is not one step. What counts is its difference,
also across its wrap. Remainders are kept in integers, so that nothing is lost by rounding, however slow the pulses.
Sources: YF-S201 datasheet (some 450 pulses a litre), HLW8012 datasheet (CF frequency is proportional to active power;
some 12 W per Hz with a 1 mohm shunt, 15 % off as built: calibrate each).
"""

COUNTER_BITS = 32


class PulseMeter:
    """Adds `per_pulse_micro` millionths of a unit for each pulse.

    Water: unit ml, 1e9 / pulses per litre. Power: unit Wh, watts per Hz * 1e6 / 3600.
    """

    def __init__(self, per_pulse_micro: int, gate_ms: int, counter_bits: int = COUNTER_BITS) -> None:
        """`gate_ms`: the rate is taken over at least so long, for slow pulses make short gates jump."""
        if per_pulse_micro < 1 or gate_ms < 1:
            raise ValueError("per_pulse_micro and gate_ms: %d and %d must be above 0" % (per_pulse_micro, gate_ms))
        self._per_pulse_micro = per_pulse_micro
        self._gate_ms = gate_ms
        self._mask = (1 << counter_bits) - 1
        self._count = 0
        self._pulses = 0  # ever
        self._gate_pulses = 0
        self._gate_up_ms = 0
        self._started = False
        self._rate_micro_per_s = 0

    def update(self, count: int, up_ms: int) -> None:
        """The counter's value now."""
        if not self._started:
            self._started = True
            self._gate_up_ms = up_ms
        else:
            pulses = (count - self._count) & self._mask
            self._pulses += pulses
            self._gate_pulses += pulses
        self._count = count & self._mask
        took_ms = up_ms - self._gate_up_ms
        if took_ms >= self._gate_ms:
            self._rate_micro_per_s = self._gate_pulses * self._per_pulse_micro * 1000 // took_ms
            self._gate_pulses = 0
            self._gate_up_ms = up_ms

    @property
    def total(self) -> int:
        """Whole units since boot."""
        return self._pulses * self._per_pulse_micro // 1000000

    @property
    def rate_per_s(self) -> float:
        """Units per second over the last whole gate."""
        return self._rate_micro_per_s / 1000000


def flow_l_min(ml_per_s: float) -> float:
    return ml_per_s * 0.06


def power_w(wh_per_s: float) -> float:
    return wh_per_s * 3600.0
