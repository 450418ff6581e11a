"""Every fault of a rule or test file is named with its line, its column and what to do."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from contract.document import DocumentFault
from contract.site import Zone
from rules.loader import load
from rules.testing import run
from tests.rules.story import KINDS, SITE, rule, shipped_rules

HERE = Path(__file__).parent
CASES = sorted((HERE / "cases").glob("*.yaml"))
BAD_TESTS = sorted((HERE / "bad_tests").glob("*.test.yaml"))
ZONES = (
    "centre", "hay-salam", "hay-hassani", "hay-massira", "municipal-park", "orchards", "industrial-quarter",
)  # fmt: skip
ZONED = replace(
    SITE, zones=tuple(Zone(zone=zone, labels={"ar": zone, "fr": zone, "en": zone}, outline=()) for zone in ZONES)
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_bad_file_is_refused_with_exactly_these_faults(case: Path) -> None:
    with pytest.raises(DocumentFault) as caught:
        load({case.name: case.read_text(encoding="utf-8")}, KINDS, ZONED)
    assert str(caught.value) == case.with_suffix(".faults").read_text(encoding="utf-8").strip()


@pytest.mark.parametrize("case", BAD_TESTS, ids=lambda case: case.stem)
def test_a_bad_test_file_is_refused_with_exactly_these_faults(case: Path) -> None:
    rules, _ = shipped_rules()
    with pytest.raises(DocumentFault) as caught:
        run(rules, {case.name: case.read_text(encoding="utf-8")}, KINDS, SITE)
    assert str(caught.value) == case.with_suffix("").with_suffix(".faults").read_text(encoding="utf-8").strip()


def test_all_faults_of_all_files_come_at_once() -> None:
    with pytest.raises(DocumentFault) as caught:
        load({"a.yaml": rule("one", "levle > 0.2"), "b.yaml": rule("two", "pover_w > 5")}, KINDS, SITE)
    assert [fault.file for fault in caught.value.faults] == ["a.yaml", "b.yaml"]


def test_a_name_stands_for_one_rule_in_all_files() -> None:
    with pytest.raises(DocumentFault, match=r"b.yaml:3:11: name: 'same' is taken by the rule at a.yaml:3"):
        load({"a.yaml": rule("same", "level > 0.2"), "b.yaml": rule("same", "level > 0.3")}, KINDS, SITE)


@pytest.mark.parametrize("end", ["and", "(", "level >", "not", "min(level,", "'lease", "1e400 < level", "level > 5m3x"])
def test_an_unfinished_expression_is_a_fault_and_never_an_exception(end: str) -> None:
    with pytest.raises(DocumentFault):
        load({"a.yaml": rule("unfinished", f"level > 0.2 and {end}")}, KINDS, SITE)


def test_what_a_rule_says_stays_the_same_rule_when_it_is_laid_out_anew() -> None:
    text = rule("laid_out", "level > 0.2", "for: 10m")
    again = "# a comment\n" + text.replace("level > 0.2", "level   >   0.2").replace("    for: 10m\n", "")
    again += "    for: 10m   # at the end\n"
    first, second = (load({"a.yaml": one}, KINDS, SITE).rules[0] for one in (text, again))
    edited = load({"a.yaml": text.replace("10m", "11m")}, KINDS, SITE).rules[0]
    assert first.content == second.content
    assert first.content != edited.content
