"""What is derived from the kinds is what the kinds say."""

from pathlib import Path

import pytest

from contract.kind_file import load_kinds, read_kind
from firmware.core.kinds import KINDS
from nabd import generate

KIND = """
kind: gate
version: 1
icon: door
smart_data_model: Device
period: 10m
labels: {ar: a, fr: b, en: c}
metrics:
  open: {type: boolean, labels: {ar: a, fr: b, en: c}}
  lift_mm: {type: number, unit: um, unit_code: 4H, min: 0, max: 9, resolution: 0.05, labels: {ar: a, fr: b, en: c}}
settings:
  open_s: {type: integer, unit: s, unit_code: SEC, min: 1, max: 99, default: 60, labels: {ar: a, fr: b, en: c}}
targets:
  open: {safe: false, resume: false, limits: {run: open_s}, labels: {ar: a, fr: b, en: c}}
"""


def test_the_committed_kinds_are_what_the_generator_writes() -> None:
    committed = generate.KINDS_FILE.read_text(encoding="utf-8")
    assert committed == generate.firmware_kinds(load_kinds()), "run: python -m nabd.generate"
    assert generate.main(["--check"]) == 0


def test_a_new_kind_needs_no_code() -> None:
    kind = read_kind("gate.yaml", KIND)
    found: dict[str, object] = {}
    exec(generate.firmware_kinds({"gate": kind}), found)
    kinds = found["KINDS"]
    assert isinstance(kinds, dict)
    assert kinds["gate"]["metrics"] == {"open": "boolean", "lift_mm": 2}
    assert kinds["gate"]["targets"]["open"]["run_limit"] == "open_s"
    assert kinds["gate"]["limits"] == {"open_s": 60}


def test_every_kind_is_there() -> None:
    assert sorted(KINDS) == sorted(load_kinds())


def test_a_file_out_of_date_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "KINDS_FILE", tmp_path / "kinds.py")
    assert generate.main(["--check"]) == 1
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
