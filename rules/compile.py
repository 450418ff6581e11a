"""Checked trees → one Python function for all rules that apply to an asset.

The code is generated from the checked tree alone: names in it are made here, constants are floats, booleans and
quoted words; nothing a rule's author wrote reaches it as text. Each distinct part of the trees is computed once, in
a local variable, however many rules share it; whatever can't be unknown is not asked whether it is.
"""

from collections.abc import Callable, Iterable, Sequence

from rules.tree import (
    ASSET_INPUTS,
    NEVER_UNKNOWN,
    And,
    Arithmetic,
    AssetInput,
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
    SharedInput,
    Value,
    children,
    inputs_of,
)

Truths = tuple[bool | None, ...]


class Program:
    """The compiled conditions of some rules, and the inputs they need, in the order they are handed over.

    ``judge(asset values, shared values)`` returns the truth of each condition, in the order they were given.
    """

    def __init__(self, conditions: Sequence[Node]) -> None:
        inputs: dict[Input, None] = {}
        for condition in conditions:
            inputs.update(inputs_of(condition))
        self.conditions = tuple(conditions)
        self.asset_inputs: tuple[AssetInput, ...] = tuple(one for one in inputs if isinstance(one, ASSET_INPUTS))
        self.shared_inputs: tuple[SharedInput, ...] = tuple(one for one in inputs if not isinstance(one, ASSET_INPUTS))
        self.code = _Writer(self.asset_inputs, self.shared_inputs).function(self.conditions)
        self.judge: Callable[[Sequence[Value], Sequence[Value]], Truths] = _define(self.code)


def _define(code: str) -> Callable[[Sequence[Value], Sequence[Value]], Truths]:
    names: dict[str, object] = {"__builtins__": {}}
    exec(compile(code, "<rules>", "exec"), names)  # noqa: S102 - generated above from a checked tree, never from text
    judge = names["judge"]
    assert callable(judge)
    return judge


class _Writer:
    def __init__(self, asset_inputs: Iterable[AssetInput], shared_inputs: Iterable[SharedInput]) -> None:
        self.lines: list[str] = []
        self.names: dict[Node, str] = {}
        self.maybe_unknown: dict[str, bool] = {}
        self._unpack("a", "assets", asset_inputs)
        self._unpack("s", "shared", shared_inputs)

    def function(self, conditions: Iterable[Node]) -> str:
        names = [self.name(condition) for condition in conditions]
        body = "\n".join(f"    {line}" for line in self.lines)
        return f"def judge(assets, shared):\n{body}\n    return ({''.join(f'{name}, ' for name in names)})\n"

    def _unpack(self, prefix: str, source: str, inputs: Iterable[Input]) -> None:
        names = []
        for number, one in enumerate(inputs):
            name = f"{prefix}{number}"
            names.append(name)
            self.names[Read(one)] = name
            self.maybe_unknown[name] = not isinstance(one, NEVER_UNKNOWN)
        if names:
            self.lines.append(f"{''.join(f'{name}, ' for name in names)}= {source}")

    def name(self, node: Node) -> str:
        """The local variable (or literal) that holds the node's value, computing it first where needed."""
        if isinstance(node, Constant):  # never remembered: 1.0 and True are equal to Python, and are not the same
            literal = repr(node.value)
            literal = f"({literal})" if literal.startswith("-") else literal
            self.maybe_unknown[literal] = False
            return literal
        if node not in self.names:
            self.names[node] = self._compute(node)
        return self.names[node]

    def _compute(self, node: Node) -> str:
        parts = [self.name(child) for child in children(node)]
        unsure = [part for part in dict.fromkeys(parts) if self.maybe_unknown[part]]
        name = f"t{len(self.lines)}"
        if isinstance(node, (And, Or)):
            guards = unsure
            value = self._connective(node, parts) if unsure else self._value(node, parts)
            self.lines.append(f"{name} = {value}")
        else:
            guards = [f"{part} is None" for part in unsure]
            if isinstance(node, Arithmetic) and node.operator == "/":
                guards.append(f"{parts[1]} == 0")
            guard = f"None if {' or '.join(guards)} else " if guards else ""
            self.lines.append(f"{name} = {guard}{self._value(node, parts)}")
        self.maybe_unknown[name] = bool(guards)
        return name

    def _connective(self, node: And | Or, parts: list[str]) -> str:
        left, right = parts
        decisive, other = ("False", "True") if isinstance(node, And) else ("True", "False")
        return (
            f"{decisive} if {left} is {decisive} or {right} is {decisive} "
            f"else None if {left} is None or {right} is None else {other}"
        )

    def _value(self, node: Node, parts: list[str]) -> str:
        """The value when every part is known."""
        match node:
            case Not():
                return f"not {parts[0]}"
            case And():
                return f"{parts[0]} and {parts[1]}"
            case Or():
                return f"{parts[0]} or {parts[1]}"
            case Compare() | Arithmetic():
                return f"{parts[0]} {node.operator} {parts[1]}"
            case Negate():
                return f"-{parts[0]}"
            case Scale():
                return f"{parts[0]} * {node.factor!r} + {node.offset!r}"
            case Pick():
                return _picked(node.function, parts)
        raise TypeError(f"no code for {node!r}")


def _picked(function: str, parts: list[str]) -> str:
    first, *rest = parts
    match function:
        case "min":
            return f"{first} if {first} <= {rest[0]} else {rest[0]}"
        case "max":
            return f"{first} if {first} >= {rest[0]} else {rest[0]}"
        case "abs":
            return f"{first} if {first} >= 0 else -{first}"
        case "clamp":
            low, high = rest
            return f"{low} if {first} < {low} else {high} if {first} > {high} else {first}"
    raise TypeError(f"no code for the function {function}")
