"""Starts `nabd up` in a fraction of a second: a process that has imported everything forks for each start.

What runs is the command line itself, in a process of its own that can be killed; only the reading of the source files
is saved, which is most of a start's time. Run as a program it reads a line of JSON a start, ``[output, argument, …]``,
and answers each with the process id. When its input ends it kills what it started, and ends.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import psutil

GONE_S_MAX = 20.0


class Forge:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.forge"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            text=True,
        )

    def start(self, output: Path, *arguments: str) -> "Forged":
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(output), *arguments]) + "\n")
        self._process.stdin.flush()
        return Forged(int(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


class Forged:
    """One process that the forge started."""

    def __init__(self, pid: int) -> None:
        self.process = psutil.Process(pid)

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive(self) -> bool:
        return bool(self.process.is_running())

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.alive():
            self.process.kill()
        self._wait()

    def stop(self) -> None:
        """SIGTERM, and wait until it is gone."""
        if self.alive():
            self.process.terminate()
        self._wait()

    def _wait(self) -> None:
        end_s = time.monotonic() + GONE_S_MAX
        while self.alive():
            assert time.monotonic() < end_s, f"process {self.pid} does not end"
            time.sleep(0.005)


def main() -> None:
    import nabd.cli
    import nabd.wiring  # noqa: F401  # all that a start imports

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead leave at once
    started: list[int] = []
    for line in sys.stdin:
        output, *arguments = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(output, arguments)
        started.append(pid)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
    for pid in started:
        _end(pid)


def _become(output: str, arguments: list[str]) -> NoReturn:
    import nabd.cli

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    sys.argv[1:] = arguments
    status = 1
    try:
        nabd.cli.main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stderr.flush()
        os._exit(status)


def _end(pid: int) -> None:
    try:
        if psutil.Process(pid).ppid() == os.getpid():  # not another that got its number
            os.kill(pid, signal.SIGKILL)
    except (psutil.NoSuchProcess, ProcessLookupError):
        pass


if __name__ == "__main__":
    main()
