"""`nabd rules check|test`: works on files alone, no platform needed."""

from importlib.resources import as_file, files
from pathlib import Path

import click

from contract.document import DocumentFault
from contract.kind_file import load_kinds
from contract.site import Site
from nabd.city_files import read_sites, rule_texts
from rules import loader, testing
from rules.cases import read_tests


def check(paths: tuple[Path, ...], data: Path) -> int:
    """Print ``file:line:column: message`` for every fault; 2 if there is one."""
    rule_files, test_files = _texts(paths, data)
    kinds, site = load_kinds(), _site(data)
    try:
        ruleset = loader.load(rule_files, kinds, site)
        read_tests(test_files, ruleset, kinds, site)
    except DocumentFault as fault:
        for one in fault.faults:
            click.echo(str(one))
        return 2
    click.echo(f"{len(ruleset.rules)} rules in {len(rule_files)} files are good")
    return 0


def test(paths: tuple[Path, ...], data: Path) -> int:
    """Run every test; 0 when all passed, 1 when one failed, 2 when the files are faulty."""
    rule_files, test_files = _texts(paths, data)
    try:
        results = testing.run(rule_files, test_files, load_kinds(), _site(data))
    except DocumentFault as fault:
        for one in fault.faults:
            click.echo(str(one))
        return 2
    for result in results:
        click.echo(f"{'ok    ' if result.passed else 'FAILED'} {result.file}:{result.line}: {result.name}")
        for failure in result.failures:
            click.echo("    " + failure.replace("\n", "\n    "))
    failed = sum(not result.passed for result in results)
    click.echo(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _texts(paths: tuple[Path, ...], data: Path) -> tuple[dict[str, str], dict[str, str]]:
    if paths:
        return rule_texts(paths)
    if (data / "site" / "rules").is_dir():
        return rule_texts([data / "site" / "rules"])
    click.echo(f"{data / 'site' / 'rules'} is not there, so these are the rules that Nabd brings", err=True)
    with as_file(files("nabd") / "site" / "rules") as shipped:
        return rule_texts([shipped])


def _site(data: Path) -> Site:
    """The place the rules speak of: sun and local time need one."""
    if (data / "site" / "sites").is_dir():
        return read_sites(data / "site" / "sites")[0]
    with as_file(files("nabd") / "site" / "sites") as shipped:
        return read_sites(shipped)[0]
