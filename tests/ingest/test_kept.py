"""`kept` goes out at once, and then at most once a second per stream."""

from ingest.kept import Keeper


class Ear:
    def __init__(self) -> None:
        self.heard: list[tuple[str, str, bool]] = []

    def __call__(self, device: str, stream: str, deferred: bool) -> None:
        self.heard.append((device, stream, deferred))


def test_the_first_answer_is_at_once_and_the_next_after_a_second() -> None:
    keeper, ear = Keeper(), Ear()
    keeper.add("a", "s", deferred=False)
    keeper.flush(10.0, ear)
    for tenth in range(1, 10):
        keeper.add("a", "s", deferred=False)
        keeper.flush(10.0 + tenth / 10, ear)
    assert len(ear.heard) == 1
    keeper.flush(11.0, ear)
    assert len(ear.heard) == 2
    keeper.flush(20.0, ear)
    assert (len(ear.heard), keeper.waiting, keeper.sent) == (2, 0, 2)


def test_streams_do_not_wait_for_one_another() -> None:
    keeper, ear = Keeper(), Ear()
    keeper.add("a", "s", deferred=False)
    keeper.flush(10.0, ear)
    keeper.add("a", "t", deferred=False)
    keeper.add("b", "s", deferred=True)
    keeper.add("a", "s", deferred=False)
    keeper.flush(10.1, ear)
    assert ear.heard == [("a", "s", False), ("a", "t", False), ("b", "s", True)]


def test_the_last_word_on_deferral_holds() -> None:
    keeper, ear = Keeper(), Ear()
    keeper.add("a", "s", deferred=True)
    keeper.add("a", "s", deferred=False)
    keeper.flush(1.0, ear)
    assert ear.heard == [("a", "s", False)]


def test_at_the_end_everybody_who_is_owed_an_answer_gets_one() -> None:
    keeper, ear = Keeper(), Ear()
    keeper.add("a", "s", deferred=False)
    keeper.flush(1.0, ear)
    keeper.add("a", "s", deferred=False)
    keeper.flush(1.1, ear, all_due=True)
    assert len(ear.heard) == 2


def test_memory_holds_only_the_streams_of_the_last_second() -> None:
    keeper, ear = Keeper(), Ear()
    for n in range(1000):
        keeper.add(f"d{n}", "s", deferred=False)
        keeper.flush(n / 10, ear)
    assert len(ear.heard) == 1000
    assert len(keeper._sent_s) <= 11
