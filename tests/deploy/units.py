"""The systemd units as systemd-analyze judges them, offline: `python -m tests.deploy.units` prints every score.

The drop-ins belong to units of other packages: Debian's Mosquitto, InfluxData's InfluxDB. They are judged on those
units' own words, the second from a copy here because its package is not Debian's.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.deploy.dockerfile import ROOT

SOURCE = ROOT / "deploy" / "systemd"
PROGRAMS = "/opt/nabd/bin"
SERVICES = ("nabd", "nabd-backup", "mosquitto", "influxdb")
MOSQUITTO = Path("/lib/systemd/system/mosquitto.service")
INFLUXDB = """\
[Unit]
Description=InfluxDB is an open-source, distributed, time series database
After=network-online.target

[Service]
User=influxdb
Group=influxdb
LimitNOFILE=65536
EnvironmentFile=-/etc/default/influxdb2
ExecStart=/bin/sh /usr/lib/influxdb/scripts/influxd-systemd-start.sh
KillMode=control-group
Restart=on-failure
Type=forking
PIDFile=/var/lib/influxdb/influxd.pid
StateDirectory=influxdb
StateDirectoryMode=0750
LogsDirectory=influxdb
LogsDirectoryMode=0750
"""


def lay_out(folder: Path) -> None:
    """All units in one folder; Nabd's program is the one of this environment, because verify wants it to exist."""
    shutil.copytree(SOURCE, folder, dirs_exist_ok=True)
    shutil.copy(MOSQUITTO, folder)
    (folder / "influxdb.service").write_text(INFLUXDB, encoding="utf-8")
    for unit in folder.glob("nabd*.service"):
        here = str(Path(sys.executable).parent)
        unit.write_text(unit.read_text(encoding="utf-8").replace(PROGRAMS, here), encoding="utf-8")


def analyze(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """systemd-analyze with these units before the system's own."""
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{folder}:", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "cat"}
    return subprocess.run(["systemd-analyze", *arguments], env=environment, capture_output=True, text=True, check=False)


def exposure(folder: Path, service: str) -> float:
    """0 (shut) to 10 (open)."""
    judged = analyze(folder, "security", "--offline=true", str(folder / f"{service}.service"))
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", judged.stdout)
    assert found is not None, judged.stderr
    return float(found[1])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        lay_out(Path(folder))
        for service in SERVICES:
            print(f"{service}.service: exposure {exposure(Path(folder), service):.1f} of 10")


if __name__ == "__main__":
    main()
