"""Syntax tree → checked tree: names, units, types and ranges, judged against the kind the rule is about.

Whatever can be known to be wrong before the first reading comes is refused here: an unknown name, two quantities
that do not compare, a comparison that always comes to the same. Both sides of an operator
are checked before a fault in either ends it.
"""

from collections.abc import Callable, Mapping

import msgspec

from contract.document import nearest
from contract.kind import Kind, Kinds, Metric, MetricType
from contract.quantity import duration_text
from rules import functions, tree
from rules.meaning import (
    BOOLEAN,
    LABEL,
    NUMBER,
    WORD,
    Checked,
    Scope,
    bracketed,
    metric_range,
    of_metric,
    pick_range,
    scale,
    unit_text,
)
from rules.syntax import Binary, Call, Duration, Name, Node, Number, SyntaxFault, Text, TimeOfDay, Truth, Unary
from rules.units import (
    DIFFERENCE,
    PLAIN,
    SHARES,
    combined,
    conversion,
    named,
    product_unit,
    quotient_unit,
    shown_range,
    verdict,
)

WINDOW_MS_MAX = 7 * 86_400_000


def check(syntax: Node, text: str, kind: Kind, kinds: Kinds, *, fresh: bool, doubtful: bool = False) -> Checked:
    """The checked condition of a rule on `kind`; `fresh` when the rule moves something, `doubtful` when it asks for
    values that are not credible, too. Raises SyntaxFault."""
    checked = _Checker(text, kind, kinds, fresh, doubtful).check(syntax)
    if checked.family != BOOLEAN:
        raise SyntaxFault(syntax.at, f"a condition is true or false; {text[syntax.at : syntax.end]} is not: compare it")
    return checked


