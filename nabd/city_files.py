"""Reads what belongs to the city: its sites and its rule files, as text and as checked objects."""

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path

from contract.document import DocumentFault, Fault
from contract.site import Site, read_site
from nabd.fault import Refused

RULES = ".yaml"
TESTS = ".test.yaml"
BYTES_MAX = 1_000_000
_LINE_END = re.compile("\r\n?")


def read_sites(folder: Path) -> tuple[Site, ...]:
    """Every site of the folder, by name. Raises Refused with all faults of all files."""
    sites: list[Site] = []
    faults: list[Fault] = []
    for file, text in _texts(folder, RULES):
        try:
            sites.append(read_site(file, text))
        except DocumentFault as fault:
            faults += fault.faults
    if faults:
        raise Refused("\n".join(map(str, sorted(faults))))
    if not sites:
        raise Refused(f"{folder}: holds no site file (*.yaml); copy one there, for example berkane.yaml of the package")
    return tuple(sites)


def rule_texts(paths: Iterable[Path]) -> tuple[dict[str, str], dict[str, str]]:
    """(rule files, test files), each name → text, of folders and single files.

    Raises Refused when a path does not exist, is not UTF-8 or is larger than BYTES_MAX.
    """
    rules: dict[str, str] = {}
    tests: dict[str, str] = {}
    for path in paths:
        for file, text in _texts(path, RULES):
            (tests if file.endswith(TESTS) else rules)[file] = text
    return rules, tests


def digest(files: Mapping[str, str]) -> str:
    """Changes when any file does."""
    content = blake2b(digest_size=8)
    for name in sorted(files):
        content.update(f"{name}\0{files[name]}\0".encode())
    return content.hexdigest()


def _texts(path: Path, suffix: str) -> Iterable[tuple[str, str]]:
    if not path.exists():
        raise Refused(f"{path}: no such file or folder")
    for file in sorted(path.rglob(f"*{suffix}")) if path.is_dir() else [path]:
        try:
            with file.open("rb") as opened:
                content = opened.read(BYTES_MAX + 1)
            if len(content) > BYTES_MAX:
                raise Refused(f"{file}: has more than {BYTES_MAX} bytes; split it")
            yield str(file), _LINE_END.sub("\n", content.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise Refused(f"{file}:1:1: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
        except OSError as error:
            raise Refused(f"{file}: cannot be read ({error.strerror})") from None
