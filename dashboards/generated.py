"""The files of deploy/grafana: all of them as texts, written to a folder, and compared with what lies there."""

from pathlib import Path

from contract.kind import LANGUAGES, Kinds
from dashboards.build import CONSOLE_URL, build, text
from dashboards.provisioning import provisioning


def generated(kinds: Kinds, console_url: str = CONSOLE_URL) -> dict[str, str]:
    """Path below the folder → text."""
    files = {f"provisioning/{path}": content for path, content in provisioning().items()}
    for language in LANGUAGES:
        for uid, document in build(kinds, language, console_url).items():
            files[f"dashboards/{language}/{uid}.json"] = text(document)
    return files


def write(files: dict[str, str], folder: Path) -> list[str]:
    """Write what differs and remove dashboards that are no longer made; the paths that changed. Raises OSError."""
    changed = differing(files, folder)
    for path in changed:
        place = folder / path
        if path in files:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(files[path], encoding="utf-8")
        else:
            place.unlink()
    return changed


def differing(files: dict[str, str], folder: Path) -> list[str]:
    """The paths that are missing, other than they should be, or there without being made. Raises OSError."""
    there = {str(path.relative_to(folder)) for path in folder.glob("dashboards/*/nabd-*.json")}
    stale = {path for path, content in files.items() if not _is(folder / path, content)}
    return sorted(stale | (there - files.keys()))


def _is(path: Path, content: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == content
