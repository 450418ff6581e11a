"""The reference: what an expression means, written as plainly as possible.

Compiled code (see ``compile``) must agree with it on every tree and every input; a property test holds it to that.
"""

import operator
from collections.abc import Callable

from rules.tree import (
    And,
    Arithmetic,
    Compare,
    Constant,
    Input,
    Negate,
    Node,
    Not,
    Or,
    Pick,
    Read,
    Scale,
    Value,
)

_COMPARE: dict[str, Callable[..., bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def evaluate(node: Node, read: Callable[[Input], Value]) -> Value:
    """The value of a checked tree; `read` gives the value of an input. Pure: no clock, no state."""
    match node:
        case Constant():
            return node.value
        case Read():
            return read(node.input)
        case Not():
            truth = evaluate(node.operand, read)
            return None if truth is None else not truth
        case And():
            left, right = evaluate(node.left, read), evaluate(node.right, read)
            if left is False or right is False:
                return False
            return None if left is None or right is None else True
        case Or():
            left, right = evaluate(node.left, read), evaluate(node.right, read)
            if left is True or right is True:
                return True
            return None if left is None or right is None else False
        case Compare():
            left, right = evaluate(node.left, read), evaluate(node.right, read)
            return None if left is None or right is None else _COMPARE[node.operator](left, right)
        case _:
            return _number(node, read)


def _number(node: Arithmetic | Negate | Scale | Pick, read: Callable[[Input], Value]) -> float | None:
    if isinstance(node, Pick):
        return pick(node.function, [_float(evaluate(argument, read)) for argument in node.arguments])
    if isinstance(node, Arithmetic):
        return arithmetic(node.operator, _float(evaluate(node.left, read)), _float(evaluate(node.right, read)))
    value = _float(evaluate(node.operand, read))
    if value is None:
        return None
    return -value if isinstance(node, Negate) else value * node.factor + node.offset


def _float(value: Value) -> float | None:
    if value is None or isinstance(value, (float, int)):
        return value
    raise TypeError(f"{value!r} is no number")


def arithmetic(operator_: str, left: float | None, right: float | None) -> float | None:
    if left is None or right is None:
        return None
    match operator_:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
    return None if right == 0 else left / right


def pick(function: str, arguments: list[float | None]) -> float | None:
    """min, max, abs and clamp; unknown when any argument is. clamp(x, low, high) with low > high gives low."""
    known = [argument for argument in arguments if argument is not None]
    if len(known) < len(arguments):
        return None
    match function:
        case "min":
            return known[0] if known[0] <= known[1] else known[1]
        case "max":
            return known[0] if known[0] >= known[1] else known[1]
        case "abs":
            return known[0] if known[0] >= 0 else -known[0]
    value, low, high = known
    return low if value < low else high if value > high else value
