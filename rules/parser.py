"""Tokens → syntax tree, by precedence climbing (Pratt): one table says how tightly each operator binds."""

from rules.syntax import Binary, Call, Duration, Name, Node, Number, SyntaxFault, Text, TimeOfDay, Truth, Unary
from rules.tokens import Token, tokenize

DEPTH_MAX = 40  # parentheses, signs and calls inside one another

# Operator → how tightly it binds; all of them group to the left.
BINDING = {
    "or": 10,
    "and": 20,
    "<": 40, "<=": 40, ">": 40, ">=": 40, "==": 40, "!=": 40,
    "+": 50, "-": 50,
    "*": 60, "/": 60,
}  # fmt: skip
NOT_BINDING = 30  # `not a > b` is `not (a > b)`
SIGN_BINDING = 70
COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")


def parse(text: str) -> Node:
    """The syntax tree of an expression. Raises SyntaxFault at the first token that does not fit."""
    parser = _Parser(tokenize(text))
    tree = parser.expression(0)
    left_over = parser.peek()
    if left_over.kind != "end":
        raise SyntaxFault(left_over.at, f"{_shown(left_over)} does not fit here; an operator or the end was expected")
    return tree


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.index = 0
        self.depth = 0

    def peek(self) -> Token:
        return self.tokens[self.index]

    def take(self) -> Token:
        token = self.tokens[self.index]
        if token.kind != "end":
            self.index += 1
        return token

    def expression(self, binding: int) -> Node:
        """An expression whose operators bind more tightly than `binding`."""
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise SyntaxFault(self.peek().at, f"more than {DEPTH_MAX} levels inside one another; split the rule")
        left = self.operand()
        while (operator := self.operator()) and BINDING[operator] > binding:
            token = self.take()
            right = self.expression(BINDING[operator])
            if operator in COMPARISONS and self.operator() in COMPARISONS:
                raise SyntaxFault(self.peek().at, "comparisons do not chain; write a < b and b < c")
            left = Binary(at=left.at, end=right.end, operator=operator, operator_at=token.at, left=left, right=right)
        self.depth -= 1
        return left

    def operator(self) -> str:
        token = self.peek()
        return str(token.value) if token.kind in ("symbol", "word") and token.value in BINDING else ""

    def operand(self) -> Node:
        token = self.take()
        at, end, value = token.at, token.end, token.value
        match token.kind:
            case "number":
                return Number(at=at, end=end, value=float(value), unit=token.unit)
            case "duration":
                return Duration(at=at, end=end, ms=int(value))
            case "time":
                return TimeOfDay(at=at, end=end, minutes=int(value))
            case "text":
                return Text(at=at, end=end, value=str(value))
            case "name" if self.peek().value == "(" and self.peek().kind == "symbol":
                return self.call(token)
            case "name":
                return Name(at=at, end=end, name=str(value))
            case "word" if value in ("true", "false"):
                return Truth(at=at, end=end, value=value == "true")
            case "word" if value == "not":
                operand = self.expression(NOT_BINDING)
                return Unary(at=at, end=operand.end, operator="not", operand=operand)
            case "symbol" if value == "-":
                operand = self.expression(SIGN_BINDING)
                return Unary(at=at, end=operand.end, operator="-", operand=operand)
            case "symbol" if value == "(":
                inner = self.expression(0)
                self.close(token)
                return inner
        raise SyntaxFault(at, f"a value was expected, not {_shown(token)}")

    def call(self, name: Token) -> Node:
        opening = self.take()
        arguments: list[Node] = []
        if self.peek().value != ")":
            arguments.append(self.expression(0))
            while self.peek().kind == "symbol" and self.peek().value == ",":
                self.take()
                arguments.append(self.expression(0))
        end = self.close(opening)
        return Call(at=name.at, end=end, name=str(name.value), arguments=tuple(arguments))

    def close(self, opening: Token) -> int:
        token = self.take()
        if token.kind != "symbol" or token.value != ")":
            opened = f"the '(' at character {opening.at + 1}"
            raise SyntaxFault(token.at, f"')' was expected for {opened}, not {_shown(token)}")
        return token.end


def _shown(token: Token) -> str:
    return "the end" if token.kind == "end" else repr(str(token.value))
