"""Reads deploy/Dockerfile as far as the tests need it: stages, and the instructions of each, lines joined."""

import fnmatch
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


@dataclass
class Stage:
    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)  # (instruction, its words)

    def of(self, instruction: str) -> list[str]:
        return [words for name, words in self.steps if name == instruction]

    def copied(self) -> list[tuple[list[str], str]]:
        """(sources, target) of every COPY from the build's context."""
        copies = [words.split() for words in self.of("COPY") if not words.startswith("--from")]
        return [(words[:-1], words[-1]) for words in copies]

    def environment(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for words in self.of("ENV") for pair in words.split())


def stages(text: str) -> list[Stage]:
    """ARG before the first FROM is put into it."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    arguments: dict[str, str] = {}
    found: list[Stage] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        instruction, words = line.split(None, 1)
        if instruction == "ARG":
            name, value = words.split("=", 1)
            arguments[name] = value
        elif instruction == "FROM":
            base, _, name = words.partition(" AS ")
            found.append(Stage(re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], base), name))
        else:
            found[-1].steps.append((instruction, words))
    return found


def lay_out(stage: Stage, folder: Path) -> None:
    """Copy the build's context into `folder` as the stage's COPY steps do, without what .dockerignore keeps out."""
    for sources, target in stage.copied():
        for source in sources:
            place = folder / target if target.endswith("/") else folder
            path = ROOT / source
            if path.is_dir():
                shutil.copytree(path, folder / target, ignore=shutil.ignore_patterns("__pycache__", "*.mpy", "secrets"))
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, place / path.name)


def let_in(path: str) -> bool:
    """Does .dockerignore let this path of the root into the build? The last pattern that fits decides."""
    verdict = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        wanted = pattern.startswith("!")
        pattern = pattern.removeprefix("!").removeprefix("**/")
        parts = path.split("/")
        if any(fnmatch.fnmatch("/".join(parts[:n]), pattern) for n in range(1, len(parts) + 1)) or (
            not wanted and any(fnmatch.fnmatch(part, pattern) for part in parts)
        ):
            verdict = wanted
    return verdict
