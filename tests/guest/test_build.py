from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from linkem_py.errors import ToolMissingError
from linkem_py.guest import find_kernels
from linkem_py.guest.building import (
    BuildError,
    BuiltKernel,
    build,
    build_kernel,
    built_kernels,
    cache,
    configuration,
    needs,
    remove_kernel,
    source,
)
from linkem_py.guest.building.compile import owned
from linkem_py.guest.kernels import GuestKernel
from tests.guest.support import ROOT, eventually

# As much of make as a build sees of it: a configuration, lines of progress, a program.
MAKE = """#!/bin/sh
for word; do case $word in
    O=*) out=${word#O=} ;;
    KCONFIG_ALLCONFIG=*) fragment=${word#*=} ;;
    allnoconfig) grep -v "$FAKE_LACKS" "$fragment" > "$out/.config" ;;
    linux)
        printf '  CC      init/main.o\\n  CC      net/socket.o\\n'
        if [ -n "$FAKE_STOP" ]; then touch "$FAKE_STOP"; sleep 1000; fi
        if [ -n "$FAKE_ERROR" ]; then echo "$FAKE_ERROR"; exit 2; fi
        printf '#!/bin/sh\\necho 6.12.5\\n' > "$out/linux"; chmod +x "$out/linux" ;;
esac; done
"""
MAKEFILE = "# SPDX\nVERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 5\nEXTRAVERSION =\nNAME = x\n"
NAME = f"6.12.5-{configuration.digest()}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A kernel's source, as far as it is looked at."""
    tree = tmp_path / "linux-6.12.5"
    (tree / "arch/um").mkdir(parents=True)
    (tree / "arch/um/Makefile").touch()
    (tree / "Makefile").write_text(MAKEFILE)
    return tree


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder, and a machine with every tool, all of them false but those that unpack."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in needs.TOOLS:
        (tools / name).write_text(MAKE if name == "make" else "#!/bin/sh\n")
        (tools / name).chmod(0o755)
    for name in ("tar", "gzip", "sh", "grep", "touch", "sleep", "chmod"):
        (tools / name).unlink(missing_ok=True)
        (tools / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FAKE_LACKS", "^$")
    monkeypatch.delenv("LINKEM_GUEST_KERNEL", raising=False)
    monkeypatch.setattr(build, "_tried", lambda path: GuestKernel(path, "6.12.5", None, "argument"))
    monkeypatch.setattr(source, "_INSTALLED", tmp_path / "nothing")
    return tmp_path / "cache/linkem_py/kernels"


def left(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir() if path.name != ".lock") if place.exists() else []


def test_a_build_ends_in_the_cache_and_is_found_there(tree: Path, place: Path) -> None:
    told: list[tuple[str, float]] = []
    kernel = build_kernel(str(tree), tell=lambda stage, share: told.append((stage, share)))
    assert (kernel.name, kernel.version, kernel.source, kernel.virtual_time) == (NAME, "6.12.5", str(tree), True)
    assert left(place) == [NAME]
    assert built_kernels() == (kernel,)
    assert [(found.path, found.source) for found in find_kernels()] == [(kernel.program, "cache")]
    assert [stage for stage, _ in told] == ["compiling init/main.o", "compiling net/socket.o", "trying it"]


def test_what_is_there_is_not_built_again(tree: Path, place: Path) -> None:
    first = build_kernel(str(tree))
    before = first.program.stat().st_ino
    assert build_kernel(str(tree)) == first
    assert first.program.stat().st_ino == before


def test_a_tarball_is_unpacked_without_what_is_not_needed(tree: Path, place: Path) -> None:
    (tree / "drivers/gpu").mkdir(parents=True)
    for name in ("big.c", "Kconfig"):
        (tree / "drivers/gpu" / name).touch()
    tarball = tree.parent / "linux.tar.gz"
    subprocess.run(["tar", "-czf", tarball, "-C", tree.parent, tree.name], check=True)
    work = tree.parent / "work"
    work.mkdir()
    unpacked = source.obtain(source.find_source(str(tarball)), work, lambda _: None)
    assert [path.name for path in (unpacked / "drivers/gpu").iterdir()] == ["Kconfig"]
    assert build_kernel(str(tarball)).version == "6.12.5"
    assert tarball.exists()


def test_a_failed_build_leaves_nothing_and_says_why(tree: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ERROR", "net/socket.c:1:1: error: unknown type name")
    with pytest.raises(BuildError, match=r"could not be compiled: net/socket\.c:1:1: error"):
        build_kernel(str(tree))
    monkeypatch.setenv("FAKE_ERROR", "cc1: fatal error: No space left on device")
    with pytest.raises(BuildError, match=r"the disk is full.*XDG_CACHE_HOME"):
        build_kernel(str(tree))
    assert left(place) == []


def test_a_source_that_lacks_what_must_be_is_refused_and_the_rest_is_told(
    tree: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_LACKS", "NET_SCH_NETEM=")
    with pytest.raises(BuildError, match="cannot give what a guest needs: CONFIG_NET_SCH_NETEM"):
        build_kernel(str(tree))
    monkeypatch.setenv("FAKE_LACKS", "UML_TIME_TRAVEL_SUPPORT=")
    kernel = build_kernel(str(tree))
    assert (kernel.lacking, kernel.virtual_time) == (("CONFIG_UML_TIME_TRAVEL_SUPPORT",), False)


def test_a_kernel_that_does_not_run_is_not_kept(tree: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path) -> GuestKernel:
        raise BuildError("it does not work here")

    monkeypatch.setattr(build, "_tried", refuse)
    with pytest.raises(BuildError, match="does not work"):
        build_kernel(str(tree))
    assert left(place) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_build_leaves_nothing(tree: Path, place: Path, tmp_path: Path, number: signal.Signals) -> None:
    reached = tmp_path / "reached"
    script = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "import argparse; from linkem_py.cli import kernel; from linkem_py.cli.main import guarded;"
        "parser = argparse.ArgumentParser(); kernel.fill(parser); options = parser.parse_args();"
        "sys.exit(guarded(lambda: kernel.run(options)))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "build", "--source", str(tree)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "FAKE_STOP": str(reached)},
        stderr=subprocess.DEVNULL,
    )
    assert eventually(reached.exists)
    assert len(left(place)) == 1
    process.send_signal(number)
    assert process.wait(30) == 128 + number
    assert left(place) == []


def test_a_killed_build_is_tidied_up_by_the_next(tree: Path, place: Path) -> None:
    half = place / f"{cache.UNFINISHED}abc/out"
    half.mkdir(parents=True)
    (half / "linux").touch()
    assert built_kernels() == ()
    build_kernel(str(tree))
    assert left(place) == [NAME]


def test_two_builds_do_not_collide(tree: Path, place: Path) -> None:
    waited: list[bool] = []
    with cache.building(place, lambda: None) as work:
        second = subprocess.Popen(
            [sys.executable, "-c", f"""
from pathlib import Path
from linkem_py.guest.building import cache
with cache.building(Path({str(place)!r}), lambda: print("waits", flush=True)):
    print("builds", flush=True)
"""],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert second.stdout is not None
        waited.append(second.stdout.readline() == "waits\n")
        assert work.is_dir()
    with second:
        assert second.stdout.readline() == "builds\n"
    assert waited == [True]
    assert left(place) == []


def test_kernels_are_removed_by_name_or_version(tree: Path, place: Path) -> None:
    kernel = build_kernel(str(tree))
    with pytest.raises(BuildError, match=f"no built kernel is called 6.1: there are {NAME}"):
        remove_kernel("6.1")
    assert remove_kernel("6.12.5") == kernel
    assert left(place) == []


def test_what_somebody_else_put_there_is_listed_and_stays_until_removed(place: Path) -> None:
    (place / "mine").mkdir(parents=True)
    (place / "mine/linux").touch()
    (kernel,) = built_kernels()
    assert (kernel.name, kernel.source) == ("mine", "unknown")
    remove_kernel("mine")
    assert built_kernels() == ()


# --- before anything starts


def test_all_that_is_missing_is_named_with_its_package(tmp_path: Path) -> None:
    there = {"gcc", "make", "tar", "ld"}
    with pytest.raises(ToolMissingError, match=r"flex, bison, bc, xz, .* apt-get install flex bison bc xz-utils$"):
        needs.check(tmp_path, (".xz",), which=lambda tool: tool if tool in there else None)


def test_a_full_disk_is_noticed_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "ROOM_BYTES", 1 << 60)
    with pytest.raises(BuildError, match=r"GB free, and a kernel build takes .* XDG_CACHE_HOME"):
        needs.check_room(tmp_path / "not/yet/there")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("absent", "there is no kernel source at"),
        ("plain", "is no kernel source: it takes a tarball"),
        ("empty", "arch/um/Makefile is missing"),
        ("used", "run make ARCH=um mrproper there"),
        ("linux-source-9.9", "no package"),
    ],
)
def test_what_is_no_source_is_an_error(asked: str, said: str, tree: Path, place: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "empty").mkdir()
    tree.joinpath(".config").touch()
    tree.rename(tmp_path / "used")
    with pytest.raises(BuildError, match=said):
        build_kernel(asked if asked.startswith("linux-source") else str(tmp_path / asked))
    assert left(place) == []


