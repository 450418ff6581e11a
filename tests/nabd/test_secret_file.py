"""A secret is read from its file or refused with place and remedy; a file for its owner alone is written whole."""

import os
import stat
from pathlib import Path

import pytest

from nabd.fault import Refused
from nabd.secret_file import SECRET_BYTES_MAX, read_secret, replace_whole, write_new


@pytest.mark.parametrize("content", [b"word", b"word\n", b" word\r\n"])
def test_the_one_line_is_the_secret(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert read_secret(tmp_path / "file", "[mqtt] password_file", "the password") == "word"


def test_the_longest_secret_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"w" * SECRET_BYTES_MAX)
    assert len(read_secret(tmp_path / "file", "", "the password")) == SECRET_BYTES_MAX


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"word\nsecond", "has more than one line"),
        (b"word\tsecond", "is not one line of printable ASCII"),
        ("wörd".encode(), "is not one line of printable ASCII"),
        (b"\xff\xfeword", "is not one line of printable ASCII"),
        (b"word\x00", "is not one line of printable ASCII"),
        (b"word" * SECRET_BYTES_MAX, f"is longer than {SECRET_BYTES_MAX} bytes"),
        (None, r"cannot be read \(No such file or directory\)"),
    ],
)
def test_what_is_no_secret_is_refused_with_place_and_remedy_and_not_told(
    tmp_path: Path, content: bytes | None, fault: str
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    mend = {"has": "leave that one line in it", "is not": "write it anew, as that one line"}
    (wanted,) = [mend[start] for start in mend if fault.startswith(start)] or ["make it"]
    with pytest.raises(
        Refused, match=rf"^\[mqtt\] password_file .*/file: {fault}; it holds the key: {wanted}$"
    ) as caught:
        read_secret(file, "[mqtt] password_file", "the key", "make it")
    assert "word" not in str(caught.value).removeprefix("[mqtt] password_file")


def test_a_file_that_never_ends_is_not_read_to_its_end() -> None:
    with pytest.raises(Refused, match="is longer than"):
        read_secret(Path("/dev/zero"), "", "the password")


def test_a_new_file_is_its_owners_alone_and_never_takes_the_place_of_another(tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert write_new(file, b"first")
    assert not write_new(file, b"second")
    assert file.read_bytes() == b"first"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_two_who_make_the_same_file_at_once_leave_the_firsts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    link = os.link

    def late(source: Path, target: Path) -> None:
        file.write_bytes(b"of another")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert not write_new(file, b"ours")
    assert file.read_bytes() == b"of another"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_is_replaced_whole_and_closed_to_others_whatever_it_was(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"a longer first content")
    file.chmod(0o644)
    replace_whole(file, b"second")
    assert file.read_bytes() == b"second"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("write", [write_new, replace_whole])
def test_a_disk_that_fails_leaves_what_was_there_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: object
) -> None:
    file = tmp_path / "file"
    if write is replace_whole:
        file.write_bytes(b"first")

    def fails(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="Input/output error"):
        write(file, b"second")  # type: ignore[operator]
    assert [path.read_bytes() for path in tmp_path.iterdir()] == ([b"first"] if write is replace_whole else [])