class _Checker:
    def __init__(self, text: str, kind: Kind, kinds: Kinds, fresh: bool, doubtful: bool) -> None:
        self.text = text
        self.kind = kind
        self.fresh = fresh
        self.scope = Scope(kind, kinds, fresh, doubtful)
        self.contexts: Mapping[str, Callable[[Call], Checked]] = {
            "silent": self._silent,
            "age": self._age,
            "between": self._between,
            "weekday": self._weekday,
        }

    def source(self, node: Node) -> str:
        return self.text[node.at : node.end]

    def check(self, node: Node) -> Checked:
        match node:
            case Number():
                return self._number(node)
            case Duration():
                seconds = node.ms / 1000
                return Checked(node=tree.Constant(seconds), family=NUMBER, unit="s", range=(seconds, seconds),
                               parts=(self.source(node),), constant=True)  # fmt: skip
            case Truth():
                return Checked(node=tree.Constant(node.value), family=BOOLEAN, parts=(self.source(node),),
                               constant=True)  # fmt: skip
            case Text():
                return Checked(node=tree.Constant(node.value), family=LABEL, parts=(self.source(node),),
                               constant=True)  # fmt: skip
            case TimeOfDay():
                raise SyntaxFault(node.at, f"{self.source(node)} is a time of day; use it in between(20:00, 06:00)")
            case Name():
                return self._name(node)
            case Call():
                return self._call(node)
            case Unary():
                return self._unary(node)
        if node.operator in ("and", "or"):
            return self._connective(node)
        if node.operator in ("+", "-", "*", "/"):
            return self._arithmetic(node)
        return self._compare(node)

    # ------------------------------------------------------------------------------------------------------ values

    def _number(self, node: Number) -> Checked:
        value, unit = node.value, node.unit
        if unit == "%":
            value, unit = value / 100, "ratio"
        return Checked(node=tree.Constant(value), family=NUMBER, unit=unit, range=(value, value),
                       parts=(self.source(node),), constant=True)  # fmt: skip

    def _name(self, node: Name) -> Checked:
        found = self.scope.find(node.name)
        if found is None:
            raise SyntaxFault(node.at, self.scope.unknown(node.name))
        return found

    # --------------------------------------------------------------------------------------------------- operators

    def _unary(self, node: Unary) -> Checked:
        operand = self.check(node.operand)
        if node.operator == "not":
            self._must_be_boolean(node.operand, operand, "not")
            parts = operand.parts if len(operand.parts) < 2 else ("(", *operand.parts, ")")
            if isinstance(node.operand, Name):
                parts = operand.parts
            return Checked(node=tree.Not(operand.node), family=BOOLEAN, parts=("not ", *parts))
        self._must_be_number(node.operand, operand)
        low, high = operand.range
        negated = tree.Negate(operand.node)
        if isinstance(operand.node, tree.Constant) and isinstance(operand.node.value, float):
            return Checked(node=tree.Constant(-operand.node.value), family=NUMBER, unit=operand.unit,
                           range=(-high, -low), parts=("-", *operand.parts), constant=True)  # fmt: skip
        return Checked(node=negated, family=NUMBER, unit=operand.unit, range=(-high, -low), parts=(negated,))

    def _both(self, node: Binary) -> tuple[Checked, Checked]:
        """Both sides checked; when both are at fault, one raise names both."""
        try:
            left = self.check(node.left)
        except SyntaxFault as fault:
            try:
                self.check(node.right)
            except SyntaxFault as other:
                raise SyntaxFault(fault.at, fault.message, (*fault.others, other)) from None
            raise
        return left, self.check(node.right)

    def _connective(self, node: Binary) -> Checked:
        left, right = self._both(node)
        self._must_be_boolean(node.left, left, node.operator)
        self._must_be_boolean(node.right, right, node.operator)
        made = (tree.And if node.operator == "and" else tree.Or)(left.node, right.node)
        return Checked(
            node=made,
            family=BOOLEAN,
            parts=(*bracketed(left, made), f" {node.operator} ", *bracketed(right, made)),
        )

    def _arithmetic(self, node: Binary) -> Checked:
        left, right = self._both(node)
        self._must_be_number(node.left, left)
        self._must_be_number(node.right, right)
        operator = node.operator
        if operator in ("+", "-"):
            left, right = self._same_unit(node, left, right)
            unit = left.unit
            if unit in ("degC", "degF") and operator == "-" and not (left.constant or right.constant):
                unit = DIFFERENCE
        else:
            if operator == "/" and right.constant and right.range == (0.0, 0.0):
                raise SyntaxFault(node.right.at, "a division by zero")
            if operator == "/" and left.unit != right.unit and (factors := conversion(right.unit, left.unit)):
                right = scale(right, *factors, left.unit)
            unit = (product_unit if operator == "*" else quotient_unit)(left.unit, right.unit)
        made = tree.Arithmetic(operator, left.node, right.node)
        return Checked(
            node=made,
            family=NUMBER,
            unit=unit,
            range=combined(operator, left.range, right.range),
            parts=(made,),
            constant=left.constant and right.constant,
        )

    def _compare(self, node: Binary) -> Checked:
        left, right = self._sides(node)
        parts = (*left.parts, f" {node.operator} ", *right.parts)
        made = tree.Compare(node.operator, left.node, right.node)
        if left.family != NUMBER or right.family != NUMBER:
            self._must_be_alike(node, left, right)
            return Checked(node=made, family=BOOLEAN, parts=parts)
        left, right = self._same_unit(node, left, right)
        always = verdict(node.operator, left.range, right.range)
        if always is not None:
            facts = [f"{self.source(side)} is {shown_range(checked.range)}{unit_text(checked)}"
                     for side, checked in ((node.left, left), (node.right, right))
                     if not checked.constant]  # fmt: skip
            why = f": {'; '.join(facts)}" if facts else ""
            raise SyntaxFault(node.at, f"{self.source(node)} is always {'true' if always else 'false'}{why}")
        return Checked(node=tree.Compare(node.operator, left.node, right.node), family=BOOLEAN, parts=parts)

    def _sides(self, node: Binary) -> tuple[Checked, Checked]:
        """Both sides of a comparison; a name that is nothing else is a word when the other side has words."""
        if self._is_free_word(node.left) and not self._is_free_word(node.right):
            right = self.check(node.right)
            return self._word(node.left, right, node.right), right
        if self._is_free_word(node.right) or isinstance(node.right, Text):
            left = self.check(node.left)
            return left, self._word(node.right, left, node.left)
        if isinstance(node.right, Binary) and self.check(node.left).family == LABEL:
            source = self.source(node.right)
            raise SyntaxFault(node.right.at, f'{source}: a text with signs in it needs quotes: "{source}"')
        return self._both(node)

    def _is_free_word(self, node: Node) -> bool:
        return isinstance(node, Name) and self.scope.find(node.name) is None

    def _word(self, node: Node, other: Checked, other_node: Node) -> Checked:
        word = node.name if isinstance(node, Name) else node.value if isinstance(node, Text) else ""
        if other.family == WORD and word not in other.values:
            raise SyntaxFault(node.at, f"{word!r} is not a value of {self.source(other_node)}"
                                       f"{nearest(str(word), other.values)}")  # fmt: skip
        if other.family in (WORD, LABEL) and isinstance(word, str):
            return Checked(node=tree.Constant(word), family=other.family, values=other.values,
                           parts=(self.source(node),), constant=True)  # fmt: skip
        return self.check(node)

    def _must_be_alike(self, node: Binary, left: Checked, right: Checked) -> None:
        if left.family != right.family:
            told = {NUMBER: "a number", BOOLEAN: "true or false", WORD: "one of a few words", LABEL: "a text"}
            sides = ((node.left, left), (node.right, right))
            facts = " and ".join(f"{self.source(side)} is {told[checked.family]}" for side, checked in sides)
            raise SyntaxFault(node.operator_at, f"{facts}: they do not compare")
        if node.operator not in ("==", "!="):
            raise SyntaxFault(node.operator_at, f"{node.operator!r} orders numbers only; use == or != here")
        if left.constant and right.constant:
            raise SyntaxFault(node.at, f"{self.source(node)} always comes to the same")

    def _same_unit(self, node: Binary, left: Checked, right: Checked) -> tuple[Checked, Checked]:
        """Both sides in one unit: a bare number takes the other's, the right side is converted to the left's."""
        if left.unit == right.unit:
            return left, right
        for bare, other in ((left, right), (right, left)):
            if bare.unit == PLAIN and (bare.constant or other.unit in SHARES):
                taken = msgspec.structs.replace(bare, unit=other.unit)
                return (taken, right) if bare is left else (left, taken)
        if left.constant and (factors := conversion(left.unit, right.unit)):
            return scale(left, *factors, right.unit), right
        if factors := conversion(right.unit, left.unit):
            return left, scale(right, *factors, left.unit)
        raise SyntaxFault(
            node.operator_at,
            f"{self.source(node.left)} is {named(left.unit)} and {self.source(node.right)} is {named(right.unit)}: "
            f"{node.operator!r} needs the same on both sides",
        )

    def _must_be_boolean(self, node: Node, checked: Checked, operator: str) -> None:
        if checked.family != BOOLEAN:
            raise SyntaxFault(node.at, f"{operator!r} joins conditions; {self.source(node)} is not true or false: "
                                       "compare it with something")  # fmt: skip

    def _must_be_number(self, node: Node, checked: Checked) -> None:
        if checked.family != NUMBER:
            raise SyntaxFault(node.at, f"a number is needed here; {self.source(node)} is none")

    # --------------------------------------------------------------------------------------------------- functions

    def _call(self, node: Call) -> Checked:
        name, arguments = node.name, node.arguments
        if name in functions.WINDOWS and (len(arguments) == 2 and isinstance(arguments[1], Duration)):
            return self._window(node)
        if name in functions.SCALARS:
            return self._scalar(node)
        if name in self.contexts:
            return self.contexts[name](node)
        if name in functions.WINDOWS:
            raise SyntaxFault(node.at, f"write {functions.WINDOWS[name].usage}, for example {name}(metric, 30m)")
        raise SyntaxFault(node.at, f"unknown function {name}{nearest(name, functions.FUNCTION_NAMES)}")

    def _window(self, node: Call) -> Checked:
        row = functions.WINDOWS[node.name]
        metric = self._metric(node.arguments[0], row.usage)
        duration = node.arguments[1]
        assert isinstance(duration, Duration)
        if not 0 < duration.ms <= WINDOW_MS_MAX:
            raise SyntaxFault(duration.at, f"a window is longer than 0 and at most {duration_text(WINDOW_MS_MAX)}")
        if metric.type not in row.metrics:
            kinds = ", ".join(row.metrics)
            raise SyntaxFault(node.arguments[0].at, f"{metric.name} is {metric.type}; {row.name} works on {kinds}")
        read = tree.Read(tree.Window(row.name, metric.name, duration.ms, self.fresh, self.scope.doubtful))
        parts = (f"{self.source(node)} ", read)
        if row.name == "last":
            return of_metric(metric, read, self.source(node))
        unit = "count" if row.name == "count" else "ratio" if metric.type is MetricType.BOOLEAN else metric.unit
        limits = functions.window_result(row.name, *metric_range(metric))
        return Checked(node=read, family=NUMBER, unit=unit, range=limits, parts=parts)

    def _metric(self, node: Node, usage: str) -> Metric:
        if isinstance(node, Name) and node.name in self.kind.metrics:
            return self.kind.metrics[node.name]
        source = self.source(node)
        hint = nearest(source, self.kind.metrics) if isinstance(node, Name) else ""
        raise SyntaxFault(node.at, f"{usage}: {source} is no metric of {self.kind.name}{hint}")

    def _scalar(self, node: Call) -> Checked:
        row = functions.SCALARS[node.name]
        if len(node.arguments) != row.arity:
            raise SyntaxFault(node.at, f"{row.name} is written {functions.usage(row.name)}")
        first, *rest = (self.check(argument) for argument in node.arguments)
        for argument, checked in zip(node.arguments, (first, *rest), strict=True):
            self._must_be_number(argument, checked)
        arguments = [first]
        for argument, checked in zip(node.arguments[1:], rest, strict=True):
            meeting = Binary(at=node.at, end=node.end, operator=row.name, operator_at=argument.at,
                             left=node.arguments[0], right=argument)  # fmt: skip
            arguments[0], other = self._same_unit(meeting, arguments[0], checked)
            arguments.append(other)
        made = tree.Pick(row.name, tuple(argument.node for argument in arguments))
        return Checked(node=made, family=NUMBER, unit=arguments[0].unit, range=pick_range(row.name, arguments),
                       parts=(made,))  # fmt: skip

    def _silent(self, node: Call) -> Checked:
        ms = self._only_duration(node)
        heard_for = tree.Arithmetic("-", tree.Read(tree.Listened()), tree.Read(tree.Heard()))
        made = tree.Compare(">=", heard_for, tree.Constant(float(ms)))
        return Checked(node=made, family=BOOLEAN, parts=(self.source(node),))

    def _only_duration(self, node: Call) -> int:
        usage = functions.CONTEXTS[node.name].usage
        if len(node.arguments) != 1 or not isinstance(node.arguments[0], Duration):
            at = node.arguments[0].at if node.arguments else node.at
            raise SyntaxFault(at, f"{usage} takes one duration, for example {node.name}(3h)")
        ms = node.arguments[0].ms
        if not 0 < ms <= WINDOW_MS_MAX:
            raise SyntaxFault(node.arguments[0].at, f"longer than 0 and at most {duration_text(WINDOW_MS_MAX)}")
        return ms

    def _age(self, node: Call) -> Checked:
        usage = functions.CONTEXTS["age"].usage
        if len(node.arguments) != 1:
            raise SyntaxFault(node.at, f"{usage} takes one metric")
        metric = self._metric(node.arguments[0], usage)
        passed = tree.Arithmetic(
            "-", tree.Read(tree.Now()), tree.Read(tree.MeasuredAt(metric.name, self.fresh, self.scope.doubtful))
        )
        made = tree.Arithmetic("/", passed, tree.Constant(1000.0))
        return Checked(node=made, family=NUMBER, unit="s", parts=(f"{self.source(node)} ", made))

    def _between(self, node: Call) -> Checked:
        usage = functions.CONTEXTS["between"].usage
        times = [argument for argument in node.arguments if isinstance(argument, TimeOfDay)]
        if len(times) != 2 or len(node.arguments) != 2:
            raise SyntaxFault(node.at, f"write {usage}: two times of day")
        start, end = times
        if start.minutes == end.minutes:
            raise SyntaxFault(end.at, "both times are the same: that is all day or never")
        made = tree.Read(tree.Between(start.minutes, end.minutes))
        return Checked(node=made, family=BOOLEAN, parts=(self.source(node),))

    def _weekday(self, node: Call) -> Checked:
        if not node.arguments:
            raise SyntaxFault(node.at, f"write {functions.CONTEXTS['weekday'].usage}")
        days = []
        for argument in node.arguments:
            word = argument.name if isinstance(argument, Name) else self.source(argument)
            if word not in functions.DAYS:
                raise SyntaxFault(argument.at, f"{word!r} is no day{nearest(word, functions.DAYS)}")
            days.append(functions.DAYS.index(word))
        if len(set(days)) == len(functions.DAYS):
            raise SyntaxFault(node.at, "that is every day")
        made = tree.Read(tree.Weekday(tuple(sorted(set(days)))))
        return Checked(node=made, family=BOOLEAN, parts=(self.source(node),))
