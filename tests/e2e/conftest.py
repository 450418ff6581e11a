"""A real platform in a process of its own, on free ports of loopback, ended after each test."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.platform_client import PlatformFault
from nabd.process import Child, PlatformProcess, free_port, node_command, node_folder
from tests.waiting import eventually

Nabd = Callable[..., "subprocess.CompletedProcess[str]"]


class City:
    """One data folder and the processes around it; the platform may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.http_port, self.mqtt_port = free_port(), free_port()
        self.children: list[Child] = []
        self.platform: PlatformProcess | None = None
        self.output = (folder / "platform.log").open("ab")

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def up(self, *options: str) -> PlatformProcess:
        """Start the platform; returns when it is well."""
        self.start(*options).wait_until_up()
        return self.running

    def start(self, *options: str) -> PlatformProcess:
        """Start the platform; returns when it answers, well or not."""
        self.platform = PlatformProcess(self.data, self.http_port, self.mqtt_port, *options, output=self.output)
        self.children.append(self.platform)
        eventually(self._answers, "the platform answers", 60)
        return self.platform

    @property
    def running(self) -> PlatformProcess:
        assert self.platform is not None
        return self.platform

    def _answers(self) -> bool:
        assert self.running.alive(), f"the platform ended: {self.platform_log()[-2000:]}"
        try:
            return bool(self.running.client.health())
        except PlatformFault:
            return False

    def ask(self, path: str) -> httpx.Response:
        """What the console answers, whatever it is."""
        return httpx.get(f"http://127.0.0.1:{self.http_port}{path}", timeout=30)

    def get(self, path: str, **parameters: Any) -> Any:
        assert self.platform is not None
        return self.platform.client.get(path, **parameters)

    def add(self, device: str, kind: str, **facts: Any) -> None:
        assert self.platform is not None
        self.platform.client.add_device({"id": device, "kind": kind, "commune": "berkane", **facts})

    def node(self, device: str, kind: str, **options: object) -> Path:
        """Start a MicroPython node; the file its lines go to."""
        data = self.folder / device
        data.mkdir(exist_ok=True)
        said = self.folder / f"{device}.log"
        with said.open("ab") as output:
            command = node_command(device, kind, self.mqtt_port, data, **options)
            self.children.append(Child(command, folder=node_folder(), output=output))
        return said

    def run(self, command: list[str]) -> Child:
        child = Child(command, output=self.output)
        self.children.append(child)
        return child

    def platform_log(self) -> str:
        return (self.folder / "platform.log").read_text(encoding="utf-8", errors="replace")

    def end(self) -> None:
        for child in self.children:
            child.stop()
        self.output.close()


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    city = City(tmp_path)
    yield city
    city.end()


@pytest.fixture
def nabd(tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run the command line to its end."""
    import sys

    def run(*arguments: str, within_s: float = 30.0) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "nabd", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )

    return run
