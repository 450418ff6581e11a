from ingest.rates import WINDOW_S, Rates


def test_rates_are_sums_over_the_seconds_that_are_over() -> None:
    rates = Rates()
    for tenth in range(100):
        rates.add(100 + tenth / 10, 5, 20)
    assert rates.per_s(110.0) == (50.0, 200.0)
    assert rates.per_s(115.5) == (25.0, 100.0)
    assert rates.per_s(200.0) == (0.0, 0.0)


def test_the_memory_of_rates_is_bounded() -> None:
    rates = Rates()
    for second in range(1000):
        rates.add(second, 1, 1)
    assert len(rates._seconds) <= WINDOW_S + 1
