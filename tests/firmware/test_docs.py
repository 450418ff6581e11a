"""What the installer reads is what the node does."""

import json
import re
from pathlib import Path
from typing import Any

from firmware.core.agent import Agent
from firmware.core.kinds import KINDS
from tests.firmware.behaviour import fake_esp32

ROOT = Path(__file__).parents[2]
QUICK_START = (ROOT / "docs/quickstart-installer.md").read_text(encoding="utf-8")
README = (ROOT / "firmware/README.md").read_text(encoding="utf-8")
MAIN = (ROOT / "firmware/main.py").read_text(encoding="utf-8")


def test_every_option_is_documented_and_none_that_is_not_there() -> None:
    options = {*re.findall(r'"(--[a-z-]+)": \(', MAIN), *re.findall(r'option == "(--[a-z-]+)"', MAIN)}
    assert set(re.findall(r"(--[a-z][a-z-]*)", README.split("| option |")[1].split("Ctrl-C")[0])) == options


def test_the_described_boards_boot() -> None:
    head, waste, valve = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", QUICK_START, re.DOTALL))
    for kind, board in (("street_light", head["board"]), ("waste_bin", waste), ("irrigation_valve", valve)):
        config: dict[str, Any] = {"device": "x", "kind": kind, "board": board}
        described = fake_esp32.board(config)
        fake_esp32.inputs.update({34: 1_700_000, 35: 1_700_000})
        assert described.sample(0, None), kind


def test_the_described_light_has_a_schedule() -> None:
    head = json.loads(re.findall(r"```json\n(.*?)```", QUICK_START, re.DOTALL)[0])
    agent = Agent({**head, "model": "m", "firmware": "f", "reset": "hard"}, KINDS[head["kind"]], "01234567", 1, 0)
    agent.set_clock(0, 1795435200000, "synced")  # noon
    agent.step(0)
    assert (agent.output("level"), agent.by("level")) == (0.0, "schedule")
