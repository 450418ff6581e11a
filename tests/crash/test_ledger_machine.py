"""The real ledger, with the real log under it, against sets of integers: through crashes, full disks and cut logs.

A crash is modelled by the files as they are at a moment: the log is opened from a copy of them, and what was in memory
is gone. Streams are few and short, and so are the bounds that matter (streams of a device in memory, names that wait to
be written), so that every rule soon touches what another left.
"""

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from adapters.log import names
from contract.ports import LogFull, Message
from contract.records import Telemetry
from ingest import ledger
from tests.ingest.house import NOW_MS, IngestHouse, birth, message, telemetry

pytestmark = pytest.mark.timeout(300)  # a failure is made smaller first
SEQ_MAX = 40
YEAR_MS = 365 * 86_400_000
KEYS = [(device, f"0000000{n}") for device in ("lamp-1", "lamp-2") for n in range(5)]
SEQS = st.lists(st.integers(1, SEQ_MAX), min_size=1, max_size=8, unique=True)
SAYINGS = st.lists(
    st.tuples(st.sampled_from(KEYS), st.one_of(SEQS.map(sorted), SEQS), st.integers(1, SEQ_MAX)),
    min_size=1,
    max_size=5,
)

Saying = tuple[tuple[str, str], list[int], int]
"""((device, stream), seqs, oldest): one message."""
Name = tuple[str, str, int]


