"""The check before the timing tells a wrong, a missing and a doubled point."""

from bench.checking import compare

SENT = [("lamp-1", 1000, 1.0, 60.0), ("lamp-1", 1001, 2.0, 61.0)]


def test_the_same_points_in_any_order_are_right() -> None:
    assert compare(SENT[::-1], SENT) == ""


def test_a_missing_a_wrong_and_a_doubled_point_are_named() -> None:
    assert compare(SENT[:1], SENT) == f"1 missing, first [{SENT[1]}]; 0 not sent, first []"
    wrong = ("lamp-1", 1001, 2.0, 61.5)
    assert compare([SENT[0], wrong], SENT) == f"1 missing, first [{SENT[1]}]; 1 not sent, first [{wrong}]"
    assert compare([*SENT, SENT[0]], SENT) == f"0 missing, first []; 1 not sent, first [{SENT[0]}]"
