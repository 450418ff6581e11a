"""A file that cannot be read is named with the place, whatever is in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.document import Document, DocumentFault, Fault, nearest


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [1, 2\nb: 3", "f.yaml:2:2"),
        ("a: 1\na: 2", "f.yaml:2:1"),
        ("a: *nobody", "f.yaml:1:4"),
        ("- a\n- b", "f.yaml:1:1"),
        ("", "f.yaml:1:1"),
        ("just words", "f.yaml:1:1"),
        ("a:\n\t- b", "f.yaml:2:1"),
    ],
)
def test_an_unreadable_file_has_a_fault_with_its_place(text: str, place: str) -> None:
    document = Document("f.yaml", text)
    assert [str(fault).rsplit(":", 1)[0].split(": ")[0].startswith(place) for fault in document.faults] == [True]
    with pytest.raises(DocumentFault, match=r"f\.yaml"):
        document.finish()


@given(st.text(max_size=200))
def test_no_text_makes_the_reader_fail_in_any_other_way(text: str) -> None:
    document = Document("f.yaml", text)
    assert document.faults or document.root is not None


def test_times_of_day_stay_texts_and_are_not_read_as_base_60_numbers() -> None:
    assert Document("f.yaml", "at: 21:00").root["at"] == "21:00"


def test_faults_are_sorted_by_place() -> None:
    late, early = Fault("f", 9, 1, "late"), Fault("f", 2, 5, "early")
    assert DocumentFault([late, early]).faults == [early, late]


def test_a_hint_names_the_nearest_word_or_the_short_list() -> None:
    assert nearest("levle", ["level", "power_w"]) == "; did you mean 'level'?"
    assert nearest("zzz", ["level", "power_w"]) == "; known: level, power_w"
    assert nearest("zzz", []) == "; there is none"
    assert nearest("zzz", [f"metric_{n}" for n in range(40)]) == ""
