"""The leak check itself: what it must see, and that it is content when things are put away."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from linkem_py.testing.leaks import Snapshot, left_since


def test_nothing_is_left_by_nothing() -> None:
    assert left_since(Snapshot.take()) == []


def test_an_open_file_is_seen_until_closed(tmp_path: Path) -> None:
    before = Snapshot.take()
    with (tmp_path / "left").open("w"):
        assert [line for line in left_since(before, patience_s=0) if line.endswith(f"{tmp_path}/left")]
    assert left_since(before) == []


def test_a_socket_behind_a_reused_descriptor_is_seen() -> None:
    with socket.socket() as first:
        before = Snapshot.take()
        number = first.fileno()
        first.close()
        with socket.socket() as second:
            assert second.fileno() == number
            (left,) = left_since(before, patience_s=0)
            assert left.startswith(f"open file: {number} -> socket:")


def test_a_child_is_seen_until_reaped() -> None:
    before = Snapshot.take()
    child = subprocess.Popen(["sleep", "60"])
    assert left_since(before, patience_s=0) == [f"process: {child.pid} sleep"]
    child.kill()
    assert left_since(before, patience_s=0) == [f"process: {child.pid} sleep"]
    child.wait()
    assert left_since(before) == []


def test_an_orphan_is_seen() -> None:
    before = Snapshot.take()
    parent = "import subprocess; print(subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL).pid)"
    orphan = int(subprocess.check_output([sys.executable, "-c", parent]))
    try:
        (left,) = left_since(before, patience_s=0)
        assert left.startswith(f"process: {orphan} ")
    finally:
        os.kill(orphan, 9)
    assert left_since(before) == []


def test_only_the_kinds_that_were_looked_at_are_compared() -> None:
    before = Snapshot.take({"files"})
    with subprocess.Popen(["sleep", "60"]) as child, socket.socket() as left:
        assert [line.split()[2] for line in left_since(before, patience_s=0)] == [str(left.fileno())]
        child.kill()
