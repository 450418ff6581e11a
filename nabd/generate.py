"""Generates what is derived: ``python -m nabd.generate`` writes firmware/core/kinds.py and docs/commands.md.

The firmware reads no YAML: it gets the few facts of each kind that a node needs, as Python. A test compares the
committed file with what this generates.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from contract.document import DocumentFault
from contract.kind import Kind, Kinds, Metric, MetricType, Target
from contract.kind_file import load_kinds
from nabd.cli import cli

ROOT = Path(__file__).parents[1]
KINDS_FILE = ROOT / "firmware" / "core" / "kinds.py"
COMMANDS_FILE = ROOT / "docs" / "commands.md"
COMMAND_HEAD = """# Commands

What `nabd` says of itself (generated; `make generate` writes it anew). Every command ends with 0, with 1 when a test or
a check found something wrong, or with 2 and one clear message.

"""

HEAD = '''"""What a node knows of its kind. Generated from contract/kinds by ``python -m nabd.generate``: edit those.

``metrics``: name → digits after the point, or "number" (as it comes), "counter", "boolean", "enum". ``targets``:
what can be leased, booleans as 0.0 or 1.0; ``*_limit`` names a setting in s. ``limits``: defaults of those settings.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

'''


def firmware_kinds(kinds: Kinds) -> str:
    """The text of firmware/core/kinds.py; the same kinds always give the same bytes."""
    documents = {name: _firmware_kind(kinds[name]) for name in sorted(kinds)}
    return HEAD + 'KINDS: "dict[str, Any]" = ' + _literal(documents, 0) + "\n"


def _firmware_kind(kind: Kind) -> dict[str, Any]:
    limits = {
        limit: kind.settings[limit].default
        for target in kind.targets.values()
        for limit in (target.run_limit, target.day_limit, target.rest_limit)
        if limit
    }
    return {
        "kind": kind.name,
        "period_s": kind.period_s,
        "metrics": {metric.name: _metric(metric) for metric in kind.metrics.values()},
        "targets": {target.name: _target(target) for target in kind.targets.values()},
        "limits": {name: int(default) for name, default in limits.items() if isinstance(default, (int, float))},
    }


def _metric(metric: Metric) -> int | str:
    if metric.type is not MetricType.NUMBER or metric.resolution is None:
        return metric.type.value
    exponent = Decimal(str(metric.resolution)).normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def _target(target: Target) -> dict[str, Any]:
    return {
        "boolean": target.type is MetricType.BOOLEAN,
        "safe": target.safe,
        "min": target.minimum,
        "max": target.maximum,
        "resume": target.resume,
        "control": target.control,
        "schedule": target.schedule,
        "run_limit": target.run_limit,
        "day_limit": target.day_limit,
        "rest_limit": target.rest_limit,
    }


def _literal(value: Any, depth: int) -> str:
    """Python source of nested mappings, one key a line, strings in double quotes."""
    if isinstance(value, Mapping):
        if not value:
            return "{}"
        inner = "    " * (depth + 1)
        lines = "".join(f'{inner}"{key}": {_literal(one, depth + 1)},\n' for key, one in value.items())
        return "{\n" + lines + "    " * depth + "}"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def command_page() -> str:
    """The text of docs/commands.md: what every command says of itself."""
    runner = CliRunner()
    parts = []
    for command in [(), *_commands(cli)]:
        _forget_help_option(command)
        shown = runner.invoke(cli, [*command, "--help"], prog_name="nabd", terminal_width=100).output.rstrip()
        parts.append(f"## {' '.join(['nabd', *command])}\n```\n{shown}\n```\n")
    return COMMAND_HEAD + "\n".join(parts)


def _forget_help_option(words: tuple[str, ...]) -> None:
    """click remembers how help was asked for the first time, which need not have been through `nabd`."""
    command: click.Command = cli
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    command._help_option = None


def _commands(group: click.Group) -> Iterator[tuple[str, ...]]:
    """The words of every command, in the order they are written in."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from ((name, *words) for words in _commands(command))
        else:
            yield (name,)


def generated() -> dict[Path, str]:
    """Every generated file and what it must hold. Raises DocumentFault."""
    return {KINDS_FILE: firmware_kinds(load_kinds()), COMMANDS_FILE: command_page()}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m nabd.generate", description="Write what is derived from sources")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a file is out of date")
    options = parser.parse_args(arguments)
    try:
        wanted = generated()
    except DocumentFault as fault:
        sys.stderr.write(f"{fault}\n")
        return 2
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if options.check:
            sys.stderr.write(f"{path.relative_to(ROOT)} is out of date; run: python -m nabd.generate\n")
        else:
            path.write_text(wanted[path], encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)}: written\n")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
