"""Units and ranges of expressions: what may meet what, and what a comparison can ever come to."""

from math import inf

from contract.quantity import UNITS

Range = tuple[float, float]

# What a unit is called when two temperatures are subtracted: 5 degF of difference are 2.8 degC, not -15.
DIFFERENCE = "degC difference"
PLAIN = ""  # a number without a unit
SHARES = ("ratio", "count", PLAIN)  # units that vanish in a product


def conversion(unit: str, to: str) -> tuple[float, float] | None:
    """(factor, offset) that turn a number of `unit` into one of `to`; None when they do not measure the same."""
    if unit == to:
        return 1.0, 0.0
    if to == DIFFERENCE and unit in ("degC", "degF"):
        return UNITS[unit][1], 0.0
    if unit not in UNITS or to not in UNITS or UNITS[unit][0] != UNITS[to][0]:
        return None
    (_, factor, offset), (_, to_factor, to_offset) = UNITS[unit], UNITS[to]
    return factor / to_factor, (offset - to_offset) / to_factor


def named(unit: str) -> str:
    """A unit as a sentence names it."""
    return {"ratio": "a ratio", "s": "a duration", PLAIN: "a bare number", "count": "a count"}.get(unit, f"in {unit}")


def product_unit(left: str, right: str) -> str:
    if left in SHARES:
        return right if right != PLAIN or left == PLAIN else left
    return left if right in SHARES else f"{left}*{right}"


def quotient_unit(left: str, right: str) -> str:
    if left == right:
        return PLAIN if left == PLAIN else "ratio"
    return left if right in SHARES else f"{left if left not in SHARES else '1'}/{right}"


def scaled(low: float, high: float, factor: float, offset: float) -> Range:
    ends = (_times(low, factor) + offset, _times(high, factor) + offset)
    return min(ends), max(ends)


def combined(operator: str, left: Range, right: Range) -> Range:
    """The range of ``left operator right``."""
    match operator:
        case "+":
            return left[0] + right[0], left[1] + right[1]
        case "-":
            return left[0] - right[1], left[1] - right[0]
        case "*":
            products = [_times(a, b) for a in left for b in right]
            return min(products), max(products)
    if right[0] <= 0 <= right[1]:
        return -inf, inf
    quotients = [_times(a, 1 / b) for a in left for b in right]
    return min(quotients), max(quotients)


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b


def verdict(operator: str, left: Range, right: Range) -> bool | None:
    """True or False when a comparison comes to the same whatever the values in these ranges; None when it may vary."""
    if operator in (">", ">="):
        return verdict({">": "<", ">=": "<="}[operator], right, left)
    if operator == "!=":
        equal = verdict("==", left, right)
        return None if equal is None else not equal
    apart = left[1] < right[0] or left[0] > right[1]
    if operator == "==":
        same = left[0] == left[1] == right[0] == right[1]
        return False if apart else True if same else None
    if operator == "<":
        return True if left[1] < right[0] else False if left[0] >= right[1] else None
    return True if left[1] <= right[0] else False if left[0] > right[1] else None


def shown_number(value: float) -> str:
    """A number as short as it can be read: 45, 0.18, 1e+06."""
    return f"{value:.6g}"


def shown_range(limits: Range) -> str:
    low, high = limits
    if low == high:
        return shown_number(low)
    if low == -inf and high == inf:
        return "any number"
    if high == inf:
        return f"{shown_number(low)} or more"
    if low == -inf:
        return f"{shown_number(high)} or less"
    return f"{shown_number(low)} to {shown_number(high)}"
