"""Programs that PyPI does not have and that bench/peers builds: InfluxDB's server, Telegraf."""

import os
import shutil
import subprocess
from pathlib import Path

BUILD = Path(__file__).parents[1] / "bench" / "peers" / "build.sh"
FOLDER = Path(os.environ.get("NABD_PEERS") or Path.home() / ".cache" / "nabd-peers")


class PeerMissing(Exception):
    """The program is not there and cannot be built here."""


def peer(name: str) -> Path:
    """Where the program is; it is built first (minutes) when it is missing. Raises PeerMissing with the remedy."""
    program = FOLDER / name
    if program.exists():
        return program
    if shutil.which("go") is None:
        raise PeerMissing(
            f"{program} is missing and Go is not installed to build it; install Go 1.26, Rust and a C compiler, or let "
            f"NABD_PEERS name a folder that has {name}"
        )
    done = subprocess.run([BUILD, name, FOLDER], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerMissing(f"{BUILD} {name} failed:\n{done.stderr[-2000:]}")
    return program
