"""A data folder is opened by one process, keeps its clock, and says clearly why it will not open."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nabd.backing_up import nobody_runs
from nabd.data_folder import DataFolder, Run, known_format, read_run
from nabd.doctoring import examine
from nabd.fault import Refused
from nabd.finding import Verdict


@contextmanager
def opened(
    path: Path, start_ms: int | None = None, start: str = "", speed: float | None = None
) -> Iterator[DataFolder]:
    with DataFolder(path, start_ms=start_ms, start_text=start, speed=speed) as folder:
        yield folder


def test_a_new_folder_gets_a_layout_a_clock_and_the_shipped_rules_and_sites(tmp_path: Path) -> None:
    with opened(tmp_path / "city") as folder:
        assert folder.format.clock.is_real
        assert list(folder.rules.glob("*.yaml"))
        assert list(folder.sites.glob("*.yaml"))


def test_a_folder_names_its_log_once_and_one_from_before_gets_a_name(tmp_path: Path) -> None:
    with opened(tmp_path / "city") as folder:
        name = folder.format.log_id
    assert len(name) == 16
    with opened(tmp_path / "city") as folder:
        assert folder.format.log_id == name
    with opened(tmp_path / "other") as folder:
        assert folder.format.log_id != name
    file = tmp_path / "city" / "format.json"
    known = json.loads(file.read_text())
    del known["log_id"]
    file.write_text(json.dumps(known))
    with opened(tmp_path / "city") as folder:
        assert (len(folder.format.log_id), folder.format.clock.is_real) == (16, True)
        name = folder.format.log_id
    with opened(tmp_path / "city") as folder:
        assert folder.format.log_id == name


def test_a_folder_is_on_the_disk_before_anything_is_kept_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync, replace = os.fsync, Path.replace
    synced: set[Path] = set()

    def syncing(handle: int) -> None:
        sync(handle)
        synced.add(Path(f"/proc/self/fd/{handle}").readlink())

    def replacing(source: Path, target: Path) -> Path:
        assert synced >= {source, *source.rglob("*")}, "what gets its name is whole"
        synced.discard(target.parent)
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(Path, "replace", replacing)
    with opened(tmp_path / "city") as folder:
        assert {path.name for path in folder.path.iterdir()} == {"format.json", "lock", "site"}
        assert folder.path in synced, "and so are the names"


def test_what_the_city_changed_in_its_rules_stays(tmp_path: Path) -> None:
    with opened(tmp_path / "city") as folder:
        (folder.rules / "own.yaml").write_text("group: own\nrules: []\n", encoding="utf-8")
        for shipped in folder.rules.glob("light*.yaml"):
            shipped.unlink()
    with opened(tmp_path / "city") as folder:
        assert (folder.rules / "own.yaml").exists()
        assert not list(folder.rules.glob("light*.yaml"))


def test_a_folder_in_use_is_refused_with_the_process_that_has_it(tmp_path: Path) -> None:
    with opened(tmp_path) as folder:
        folder.announce(Run(pid=1, url="http://127.0.0.1:1", mqtt_host="127.0.0.1", mqtt_port=2, started_at_ms=3))
        with pytest.raises(Refused, match=r"is in use by process 1 at http://127\.0\.0\.1:1"), opened(tmp_path):
            pass


def test_a_killed_process_leaves_nothing_that_stops_the_next_start(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, time; from pathlib import Path; from nabd.data_folder import *\n"
            f"folder = DataFolder(Path({str(tmp_path)!r}), start_ms=None, start_text='', speed=None)\n"
            "folder.announce(Run(pid=os.getpid(), url='u', mqtt_host='h', mqtt_port=1, started_at_ms=2))\n"
            "print('held', flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(Refused, match=f"process {holder.pid}"), opened(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    assert read_run(tmp_path) is None
    with opened(tmp_path):
        pass


def test_the_clock_is_remembered_and_another_one_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path, 1_000, "1970-01-01T00:00:01Z", 60.0) as folder:
        clock = folder.format.clock
    with opened(tmp_path) as folder:
        assert folder.format.clock == clock
    with opened(tmp_path, 1_000, "1970-01-01T00:00:01Z", 60.0) as folder:
        assert folder.format.clock == clock
    with pytest.raises(Refused, match=r"runs at speed 60, not 10; leave --speed out"), opened(tmp_path, speed=10.0):
        pass
    with pytest.raises(Refused, match=r"started at 1970-01-01T00:00:01Z, not 2026-01-01; leave --start out"):
        opened(tmp_path, 1_767_225_600_000, "2026-01-01").__enter__()


def test_a_real_time_folder_is_not_opened_as_a_simulated_one(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    with pytest.raises(Refused, match="started at real time"):
        opened(tmp_path, 1_000, "1970-01-01T00:00:01Z").__enter__()


def test_a_folder_of_another_layout_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    known = json.loads((tmp_path / "format.json").read_text())
    (tmp_path / "format.json").write_text(json.dumps(known | {"layout": 99}))
    with pytest.raises(Refused, match="data layout 99, this Nabd reads layout 1; use the Nabd that made it"):
        opened(tmp_path).__enter__()


@pytest.mark.parametrize("content", ["", "{", '{"layout": "one"}', "\x00\x01"])
def test_a_damaged_format_file_is_refused(tmp_path: Path, content: str) -> None:
    with opened(tmp_path):
        pass
    (tmp_path / "format.json").write_text(content)
    with pytest.raises(Refused, match=r"format\.json: is damaged"):
        opened(tmp_path).__enter__()


def test_a_log_without_its_format_file_gets_no_new_clock(tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(b"x")
    said = r"format\.json: is not there, and with it the clock .* of log\.db, which is; restore it from a backup"
    with pytest.raises(Refused, match=said):
        opened(tmp_path).__enter__()
    with pytest.raises(Refused, match=said):
        known_format(tmp_path)
    assert (Verdict.WRONG, "data folder") in [(one.verdict, one.about) for one in examine(tmp_path, None)]
    assert {path.name for path in tmp_path.iterdir()} == {"lock", "log.db"}


def test_a_path_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="cannot be used"):
        opened(tmp_path / "file").__enter__()


def test_run_json_is_gone_after_a_clean_end_and_ignored_when_damaged(tmp_path: Path) -> None:
    with opened(tmp_path) as folder:
        folder.announce(Run(pid=1, url="u", mqtt_host="h", mqtt_port=1, started_at_ms=1))
        assert read_run(tmp_path) is not None
    assert read_run(tmp_path) is None
    (tmp_path / "run.json").write_text("{")
    assert read_run(tmp_path) is None


def test_what_cannot_be_read_or_written_in_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "format.json").mkdir()
    with pytest.raises(Refused, match=r"format\.json: Is a directory; mend its owner"), opened(tmp_path):
        pass


def test_a_clock_that_stands_still_is_damage(tmp_path: Path) -> None:
    clock = {"city_origin_ms": 0, "real_origin_ms": 0, "speed": 0}
    (tmp_path / "format.json").write_text(json.dumps({"layout": 1, "clock": clock}), encoding="utf-8")
    with pytest.raises(Refused, match=r"format\.json: is damaged \(clock speed 0 is not above 0"), opened(tmp_path):
        pass


def announced(path: Path, pid: str) -> None:
    text = f'{{"pid":{pid},"url":"u","mqtt_host":"h","mqtt_port":1,"started_at_ms":1}}'
    (path / "run.json").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    "pid", ["99999999999999999999", "-1", "0", '"x"', "1", pytest.param(str(os.getpid()), id="ours")]
)
def test_what_a_killed_platform_announced_says_that_nobody_runs_whoever_has_its_pid_now(
    tmp_path: Path, pid: str
) -> None:
    announced(tmp_path, pid)
    assert read_run(tmp_path) is None
    with opened(tmp_path):
        assert read_run(tmp_path) is None, "it starts, and has announced nothing yet"
    announced(tmp_path, pid)
    assert read_run(tmp_path) is None
    with nobody_runs(tmp_path):
        assert read_run(tmp_path) is None


def test_to_ask_who_runs_needs_no_more_than_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opens = os.open

    def reading(path: Path, flags: int, *mode: int) -> int:
        assert not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        return opens(path, flags, *mode)

    with opened(tmp_path) as folder:
        folder.announce(Run(pid=1, url="u", mqtt_host="h", mqtt_port=1, started_at_ms=1))
        monkeypatch.setattr(os, "open", reading)
        assert read_run(tmp_path) is not None
