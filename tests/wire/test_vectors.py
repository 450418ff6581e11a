"""The contract reads and writes the golden vectors, the same on CPython and on MicroPython."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from contract.wire import messages, topics
from tests.wire import check_vectors

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors"
CASES = [(name, case) for name in check_vectors.FILES for case in check_vectors.load(name, f"{VECTORS}/")]


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}: {case['name']}" for name, case in CASES])
def test_the_contract_says_what_the_vector_says(name: str, case: dict[str, Any]) -> None:
    assert check_vectors.check(name, case) is None


def test_micropython_reads_every_vector_like_cpython() -> None:
    """The real interpreter of the node, not an imitation, with room for the files (not the limit of a node)."""
    run = subprocess.run(
        [ROOT / ".venv/bin/micropython", "-X", "heapsize=8m", "-m", "tests.wire.check_vectors"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.stdout.strip().splitlines()[-1:] == [f"{len(CASES)} cases, 0 failed"], run.stdout + run.stderr
    assert run.returncode == 0


def test_every_file_of_vectors_is_read_by_somebody() -> None:
    files = {path.stem for path in VECTORS.glob("*.json")}
    assert files == {*check_vectors.FILES, "order"}


def test_every_channel_has_a_file_with_valid_and_invalid_cases() -> None:
    for channel in topics.UPWARD + topics.DOWNWARD:
        valid = {case["valid"] for name, case in CASES if name == channel}
        assert valid == {True, False}, channel


def test_every_code_of_the_wire_has_a_case() -> None:
    codes = {case.get("code") for _, case in CASES}
    codes |= {fault["code"] for _, case in CASES for fault in case.get("faults", ())}
    assert codes >= set(messages.FAULT_CODES)


def test_every_channel_has_the_codes_that_any_payload_can_earn() -> None:
    for channel in topics.UPWARD + topics.DOWNWARD:
        codes = {case.get("code") for name, case in CASES if name == channel}
        assert codes >= {"not_json", "too_large", "missing_key", "wrong_type", "out_of_range"}, channel


def test_names_of_cases_are_unique_in_their_file() -> None:
    for name in check_vectors.FILES:
        names = [case["name"] for case in check_vectors.load(name, f"{VECTORS}/")]
        assert len(names) == len(set(names)), name


def test_order_vectors_hold_one_verdict_a_message() -> None:
    for case in check_vectors.load("order", f"{VECTORS}/"):
        assert len(case["messages"]) == len(case["news"]) > 1, case["name"]
