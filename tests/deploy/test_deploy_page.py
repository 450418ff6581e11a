"""docs/deploy.md names commands, options and files that exist."""

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from nabd.cli import cli
from tests.deploy.dockerfile import ROOT

PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


def commands() -> Iterator[list[str]]:
    """Every `nabd …` of the page's code blocks, and what is said to the image."""
    for block in re.findall(r"^```\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&", line.split(" #")[0]):
                words = shlex.split(part, comments=False)
                for n, word in enumerate(words):
                    is_program = word in ("nabd", "/opt/nabd/bin/nabd") and n + 1 < len(words) and words[n - 1] != "-g"
                    if (is_program and words[n + 1] in cli.commands) or word.startswith("nabd:0.1.0"):
                        yield words[n + 1 :]


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_of_the_page_is_one(words: list[str]) -> None:
    command: click.Command = cli
    context = click.Context(cli, help_option_names=cli.context_settings["help_option_names"])
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, f"there is no nabd {' '.join(words)}"
        command, words = found, words[1:]
    command.make_context("nabd", list(words), parent=context)


def test_the_page_has_commands_and_every_file_it_names_is_there() -> None:
    assert len(list(commands())) >= 12
    for name in re.findall(r"(?<![\w/])(deploy/[\w./-]*\w)", PAGE):
        assert (ROOT / name).exists(), name


def test_every_volume_has_its_backup() -> None:
    volumes = re.findall(
        r"^  ([\w-]+): \{\}$", (ROOT / "docker-compose.yml").read_text().split("\nvolumes:")[1], re.MULTILINE
    )
    assert len(volumes) >= 5
    table = PAGE.split("## Backup")[1].split("## Restore")[0]
    assert not [volume for volume in volumes if volume not in table]


def test_every_link_inside_the_page_leads_somewhere() -> None:
    headings = {
        re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    }
    for anchor in re.findall(r"\]\(#([\w-]+)\)", PAGE):
        assert anchor in headings, anchor
    for path in re.findall(r"\]\(((?!#|http)[^)#]+)", PAGE):
        assert (ROOT / "docs" / path).exists(), path
