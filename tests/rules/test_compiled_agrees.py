"""Compiled code and the reference evaluator agree on every tree and every input."""

from hypothesis import given, settings
from hypothesis import strategies as st

from rules import tree
from rules.compile import Program
from rules.evaluate import evaluate

NUMBERS: list[tree.Input] = [
    tree.Current("a", False),
    tree.Window("avg", "b", 60_000, True),
    tree.SettingOf("c"),
    tree.SunElevation(),
]
TRUTHS: list[tree.Input] = [tree.Current("p", False), tree.Current("q", True), tree.Between(60, 120)]
KNOWN = (tree.SettingOf, tree.SunElevation, tree.Between)

_values = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.25, -7.5, 1e9])
_constants = st.builds(tree.Constant, _values)


def _deeper(numbers: st.SearchStrategy[tree.Node]) -> st.SearchStrategy[tree.Node]:
    return st.one_of(
        st.builds(tree.Arithmetic, st.sampled_from("+-*/"), numbers, numbers),
        st.builds(tree.Negate, numbers),
        st.builds(tree.Scale, numbers, _values, _values),
        st.builds(tree.Pick, st.sampled_from(["min", "max"]), st.tuples(numbers, numbers)),
        st.builds(tree.Pick, st.just("abs"), st.tuples(numbers)),
        st.builds(tree.Pick, st.just("clamp"), st.tuples(numbers, numbers, numbers)),
    )


number_trees = st.recursive(_constants | st.sampled_from([tree.Read(one) for one in NUMBERS]), _deeper, max_leaves=6)
_leaves = st.one_of(
    st.sampled_from([tree.Read(one) for one in TRUTHS]),
    st.builds(tree.Constant, st.booleans()),
    st.builds(tree.Compare, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), number_trees, number_trees),
)
conditions = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.builds(tree.Not, inner), st.builds(tree.And, inner, inner), st.builds(tree.Or, inner, inner)
    ),
    max_leaves=8,
)


@st.composite
def inputs(draw: st.DrawFn) -> dict[tree.Input, tree.Value]:
    values: dict[tree.Input, tree.Value] = {}
    for one in (*NUMBERS, *TRUTHS):
        known: st.SearchStrategy[tree.Value] = _values if one in NUMBERS else st.booleans()
        values[one] = draw(known if isinstance(one, KNOWN) else st.none() | known)
    return values


def _same(left: tree.Value, right: tree.Value) -> bool:
    return left is right or left == right or (left != left and right != right)


@settings(max_examples=400, deadline=None)
@given(st.lists(conditions, min_size=1, max_size=4), inputs())
def test_compiled_conditions_come_to_what_the_reference_says(
    trees: list[tree.Node], values: dict[tree.Input, tree.Value]
) -> None:
    program = Program(trees)
    compiled = program.judge(
        [values[one] for one in program.asset_inputs], [values[one] for one in program.shared_inputs]
    )
    reference = tuple(evaluate(one, values.__getitem__) for one in trees)
    assert all(map(_same, compiled, reference)), program.code
