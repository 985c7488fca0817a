from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from linkem_py.cli.kernel_choice import Kernel
from linkem_py.cli.main import main
from linkem_py.control.registry import FOLDER_VARIABLE, Registry
from linkem_py.guest import GuestKernel
from linkem_py.model import Capabilities

GUEST = GuestKernel(Path("/opt/linux"), "6.1.176", None, "package")


def kernel(*lacking: str, release: str = "6.12") -> Kernel:
    """A kernel that lacks these capabilities."""
    found = Capabilities(release=release, **dict.fromkeys(lacking, False))
    return Kernel.from_json({**attrs.asdict(found), "missing": list(found.missing)})


@attrs.frozen
class Outcome:
    status: int
    out: str
    err: str


Linkem = Callable[..., Outcome]


@pytest.fixture
def linkem(capfd: pytest.CaptureFixture[str]) -> Linkem:
    """Runs a command line in this process."""

    def run(*words: str) -> Outcome:
        capfd.readouterr()
        status = main(list(words))
        out, err = capfd.readouterr()
        return Outcome(status, out, err)

    return run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; the modules and paths of this process are as before afterwards."""
    import sys

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A registry of this test's own. Its path is short, as a socket's must be."""
    with tempfile.TemporaryDirectory(prefix="lk-") as place:
        monkeypatch.setenv(FOLDER_VARIABLE, f"{place}/r")
        yield Registry.of_user()
