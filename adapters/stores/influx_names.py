"""Recounts an InfluxDB bucket: the names of all points of a kind, day by day, gathered as runs.

InfluxQL cannot group by a field, and stream and seq are fields: so every name is read once, and what stays in memory
are the runs of each stream, few where readings follow one another.
"""

from collections.abc import Callable, Iterator

from adapters.stores.influx_lines import tag_value
from adapters.stores.influx_link import InfluxLink
from adapters.stores.influx_reading import name, within
from contract import ranges
from contract.annals import NS_PER_MS
from contract.extracts import Held
from contract.kind import Kinds

DAY_MS = 86_400_000


class InfluxNames:
    """Implements contract.extracts.Names; of the kinds that are loaded."""

    def __init__(self, link: InfluxLink, kinds: Kinds) -> None:
        self._link, self._kinds = link, kinds

    def keeps_from_ms(self, now_ms: int, real_ms: int) -> int | None:
        keeps_s = self._link.keeps_s()
        return real_ms - keeps_s * 1000 if keeps_s else None

    def held(self, told: Callable[[int], None]) -> Iterator[Held]:
        gathered: dict[tuple[str, str], ranges.Gathered] = {}
        doubled: dict[tuple[str, str], list[ranges.Range]] = {}
        for kind in self._kinds:
            for start_ms in self._days(kind):
                query = f'SELECT "stream", "seq" {within(kind, start_ms, start_ms + DAY_MS)} GROUP BY "device"'
                for series in self._link.ask(query):
                    told(len(series.values))
                    by_stream: dict[str, list[int]] = {}
                    for _, stream, seq in series.values:
                        if seq is not None:
                            by_stream.setdefault(stream or "", []).append(int(seq))
                    for stream, seqs in by_stream.items():
                        key = tag_value(series.tags.get("device", "")), stream
                        again = gathered.setdefault(key, ranges.Gathered()).add(seqs)
                        if again:
                            doubled[key] = ranges.united(doubled.get(key, ()), again)
        for key in sorted(gathered):
            yield Held(*key, gathered.pop(key).ranges, doubled.pop(key, ()))

    def _days(self, kind: str) -> range:
        ends = [
            row[0] // NS_PER_MS
            for end in ("first", "last")
            for series in self._link.ask(f'SELECT {end}("seq") FROM {name(kind)}')  # noqa: S608  # a kind's name
            for row in series.values
        ]
        return range(min(ends) // DAY_MS * DAY_MS, max(ends) + 1, DAY_MS) if ends else range(0)
