"""Analogue inputs: battery behind a divider, two-point soil probe, light-dependent resistor. Pure conversion.

`ADC.read_uv()` is calibrated by the chip's factory; at ATTN_11DB it holds within 150 and 2450 mV (ESP32 datasheet).
"""

UV_MIN = 150000
UV_MAX = 2450000
# Rest voltage of one LiFePO4 cell (mV) → what is left of it; flat in the middle, so the middle is coarse.
LIFEPO4 = ((2500, 0.0), (3000, 0.1), (3200, 0.2), (3250, 0.4), (3280, 0.6), (3320, 0.8), (3400, 1.0))


def divided_mv(uv: int, upper_ohm: int, lower_ohm: int) -> "int | None":
    """mV above the divider; None where the converter does not measure."""
    if not UV_MIN <= uv <= UV_MAX:
        return None
    return uv * (upper_ohm + lower_ohm) // lower_ohm // 1000


def along(table: "tuple[tuple[int, float], ...]", x: int) -> float:
    """The value at `x` on a line through rising points; before the first and after the last it stays."""
    if x <= table[0][0]:
        return table[0][1]
    for index in range(1, len(table)):
        x1, y1 = table[index]
        if x <= x1:
            x0, y0 = table[index - 1]
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return table[-1][1]


def battery_level(mv: "int | None", cells: int) -> "float | None":
    """0 to 1 of a LiFePO4 pack."""
    return None if mv is None else along(LIFEPO4, mv // cells)


def between(uv: int, zero_uv: int, one_uv: int, one: float) -> "float | None":
    """Two-point calibration: `zero_uv` gives 0, `one_uv` gives `one`. None far outside: a broken wire, not a value."""
    value = one * (uv - zero_uv) / (one_uv - zero_uv)
    if not -0.2 * one <= value <= 1.2 * one:
        return None
    return min(one, max(0.0, value))
