"""docs/benchmarks.md: a fixed frame of explanation around the figures of one run of the comparison."""

import os
import platform as machine
import re
import shutil
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.killing import Aftermath
from bench.load import Load
from bench.measuring import Figures
from bench.peers_telegraf import CONFIGURATION
from bench.servers import MOSQUITTO_CONF, peer_version

COLUMNS: tuple[tuple[str, Callable[[Figures], float], str], ...] = (
    ("CPU µs a message", lambda figures: figures.side_us, ".1f"),
    ("messages/s, to queryable", lambda figures: figures.rate, ",.0f"),
    ("peak memory MB", lambda figures: figures.peak_mb, ".0f"),
    ("InfluxDB, CPU µs a message", lambda figures: figures.influx_us, ".1f"),
    ("Mosquitto, CPU µs a message", lambda figures: figures.broker_us, ".1f"),
)
RATIOS = 3  # of the columns: those that are the side's own


@dataclass(frozen=True)
class Series:
    """One load through every side, round after round; the first side is what the others are compared with."""

    title: str
    load: Load
    payload_bytes: int
    figures: Mapping[str, Sequence[Figures]]


@dataclass(frozen=True)
class Kill:
    """One kill: of what, with which side, and who publishes."""

    killed: str
    side: str
    publisher: str
    aftermath: Aftermath


@dataclass
class Results:
    command: str
    rounds: int
    load_average: float  # of the machine before the run: what else it had to do
    checked: int = 0  # points compared one by one, of each side, before anything was timed
    series: list[Series] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)


def series_table(series: Series) -> list[str]:
    """Median and range of each column, and how the other sides compare with the first."""
    lines = ["| side | " + " | ".join(title for title, _, _ in COLUMNS) + " |", "|---|" + "---|" * len(COLUMNS)]
    reference = next(iter(series.figures))
    for side, runs in series.figures.items():
        lines.append(f"| {side} | " + " | ".join(_spread(runs, value, form) for _, value, form in COLUMNS) + " |")
    for side, runs in series.figures.items():
        if side != reference:
            cells = [
                f"**{_median(runs, value) / _median(series.figures[reference], value):.2f}**" if index < RATIOS else ""
                for index, (_, value, _) in enumerate(COLUMNS)
            ]
            lines.append(f"| {side} ÷ {reference} | " + " | ".join(cells) + " |")
    return lines


