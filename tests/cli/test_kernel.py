from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from linkem_py.cli import kernel
from linkem_py.cli.errors import UsageError
from linkem_py.guest.building import BuildError


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    kernel.fill(parser)
    return kernel.run(parser.parse_args(words))


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One kernel that was built, and no other."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr("linkem_py.guest.kernels.PACKAGED_NAME", "absent")
    monkeypatch.delenv("LINKEM_GUEST_KERNEL", raising=False)
    program = tmp_path / "linkem_py/kernels/6.12.5-abc/linux"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n[ $1 = --version ] && echo 6.12.5 || echo CONFIG_UML_TIME_TRAVEL_SUPPORT=y\n")
    program.chmod(0o755)
    return program


def test_kernels_are_listed_with_what_they_can(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    assert capsys.readouterr().out.split("  ") == ["6.12.5-abc", "6.12.5", "virtual time", str(place), "from unknown\n"]
    assert run("list", "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["version"], listed["virtual_time"], listed["found"]) == ("6.12.5", True, "cache")


def test_kernels_are_removed_by_name_or_all(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="name kernels, or --all"):
        run("remove")
    with pytest.raises(BuildError, match=r"no built kernel is called 6\.1"):
        run("remove", "6.1")
    assert run("remove", "--all") == 0
    assert not place.parent.exists()
    assert run("list") == 0
    assert "linkem kernel build makes one" in capsys.readouterr().err


def test_a_source_that_is_not_there_is_an_error() -> None:
    with pytest.raises(BuildError, match="there is no kernel source at /absent"):
        run("build", "--source", "/absent")
