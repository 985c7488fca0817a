from __future__ import annotations

from pathlib import Path

import pytest

from linkem_py.errors import GuestUnavailableError
from linkem_py.guest import find_kernel, find_kernels


def make_kernel(path: Path, version: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LINKEM_GUEST_KERNEL", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def test_the_named_one_comes_first_then_the_newest_built_then_the_packaged(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = tmp_path / "cache/linkem_py/kernels"
    old = make_kernel(built / "z/linux", "6.9.1")
    new = make_kernel(built / "a/linux", "6.12.101")
    packaged = make_kernel(tmp_path / "bin/linux.uml", "6.1.176")
    named = make_kernel(tmp_path / "mine", "5.10.0")
    monkeypatch.setenv("LINKEM_GUEST_KERNEL", str(named))
    found = find_kernels()
    assert [kernel.path for kernel in found] == [named, new, old, packaged]
    assert [kernel.source for kernel in found] == ["environment", "cache", "cache", "package"]
    assert [kernel.version for kernel in found] == ["5.10.0", "6.12.101", "6.9.1", "6.1.176"]
    assert find_kernel() == found[0]


def test_without_a_kernel_the_package_is_named() -> None:
    assert find_kernels() == ()
    with pytest.raises(GuestUnavailableError, match="user-mode-linux"):
        find_kernel()


def test_a_kernel_that_is_named_but_missing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GuestUnavailableError, match=r"no kernel at .*/absent: .*user-mode-linux"):
        find_kernel(str(tmp_path / "absent"))
    make_kernel(tmp_path / "bin/linux.uml", "6.1.176")
    monkeypatch.setenv("LINKEM_GUEST_KERNEL", str(tmp_path / "absent"))
    with pytest.raises(GuestUnavailableError, match="absent"):
        find_kernel()


def test_another_program_is_not_a_kernel(tmp_path: Path) -> None:
    other = make_kernel(tmp_path / "bin/linux.uml", "GNU bash, version 5")
    assert find_kernels() == ()
    with pytest.raises(GuestUnavailableError, match="not a user-mode kernel"):
        find_kernel(str(other))
    other.chmod(0o644)
    with pytest.raises(GuestUnavailableError, match="not executable"):
        find_kernel(str(other))


def test_modules_are_found_beside_the_kernel(tmp_path: Path) -> None:
    path = make_kernel(tmp_path / "linux", "6.12.1")
    assert find_kernel(str(path)).modules is None
    folder = tmp_path / "modules/6.12.1"
    folder.mkdir(parents=True)
    (folder / "modules.dep").touch()
    assert find_kernel(str(path)).modules == folder
