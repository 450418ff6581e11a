"""The city's own files are read as text with bounds."""

from pathlib import Path

import pytest

from nabd.city_files import BYTES_MAX, rule_texts
from nabd.fault import Refused


def test_a_file_that_does_not_end_is_refused_with_the_bound() -> None:
    with pytest.raises(Refused, match=f"/dev/zero: has more than {BYTES_MAX} bytes"):
        rule_texts([Path("/dev/zero")])


def test_lines_may_end_as_on_other_systems(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"group: a\r\nrules: []\r")
    assert rule_texts([file])[0] == {str(file): "group: a\nrules: []\n"}
