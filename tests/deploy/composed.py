"""docker-compose.yml as Docker's own reader resolves it, built from source by bench/peers/build.sh."""

import json
import os
import subprocess
from functools import cache
from typing import Any

from stand.peers import peer
from tests.deploy.dockerfile import ROOT


def config(*options: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """`compose config` at the root of the source, with these variables and no others of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NABD_", "COMPOSE_"))}
    command = [
        str(peer("compose")),
        "--project-directory",
        str(ROOT),
        "-f",
        str(ROOT / "docker-compose.yml"),
        "config",
        *options,
    ]
    return subprocess.run(command, env=kept | variables, capture_output=True, text=True, check=False)


@cache
def model() -> dict[str, Any]:
    """The resolved file; treat it as read-only."""
    done = config("--format", "json")
    assert done.returncode == 0, done.stderr
    resolved: dict[str, Any] = json.loads(done.stdout)
    return resolved