def new_folder() -> Path:
    """In memory where the system has such a place: a crash of this kind does not ask whether a disk was waited for."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="nabd-ledger-", dir=memory if memory.is_dir() else None))


def is_good(seq: int) -> bool:
    """The others have a value that no lamp can have, and end in the quarantine."""
    return seq % 9 != 0


def spoken(saying: Saying) -> Message:
    (device, stream), seqs, oldest = saying
    document = telemetry(*seqs, stream=stream, oldest=oldest)
    for reading in document["readings"]:
        seq = reading["seq"]
        reading["at"] = NOW_MS - 100_000 + seq
        reading["v"] = {"power_w": float(seq)} if is_good(seq) else {"level": 7}
    return message(document, device)


def members(ranges: tuple[tuple[int, int], ...]) -> set[int]:
    return {seq for first, last in ranges for seq in range(first, last + 1)}


class LedgerAgainstSets(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = new_folder()
        self.lives = 0
        self.bounds = [patch.object(ledger, "STREAMS_MAX", 3), patch.object(names, "RECENT_MAX", 5)]
        for bound in self.bounds:
            bound.start()
        self.had: dict[tuple[str, str], set[int]] = {}
        self.gone: dict[tuple[str, str], set[int]] = {}
        self.stored: Counter[Name] = Counter()
        self.births = 0

    @initialize()
    def begin(self) -> None:
        self.house = IngestHouse(self.folder)
        self.house.log.consumed("store", 0)

    def teardown(self) -> None:
        self.house.log.close()
        for bound in self.bounds:
            bound.stop()
        shutil.rmtree(self.folder)

    # -- what devices do

    @rule(sayings=SAYINGS)
    def hear(self, sayings: list[Saying]) -> None:
        outcome = self.house.pipeline.process([spoken(saying) for saying in sayings])
        assert {(device, stream) for device, stream, _ in outcome.kept} == {key for key, _, _ in sayings}
        self._take(sayings)
        for key, _, _ in sayings:
            _, answer = self.house.pipeline.answer(*key, deferred=False)
            upto = int(answer.partition(b'"upto":')[2].split(b",")[0].rstrip(b"}"))
            assert set(range(1, upto + 1)) <= self.had[key] | self.gone[key]
            if self.house.pipeline._ledger.get(*key) is not None:  # else put aside by others of the same batch
                assert upto + 1 not in self.had[key] | self.gone[key]

    def _take(self, sayings: list[Saying]) -> None:
        """What the sets are now. A device still holds what it sends (and can be read), whatever it calls the oldest."""
        for key, seqs, oldest in sayings:
            had, gone = self.had.setdefault(key, set()), self.gone.setdefault(key, set())
            had |= set(seqs)
            gone |= set(range(1, min([oldest, *filter(is_good, seqs)])))
            gone -= had

    @rule(key=st.sampled_from(KEYS), follow=st.integers(1, 5))
    def hear_what_simply_follows(self, key: tuple[str, str], follow: int) -> None:
        last = max(self.had.get(key, ()), default=0)
        self.hear([(key, list(range(last + 1, last + 1 + follow)), 1)])

    @rule(key=st.sampled_from(KEYS))
    def be_born(self, key: tuple[str, str]) -> None:
        self.births += 1
        self.house.hear(birth(self.births, stream=key[1]), device=key[0], channel="status")
        self.had.setdefault(key, set())
        self.gone.setdefault(key, set())

    # -- what the platform does

    @rule()
    def write_the_ledger(self) -> None:
        self.house.pipeline.checkpoint()

    @rule()
    def store(self) -> None:
        log = self.house.log
        entries = log.read(log.consumers()["store"], 10_000)
        for entry in entries:
            if isinstance(entry.record, Telemetry):
                record = entry.record
                self.stored.update((record.device, record.stream, reading.seq) for reading in record.readings)
        if entries:
            log.consumed("store", entries[-1].position)

    @rule()
    def cut_the_log(self) -> None:
        """All that store and ledger have read."""
        self.house.log.cut(NOW_MS + YEAR_MS)

    # -- what goes wrong

    @rule()
    def crash(self) -> None:
        self.lives += 1
        old, self.folder = self.folder, new_folder()
        for file in old.glob("log.db*"):
            if not file.name.endswith("-shm"):  # memory shared by processes that are dead now
                shutil.copy(file, self.folder / file.name)
        self.house.log.close()
        shutil.rmtree(old)
        self.house = IngestHouse(self.folder)

    @rule()
    def stop_and_start(self) -> None:
        self.house.restart()

    @rule(sayings=SAYINGS, is_full=st.booleans())
    def hear_while_the_disk_refuses(self, sayings: list[Saying], is_full: bool) -> None:
        log = self.house.log
        refusing = (
            patch.object(log, "_used_bytes", return_value=2**60)
            if is_full
            else patch.object(log._place, "check", side_effect=OSError("the disk refuses"))
        )
        with refusing:
            try:
                self.house.pipeline.process([spoken(saying) for saying in sayings])
            except (LogFull, OSError):
                return  # and nothing of it was kept
        # Where nothing is a record of the log (all was known, or is for the quarantine) a full log keeps it.
        assert is_full
        assert all(set(seqs) <= self.had.get(key, set()) or not any(map(is_good, seqs)) for key, seqs, _ in sayings)
        self._take(sayings)

    @rule()
    def write_the_ledger_while_the_disk_refuses(self) -> None:
        with (
            patch.object(self.house.log, "consumed", side_effect=OSError("the disk refuses")),
            pytest.raises(OSError, match="the disk refuses"),
        ):
            self.house.pipeline.checkpoint()

    # -- what must hold

    @invariant()
    def the_ledger_is_the_sets(self) -> None:
        rows = {
            (row.device, row.stream): row
            for device in ("lamp-1", "lamp-2")
            for row in self.house.pipeline.ledger(device)
        }
        missing = 0
        for key, had in self.had.items():
            gone = self.gone[key]
            if not (had or gone) and key not in rows:
                continue
            assert members(rows[key].have) == had
            assert members(rows[key].gone) == gone
            missing += max(had | gone, default=0) - len(had | gone)
        assert self.house.pipeline.missing_total() == missing
        assert self.house.pipeline.gone_total() == sum(map(len, self.gone.values()))

    @invariant()
    def log_and_store_have_every_good_reading_once(self) -> None:
        log = self.house.log
        readings = Counter(self.stored)
        for entry in log.read(log.consumers()["store"], 10_000):
            if isinstance(entry.record, Telemetry):
                record = entry.record
                readings.update((record.device, record.stream, reading.seq) for reading in record.readings)
        assert readings == Counter(
            (device, stream, seq) for (device, stream), had in self.had.items() for seq in had if is_good(seq)
        )
        assert self.house.count("accepted") == readings.total()

    @invariant()
    def the_books_balance(self) -> None:
        assert self.house.books_balance()


TestLedgerAgainstSets = LedgerAgainstSets.TestCase
TestLedgerAgainstSets.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
