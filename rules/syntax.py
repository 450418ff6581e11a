"""The syntax tree of an expression, as written: nothing in it is resolved, checked or converted yet.

`at` and `end` are offsets into the text of the expression, so that a fault points at the very token.
"""

import msgspec


class SyntaxFault(ValueError):
    """An expression that cannot be read or makes no sense, with the offset of the token that shows it.

    `others` are further faults of the same expression.
    """

    def __init__(self, at: int, message: str, others: tuple["SyntaxFault", ...] = ()) -> None:
        super().__init__(message)
        self.at = at
        self.message = message
        self.others = others

    def every(self) -> list["SyntaxFault"]:
        """This fault and all others, those of others too."""
        return [self, *(one for other in self.others for one in other.every())]


class _Node(msgspec.Struct, frozen=True, kw_only=True):
    at: int
    end: int


class Number(_Node, frozen=True, kw_only=True):
    """``0.5``, ``30%``, ``65 degC``; a bare number has unit ``""`` and takes the unit of what it meets."""

    value: float
    unit: str = ""


class Duration(_Node, frozen=True, kw_only=True):
    """``10m``, ``1h30m``."""

    ms: int


class TimeOfDay(_Node, frozen=True, kw_only=True):
    """``20:00``: minutes since local midnight."""

    minutes: int


class Text(_Node, frozen=True, kw_only=True):
    """``"old-town"``: a word that is not a name."""

    value: str


class Truth(_Node, frozen=True, kw_only=True):
    """``true`` or ``false``."""

    value: bool


class Name(_Node, frozen=True, kw_only=True):
    """A metric, setting, label, a word of an enum, or a dotted name such as ``sun.elevation``."""

    name: str


class Call(_Node, frozen=True, kw_only=True):
    """``function(argument, …)``."""

    name: str
    arguments: tuple["Node", ...]


class Unary(_Node, frozen=True, kw_only=True):
    """``not x`` or ``-x``; `at` is the operator."""

    operator: str
    operand: "Node"


class Binary(_Node, frozen=True, kw_only=True):
    """``a operator b``; `operator_at` is where the operator stands."""

    operator: str
    operator_at: int
    left: "Node"
    right: "Node"


Node = Number | Duration | TimeOfDay | Text | Truth | Name | Call | Unary | Binary
