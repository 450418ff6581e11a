"""A platform on the city's own broker, and what `nabd devices` does there."""

import json
import subprocess
import sys
from pathlib import Path

from stand.city_broker import CityBroker
from tests.e2e.conftest import City

SPEED = 20
NODES = {"node-light": "street_light", "node-bin": "waste_bin", "node-valve": "irrigation_valve"}


class SecureCity(City):
    """Its broker is the real Mosquitto; devices get in by what `nabd devices add` wrote for them."""

    def __init__(self, broker: CityBroker) -> None:
        super().__init__(broker.root)
        self.broker = broker
        self.mqtt_port = broker.port
        broker.settings()

    def nabd(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "nabd", *arguments, "--data", str(self.data)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def enrol(self, device: str) -> Path:
        """Register, give a credential, start the node; the file its lines go to."""
        file = self.folder / f"{device}.json"
        file.write_text(json.dumps({"lat": 34.92, "lon": -2.32, "utc_offset_min": 60}))
        done = self.nabd(
            "devices", "add", device, "--kind", NODES[device], "--commune", "berkane", "--credentials", str(file)
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return self.node(device, NODES[device], host="localhost", config=file, speed=SPEED, period_s=20)
