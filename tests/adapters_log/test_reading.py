"""The log is read beside whoever writes it, page by page, and nothing of it changes."""

from contextlib import closing
from pathlib import Path

import pytest

from adapters.log import chunks, reading
from adapters.log.log_file import LogFault
from adapters.log.reading import LogReader
from adapters.log.sqlite_log import SqliteLog
from contract.ports import LedgerRow
from contract.quarantine import Quarantined
from contract.records import Reading, Telemetry, Tick


def lamp(n: int) -> Telemetry:
    readings = (Reading(n, n, {"power_w": 1.0}),)
    return Telemetry(
        device=f"lamp-{n % 3}", asset="", kind="street_light", stream="9f3c01aa", boot=1, readings=readings
    )


def turned_away(seq: int | None) -> Quarantined:
    seqs = () if seq is None else (seq,)
    return Quarantined(topic="t", payload=b"%r" % seq, code="c", sentence="s", received_at_ms=0, device="lamp-1",
                       stream="aa", seq=seq, seqs=seqs)  # fmt: skip


def test_what_a_writer_has_appended_is_read_in_pages_while_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PAGE", 7)
    monkeypatch.setattr(chunks, "READ_CHUNKS", 2)
    path = tmp_path / "log.db"
    with closing(SqliteLog(path, bytes_max=10**8, days_max=30)) as log:
        rows = [LedgerRow(device=f"lamp-{n:02}", stream=s, have=((1, n),), gone=()) for n in range(1, 20) for s in "ab"]
        for n in range(1, 41):
            log.append([lamp(n), Tick(listening=True)], n, ledger=rows[n - 1 : n])
        log.append([], 0, quarantine=[turned_away(seq) for seq in (*range(1, 31), None)])
        log.consumed("store", 12)
        with closing(LogReader(path)) as reader:
            assert (reader.first(), reader.last(), reader.consumers()) == (1, 80, {"store": 12})
            assert list(reader.entries(0)) == list(log.read(0, 1000))
            assert [entry.position for entry in reader.entries(33)] == list(range(34, 81))
            assert list(reader.ledger()) == list(log.ledger())
            assert sorted(reader.turned_away()) == [("lamp-1", "aa", seq) for seq in range(1, 31)]
            log.append([lamp(99)], 99)
            assert reader.last() == 81, "it sees what came since"
    before = path.read_bytes()
    with closing(LogReader(path)) as reader:
        assert reader.last() == 81
    assert path.read_bytes() == before


def test_what_is_no_log_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(LogFault, match="is not there; restore it"):
        LogReader(tmp_path / "log.db")
    (tmp_path / "log.db").write_bytes(b"no database" * 500)
    with pytest.raises(LogFault, match="cannot be read"):
        LogReader(tmp_path / "log.db")
    (tmp_path / "other.db").touch()
    with pytest.raises(LogFault, match="log schema 0"):
        LogReader(tmp_path / "other.db")
