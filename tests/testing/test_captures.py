"""Where captures are kept, and when."""

from __future__ import annotations

from pathlib import Path

from linkem_py.testing.captures import Captures, folder_of


def test_every_test_and_network_has_a_folder_of_its_own(tmp_path: Path) -> None:
    nodes = ["test_a.py::test_x", "test_a.py::test_x[1/2]", "sub/test_a.py::test_x"]
    folders = [folder_of(tmp_path, node, number) for node in nodes for number in range(2)]
    assert len(set(folders)) == 6
    assert folders[0] == tmp_path / "test_a.py_test_x"
    assert all(folder.is_relative_to(tmp_path) for folder in folders)
    assert len(folder_of(tmp_path, "x" * 1000, 0).name) < 200


def test_discarding_leaves_no_folder_but_those_of_others(tmp_path: Path) -> None:
    base = tmp_path / "captures"
    first, second = (Captures(base, base / name) for name in ("first", "second"))
    for captures in (first, second):
        captures.folder.mkdir(parents=True)
        (captures.folder / "a.pcapng").touch()
    first.discard()
    assert sorted(base.iterdir()) == [second.folder]
    second.discard()
    assert list(tmp_path.iterdir()) == []
    assert tmp_path.exists()