def test_without_apt_a_tree_is_asked_for(place: Path) -> None:
    with pytest.raises(BuildError, match=r"name a kernel tree or tarball .* --source"):
        build_kernel()


def test_the_newest_package_wins_and_an_installed_one_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("6.1", "6.12"):
        (tmp_path / f"linux-source-{version}.tar.xz").touch()
    monkeypatch.setattr(source, "_INSTALLED", tmp_path)
    offered = [
        source.Source("linux-source-6.9 (6.9.1-1)", "6.9.1"),
        source.Source("linux-source-6.12 (6.12.9-1)", "6.12.9"),
    ]
    monkeypatch.setattr(source, "_in_apt", lambda _name: iter(offered))
    assert source.find_source().path == tmp_path / "linux-source-6.12.tar.xz"
    assert source.find_source("linux-source-6.9") == offered[0]


# --- values


def test_the_digest_is_of_the_options_alone() -> None:
    one = configuration.digest("# about\nCONFIG_A=y\nCONFIG_B=y\n")
    assert configuration.digest("CONFIG_B=y\n\nCONFIG_A=y") == one
    assert configuration.digest("CONFIG_A=y\n") != one


def test_what_is_essential_is_asked_for() -> None:
    assert set(configuration.wanted()) >= configuration.ESSENTIAL
    assert configuration.lacking("CONFIG_A=y\n# CONFIG_B is not set\n", "CONFIG_A=y\nCONFIG_B=y") == ("CONFIG_B",)


def test_facts_survive_their_file(tmp_path: Path) -> None:
    kernel = BuiltKernel(
        name="k", folder=tmp_path / "k", version="6.12.5", source="here", configuration="12", virtual_time=True,
        lacking=("CONFIG_A",), seconds=1.5,
    )  # fmt: skip
    finished = tmp_path / "finished"
    finished.mkdir()
    (finished / cache.PROGRAM).touch()
    cache.install(finished, kernel)
    assert built_kernels(tmp_path) == (kernel,)


def test_a_signal_while_make_is_started_ends_make(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[str]] = []

    class Slow(subprocess.Popen[str]):
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            super().__init__(*arguments, **keywords)
            started.append(self)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)

    monkeypatch.setattr(subprocess, "Popen", Slow)
    with pytest.raises(KeyboardInterrupt), owned(["sleep", "1000"]):
        pytest.fail("it goes on")
    (process,) = started
    assert process.returncode == -signal.SIGTERM
