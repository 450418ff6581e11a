"""The page says what was measured: medians, ranges, ratios of medians, losses, and where it was done."""

from bench.benchmarks_page import Kill, Results, Series, kills_table, page, series_table
from bench.killing import Aftermath
from bench.load import Load
from bench.measuring import Figures


def figures(side_us: float, rate: float, peak_mb: float) -> Figures:
    return Figures(rate=rate, publish_rate=1.0, side_us=side_us, influx_us=9.0, broker_us=15.0, peak_mb=peak_mb)


SERIES = Series(
    "One reading a message",
    Load(1_000, 1, 10, rate=5_000),
    165,
    {
        "Telegraf": [figures(20, 30_000, 60), figures(30, 10_000, 50), figures(22, 20_000, 70)],
        "Nabd": [figures(11, 10_000, 120), figures(9, 40_000, 100), figures(12, 15_000, 110)],
    },
)
KILL = Kill("Mosquitto", "Telegraf", "plain", Aftermath(sent=1_000, lost=123, doubled=4, lines=2_000, resent=5))


def test_a_table_gives_median_and_range_and_the_ratio_of_medians() -> None:
    rows = series_table(SERIES)
    assert rows[2].startswith("| Telegraf | 22.0 (20.0 – 30.0) | 20,000 (10,000 – 30,000) | 60 (50 – 70) |")
    assert rows[3].startswith("| Nabd | 11.0 (9.0 – 12.0) | 15,000 (10,000 – 40,000) | 110 (100 – 120) |")
    assert rows[4].startswith("| Nabd ÷ Telegraf | **0.50** | **0.75** | **1.83** |")


def test_a_kill_says_what_died_what_was_lost_and_what_was_doubled() -> None:
    assert kills_table([KILL])[2] == "| Mosquitto | Telegraf | plain | 1,000 | **123** | **4** | 2,000 | 5 |"


def test_the_page_names_command_versions_load_and_settings_and_leaves_no_place_open() -> None:
    text = page(Results("make bench-ingest ARGS='--rounds 3'", 3, 1.5, 360, [SERIES], [KILL]))
    assert "make bench-ingest ARGS='--rounds 3'" in text
    assert "Telegraf 1.37." in text
    assert "InfluxDB 2.9." in text
    assert "1,000 messages of 1 reading (165 bytes), from 10 devices, 5,000 messages a second." in text
    assert "max_undelivered_messages = 10000" in text
    assert "max_queued_messages 0" in text