def kills_table(kills: Sequence[Kill]) -> list[str]:
    lines = [
        "| killed with -9 | side | publisher | readings | lost | doubled | lines written | messages sent again |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kill in kills:
        after = kill.aftermath
        lines.append(
            f"| {kill.killed} | {kill.side} | {kill.publisher} | {after.sent:,} | **{after.lost:,}** | "
            f"**{after.doubled:,}** | {after.lines:,} | {after.resent:,} |"
        )
    return lines


def page(results: Results) -> str:
    """The whole file."""
    parts = [HEAD.format(**_facts(results))]
    parts += [
        f"### {series.title}\n\n{_load(series)}\n\n" + "\n".join(series_table(series)) + "\n"
        for series in results.series
    ]
    parts.append(KILLS + "\n" + "\n".join(kills_table(results.kills)) + "\n")
    parts.append(SETTINGS.format(telegraf=CONFIGURATION.strip(), mosquitto=MOSQUITTO_CONF.strip()))
    return "\n".join(parts)


def _spread(runs: Sequence[Figures], value: Callable[[Figures], float], form: str) -> str:
    values = [value(figures) for figures in runs]
    if len(values) == 1:
        return f"{values[0]:{form}}"
    return f"{statistics.median(values):{form}} ({min(values):{form}} – {max(values):{form}})"


def _median(runs: Sequence[Figures], value: Callable[[Figures], float]) -> float:
    return statistics.median(value(figures) for figures in runs)


def _load(series: Series) -> str:
    load = series.load
    pace = f"{load.rate:,} messages a second" if load.rate else "as fast as the broker takes them"
    return (
        f"{load.messages:,} messages of {load.readings} reading{'s' if load.readings > 1 else ''} "
        f"({series.payload_bytes} bytes), from {load.devices:,} devices, {pace}."
    )


def _facts(results: Results) -> dict[str, str]:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    kernel = f"{machine.system()} {machine.release()}"
    return {
        "command": results.command,
        "rounds": str(results.rounds),
        "load": f"{results.load_average:.1f}",
        "checked": str(results.checked),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {memory_gb:.0f} GB, {kernel}",
        "python": machine.python_version(),
        "nabd": version("nabd"),
        "telegraf": peer_version("telegraf", "github.com/influxdata/telegraf"),
        "influxdb": peer_version("influxd", "github.com/influxdata/influxdb/v2"),
        "mosquitto": _mosquitto_version(),
    }


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else machine.machine()


def _mosquitto_version() -> str:
    program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin") or "mosquitto"
    said = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (\S+)", said)
    return found[1] if found else "unknown"


HEAD = """\
# Benchmarks

Written by `make bench-ingest`; do not edit, run it again. (`make bench` prints the figures of the embedded set-up.)

## Nabd and Telegraf, from Mosquitto to InfluxDB

[Telegraf](https://github.com/influxdata/telegraf) is what a city would otherwise run between broker and database. Both
sides get the same messages from the same Mosquitto and write into the same InfluxDB, in turn, rounds: {rounds}. Each
figure is the median of the rounds, with the lowest and the highest beside it, and each ratio is one of medians. Below 1
is less than Telegraf, for CPU and memory better, for the rate worse.

| | |
|---|---|
| command | `{command}` |
| date | {date} |
| machine | {machine}; publisher, broker, side and database share it |
| load average before the run | {load}; above 0.5 other programs took part in what follows |
| versions | Nabd {nabd} on Python {python}, Telegraf {telegraf}, InfluxDB {influxdb}, Mosquitto {mosquitto} |

What is compared:

- **Telegraf**: reads the JSON, writes device, time, `seq` and the metrics. Its settings are below.
- **Nabd, ingest and store writer**: the same job and what Nabd's promise needs beside it: every reading validated
  against its kind, its name looked up in the ledger (duplicates, conflicts, gaps), the log on the disk (fsync) before
  the broker is acknowledged, `kept` told to the device, then the log read again and written to InfluxDB with asset,
  place, stream, boot and quality. These are the rooms of `nabd up` in one process, without the rest of it.
- **Nabd, whole platform**: `nabd up` with its rules, actuation, live view, audit and console, which nobody looks at.

How it is measured: the rate is over the time from the first publish until every reading can be queried (`COUNT` in
InfluxQL); CPU is user and system time of the side's process over the same time, and in the whole platform on until
rules and live view have seen all, divided by messages. Peak memory is the process's high-water mark. The publisher is
a process of its own, QoS 1, and its messages are made beforehand. Before anything is timed, {checked} points of each
side are read back from InfluxDB and compared with what was sent, one by one. A run in which a reading is missing ends
the comparison.

At full speed publisher, broker, side and database share the machine's cores and keep them all busy: the rate says what
all four cost together. Nabd's points have five fields (stream, boot, quality, when received, when stored) and two tags
(asset, commune) more than Telegraf's, and InfluxDB takes nearly twice as long for each: that, not Nabd's own work, is
why Nabd's rate is no higher.

Nabd keeps a ledger for every device, and what a batch costs it grows with the devices in the batch: the last series has
the same number of messages from more of them. Telegraf keeps nothing.
"""

KILLS = """\
### Killed once, in the midst of the stream

The side, or Mosquitto, is killed with SIGKILL when a fifth of the readings is stored, and started again at once. Lost
is what InfluxDB does not hold in the end although the broker acknowledged it to the publisher; doubled is what it holds
twice. More lines written than readings are those written again, which overwrite an equal point, and the side's own
(Nabd's position in the log; alarms and health of the whole platform). A *plain* publisher forgets a message when the
broker acknowledges it. A *device of Nabd's* forgets it when Nabd says `kept`, and sends it again otherwise; Telegraf
has no such word to say.

What the broker's death costs a plain publisher is what the broker held unsaved at that moment: a side that takes
messages faster leaves less there, and from run to run it varies from nothing to most of them. Only devices that wait
for `kept` are sure of theirs.
"""

SETTINGS = """\
### Settings

Telegraf's, with places for what differs from run to run; `persistent_session` is true (its default is false) but in
the kill that says so:
```toml
{telegraf}
```
Mosquitto's:
```
{mosquitto}
```
Nabd's: `[mqtt] embedded = false, connections = 4`, `[store] kind = "influxdb"`, no limits per device (`[ingest]`, each
0: Telegraf has none), otherwise as it comes.
"""
