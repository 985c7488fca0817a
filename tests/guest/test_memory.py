from __future__ import annotations

from pathlib import Path

import pytest

from linkem_py.errors import GuestError
from linkem_py.guest.memory import find_memory_folder, parse_memory


@pytest.mark.parametrize(
    ("text", "size"),
    [("1G", 1 << 30), ("512M", 512 << 20), ("65536K", 64 << 20), (" 2g ", 2 << 30)],
)
def test_amounts(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "1", "1T", "1.5G", "-1G", "G", "1G1G", "63M", "65535K", "0G"])
def test_other_amounts_are_refused_with_the_value(text: str) -> None:
    with pytest.raises(ValueError, match="memory must be") as raised:
        parse_memory(text)
    assert repr(text) in str(raised.value)


def test_a_folder_has_the_room_and_is_left_empty(tmp_path: Path) -> None:
    folder = find_memory_folder(1 << 20, {"TMPDIR": str(tmp_path)})
    assert Path(folder).is_absolute()
    assert list(tmp_path.iterdir()) == []


def test_no_room_anywhere_is_an_error_that_says_what_was_tried() -> None:
    with pytest.raises(GuestError, match=r"/tmp has only .*TMPDIR"):
        find_memory_folder(1 << 60, {})
