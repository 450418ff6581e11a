"""Numbers with units as people write them: ``20m``, ``65 degC``, ``30%``.

One table serves kind files, rules and settings, so that a unit means the same everywhere.
"""

import re

DURATION_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

# Unit → (the base unit of its dimension, factor, offset): base = n * factor + offset. Units of one base convert.
UNITS: dict[str, tuple[str, float, float]] = {
    "%": ("ratio", 0.01, 0.0),
    "ratio": ("ratio", 1.0, 0.0),
    "degC": ("degC", 1.0, 0.0),
    "degF": ("degC", 5 / 9, -160 / 9),
    "deg": ("deg", 1.0, 0.0),
    "W": ("W", 1.0, 0.0),
    "kW": ("W", 1_000.0, 0.0),
    "Wh": ("Wh", 1.0, 0.0),
    "kWh": ("Wh", 1_000.0, 0.0),
    "V": ("V", 1.0, 0.0),
    "lx": ("lx", 1.0, 0.0),
    "l_min": ("l_min", 1.0, 0.0),
    "m3_h": ("l_min", 1_000 / 60, 0.0),
    "ml": ("ml", 1.0, 0.0),
    "l": ("ml", 1_000.0, 0.0),
    "m3": ("ml", 1_000_000.0, 0.0),
    "bar": ("bar", 1.0, 0.0),
    "kPa": ("bar", 0.01, 0.0),
    "m2": ("m2", 1.0, 0.0),
    "ha": ("m2", 10_000.0, 0.0),
    "m_s": ("m_s", 1.0, 0.0),
    "km_h": ("m_s", 1 / 3.6, 0.0),
    "um": ("um", 1.0, 0.0),
    "mm": ("um", 1_000.0, 0.0),
    "W_m2": ("W_m2", 1.0, 0.0),
}

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def duration_ms(text: str) -> int:
    """Milliseconds of a duration such as ``90s``, ``1h30m`` or ``2d``.

    Raises ValueError when the text is not one; a bare number is refused, because its unit would be a guess.
    """
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration; write a number with ms, s, m, h or d, for example 10m")
    return round(sum(float(number) * DURATION_MS[unit] for number, unit in _DURATION_PART.findall(text)))


def duration_text(ms: int) -> str:
    """The shortest exact way to write a duration: ``90000`` → ``1m30s``."""
    if ms == 0:
        return "0s"
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, ms = divmod(ms, DURATION_MS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def convert(number: float, unit: str, to: str) -> float:
    """`number` of one unit in another: ``convert(30, "%", "ratio")`` → 0.3.

    Raises ValueError for an unknown unit or one of another dimension.
    """
    if unit not in UNITS:
        raise ValueError(f"unknown unit {unit!r}; known: {', '.join(sorted(UNITS))}")
    if to not in UNITS:
        raise ValueError(f"nothing is written in {unit!r} where {to or 'no unit'!r} is expected")
    base, factor, offset = UNITS[unit]
    to_base, to_factor, to_offset = UNITS[to]
    if base != to_base:
        raise ValueError(f"{unit!r} does not convert to {to!r}")
    return (number * factor + offset - to_offset) / to_factor
