"""The pages about rules say what the code does."""

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from contract.document import DocumentFault
from contract.site import Zone
from rules.compile import Program
from rules.functions import CONTEXTS, SCALARS, WINDOWS
from rules.loader import ALARM_KEYS, RULE_KEYS, load
from rules.series import READINGS_MAX
from rules.testing import run
from tests.rules.story import KINDS, SITE

DOCS = Path(__file__).parents[2] / "docs"
NAMES = {"ar": "أ", "fr": "a", "en": "a"}
PLACE = replace(SITE, zones=tuple(Zone(zone=zone, labels=NAMES, outline=()) for zone in ("centre", "orchards")))


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def examples(name: str, first_key: str) -> dict[str, str]:
    """The YAML blocks of a page that begin with this key."""
    blocks = re.findall(r"```yaml\n(.*?)```", page(name), re.DOTALL)
    return {f"{first_key}-{number}.yaml": block for number, block in enumerate(blocks) if block.startswith(first_key)}


@pytest.mark.parametrize("name", ["rules.md", "quickstart-engineer.md"])
def test_the_examples_of_a_page_load_and_their_tests_pass(name: str) -> None:
    rules, tests = examples(name, "group"), examples(name, "tests")
    results = run(rules, tests, KINDS, PLACE)
    assert len(results) == 2
    assert [failure for result in results for failure in result.failures] == []


def test_every_function_is_on_the_page_as_the_table_in_the_code_has_it() -> None:
    text = page("rules.md")
    for table in (WINDOWS, SCALARS, CONTEXTS):
        for row in table.values():
            assert f"| `{row.usage}` | {row.meaning} |" in text


def test_the_page_has_no_function_that_the_code_has_not() -> None:
    section = page("rules.md").split("### Functions")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)\(", section, re.MULTILINE)
    assert sorted(listed) == sorted([*WINDOWS, *SCALARS, *CONTEXTS])


def test_every_key_of_a_rule_is_on_the_page_and_no_other() -> None:
    section = page("rules.md").split("## The keys of a rule")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(RULE_KEYS)
    assert all(f"`{key}`" in section for key in ALARM_KEYS)


def test_the_bound_of_a_window_is_the_one_on_the_page() -> None:
    assert f"{READINGS_MAX:,} readings" in page("rules.md")


def test_the_fault_shown_in_the_quick_start_is_the_one_that_is_told() -> None:
    (text,) = examples("quickstart-engineer.md", "group").values()
    with pytest.raises(DocumentFault) as caught:
        load({"poles.yaml": text.replace("min(tilt_deg,", "min(tilt,")}, KINDS, SITE)
    assert str(caught.value) in page("quickstart-engineer.md")


def test_the_truth_table_of_the_page_is_that_of_the_engine() -> None:
    section = page("rules.md").split("| a | b | a and b | a or b |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (\w+) \| (\w+) \| (\w+) \| (\w+) \|$", section, re.MULTILINE)
    values = {"true": True, "false": False, "unknown": None}
    text = "group: t\nrules:\n" + "".join(
        f"  - {{name: {name}, kind: waste_bin, when: lid_open {name[:-1]} fill_level > 0.5, "
        "alarm: {severity: minor, text: {ar: أ, fr: a, en: a}}}\n"
        for name in ("and_", "or_")
    )
    ruleset = load({"t.yaml": text}, KINDS, SITE)
    program = Program([rule.condition for rule in ruleset.rules])
    assert len(rows) == 6
    for a, b, both, either in rows:
        filled = {True: 0.9, False: 0.1, None: None}[values[b]]
        assert program.judge([values[a], filled], []) == (values[both], values[either])
