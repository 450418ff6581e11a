"""Recounts an InfluxDB bucket: the names of all points of a kind, day by day, gathered as runs.

InfluxQL cannot group by a field, and stream and seq are fields: so every name is read once, and what stays in memory
are the runs of each stream, few where readings follow one another.
"""

from collections.abc import Callable, Iterator

from adapters.stores.influx_aggregate_rows import raw_floors
from adapters.stores.influx_lines import tag_value
from adapters.stores.influx_link import InfluxLink
from adapters.stores.influxql import name, within
from contract import ranges
from contract.annals import NS_PER_MS
from contract.extracts import Held
from contract.kind import Kinds

DAY_MS = 86_400_000


class InfluxNames:
    """Implements contract.extracts.Names; of the kinds that are loaded."""

    def __init__(self, link: InfluxLink, kinds: Kinds) -> None:
        self._link, self._kinds = link, kinds

    def keeps_from_ms(self, now_ms: int, real_ms: int) -> dict[str, int]:
        """The bucket deletes by itself, seen from the machine's time, and Nabd what each kind no longer keeps raw."""
        keeps_s, raw_from_ms = self._link.keeps_s(), raw_floors(self._link)
        bucket_ms = real_ms - keeps_s * 1000 if keeps_s else 0
        floors = {kind: max(bucket_ms, raw_from_ms.get(kind, 0)) for kind in self._kinds}
        return {kind: from_ms for kind, from_ms in floors.items() if from_ms > 0}

    def held(self, told: Callable[[int], None]) -> Iterator[Held]:
        gathered: dict[tuple[str, str], ranges.Gathered] = {}
        doubled: dict[tuple[str, str], list[ranges.Range]] = {}
        kept_seq: dict[tuple[str, str], int] = {}
        has_retention, raw_from_ms = self._link.keeps_s() > 0, raw_floors(self._link)
        for kind in self._kinds:
            from_ns = raw_from_ms.get(kind, 0) * NS_PER_MS
            for start_ms in self._days(kind):
                query = f'SELECT "stream", "seq" {within(kind, start_ms, start_ms + DAY_MS)} GROUP BY "device"'
                for series in self._link.ask(query):
                    told(len(series.values))
                    device, by_stream = tag_value(series.tags.get("device", "")), dict[str, list[int]]()
                    for at_ns, stream, seq in series.values:
                        if seq is not None:
                            by_stream.setdefault(stream or "", []).append(int(seq))
                            if at_ns >= from_ns:
                                key = device, stream or ""
                                first = int(seq) if has_retention or from_ns else 0
                                kept_seq[key] = min(kept_seq.get(key, first), first)
                    for stream, seqs in by_stream.items():
                        key = device, stream
                        again = gathered.setdefault(key, ranges.Gathered()).add(seqs)
                        if again:
                            doubled[key] = ranges.united(doubled.get(key, ()), again)
        for key in sorted(gathered):
            yield Held(*key, gathered.pop(key).ranges, doubled.pop(key, ()), kept_seq.pop(key, None))

    def _days(self, kind: str) -> range:
        ends = [
            row[0] // NS_PER_MS
            for end in ("first", "last")
            for series in self._link.ask(f'SELECT {end}("seq") FROM {name(kind)}')  # a kind's name
            for row in series.values
        ]
        return range(min(ends) // DAY_MS * DAY_MS, max(ends) + 1, DAY_MS) if ends else range(0)
