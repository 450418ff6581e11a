"""What deploy/Dockerfile says is done here step by step, as near as it goes without a container: no image is pulled."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from nabd.process import free_port
from tests.deploy import dockerfile
from tests.deploy.dockerfile import ROOT, Stage
from tests.waiting import eventually

USER = 10001


@pytest.fixture(scope="module")
def stages() -> list[Stage]:
    return dockerfile.stages(dockerfile.DOCKERFILE.read_text(encoding="utf-8"))


def test_both_stages_stand_on_one_image_of_an_exact_version(stages: list[Stage]) -> None:
    build, final = stages
    assert build.base == final.base
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", final.base)


def test_everything_that_is_copied_exists_and_is_let_into_the_build(stages: list[Stage]) -> None:
    sources = [source for stage in stages for names, _ in stage.copied() for source in names]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert dockerfile.let_in(source), source


def test_secrets_data_and_history_stay_out_of_the_build() -> None:
    for path in (".git", "city/secrets/ca.key", "nabd-data/log.db", ".venv/bin/python", "nabd/secrets", "tests"):
        assert not dockerfile.let_in(path), path


def test_every_room_of_the_wheel_is_copied(stages: list[Stage]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    rooms = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = {source for names, _ in stages[0].copied() for source in names}
    assert copied.issuperset(rooms)


def test_it_runs_as_somebody_without_rights_and_ends_by_sigterm(stages: list[Stage]) -> None:
    final = stages[-1]
    assert final.of("USER") == [f"{USER}:{USER}"]
    assert final.of("STOPSIGNAL") == ["SIGTERM"]
    assert "/healthz" in final.of("HEALTHCHECK")[0]
    assert not [words for stage in stages for words in stage.of("ADD")]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f'image.version="{version}"' in final.of("LABEL")[0]


def test_its_own_steps_build_a_platform_that_writes_to_data_and_tmp_only(stages: list[Stage], tmp_path: Path) -> None:
    build, final = stages
    places = {"/opt/nabd": tmp_path / "opt", "/wheel": tmp_path / "wheel"}
    source = tmp_path / "src"
    source.mkdir()
    dockerfile.lay_out(build, source)
    for words in build.of("RUN")[1:]:  # the first installs uv, which is here
        # The cache only saves the time of fetching; every hash is checked either way.
        _run(_moved(words.replace("--no-cache ", ""), places), source)
    _up(final, places, tmp_path)


def _moved(text: str, places: Mapping[str, Path]) -> str:
    """The image's places as those of this test, in one go: one may hold another's name."""
    return re.sub("|".join(map(re.escape, places)), lambda match: str(places[match[0]]), text)


def _run(script: str, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"} | {"PATH": path}
    ran = subprocess.run(
        ["sh", "-ec", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, f"{script}\n{ran.stderr}"


def _read_only(writable: Sequence[Path]) -> list[str]:
    """A command's prefix under which the file system can be written at these places only, where the system lets us
    make a mount namespace; empty elsewhere."""
    binds = "".join(f"mount --bind {shlex.quote(str(path))} {shlex.quote(str(path))}; " for path in writable)
    script = f'{binds}mount -o remount,bind,ro /; exec "$@"'
    for options in ("-m", "-rm"):
        prefix = ["unshare", options, "sh", "-ec", script, "sh"]
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
            return prefix
    return []


def _up(final: Stage, places: dict[str, Path], folder: Path) -> None:
    """Start it as the image does, by its own words."""
    data, temporary = folder / "data", folder / "tmp"
    data.mkdir()
    temporary.mkdir()
    places = places | {"/data": data, "/tmp": temporary}
    environment = {name: _moved(value, places) for name, value in final.environment().items()}
    port = free_port()
    environment |= {
        "PATH": environment["PATH"].replace("$PATH", os.environ["PATH"]),
        "NABD_HTTP_PORT": str(port),
        "NABD_MQTT_PORT": str(free_port()),
    }
    check = json.loads(final.of("HEALTHCHECK")[0].partition("CMD ")[2])
    check = [f"{places['/opt/nabd']}/bin/{check[0]}", *(word.replace(":8080", f":{port}") for word in check[1:])]
    command = [*json.loads(final.of("ENTRYPOINT")[0]), *json.loads(final.of("CMD")[0])]
    command[0] = f"{places['/opt/nabd']}/bin/{command[0]}"
    with (folder / "said").open("w+") as said:
        running = subprocess.Popen(
            [*_read_only([data, temporary]), *command], cwd=data, env=environment, stdout=said, stderr=said
        )

        def settled() -> bool:
            checked = subprocess.run(check, capture_output=True, check=False)
            return running.poll() is not None or checked.returncode == 0

        try:
            eventually(settled, "the image's own health check is content")
            assert running.poll() is None, (folder / "said").read_text()
            assert (data / "log.db").exists()
        finally:
            running.terminate()
            code = running.wait(timeout=40)
    assert code == 0, (folder / "said").read_text()
