"""Makes a kernel: the order of the steps, and nothing left half done."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from linkem_py.errors import GuestError
from linkem_py.guest.building import cache, configuration, needs
from linkem_py.guest.building.cache import BuiltKernel
from linkem_py.guest.building.compile import compile_kernel, configure
from linkem_py.guest.building.errors import BuildError
from linkem_py.guest.building.source import PACKAGE, Source, find_source, kernel_version, obtain
from linkem_py.guest.kernels import VIRTUAL_TIME, GuestKernel, find_kernel
from linkem_py.guest.run import run_in_guest

Tell = Callable[[str, float], object]

_TRIAL_S = 60.0


def build_kernel(
    source: str = PACKAGE, *, jobs: int | None = None, tell: Tell = lambda _stage, _share: None
) -> BuiltKernel:
    """Builds a user-mode kernel into the user's cache folder, or returns the one that is there already.

    Takes minutes. Nothing is installed, and nothing is left if it fails or is interrupted. Another build
    under way is waited for. The kernel boots once before it is kept.

    Parameters
    ----------
    source : ``package`` (the newest linux-source-* that apt knows), such a package's name, a tarball or a folder
    jobs : how many compilers at once (default: one for each processor)
    tell : called with the stage's name and the share of it that is done (0 to 1)

    Raises
    ------
    ToolMissingError : programs are missing; the message names their packages
    BuildError : no such source, no room, or the source cannot be compiled
    """
    if jobs is not None and jobs < 1:
        raise BuildError(f"jobs must be at least 1: {jobs}")
    place = cache.folder()
    found = find_source(source)
    there = _there(place, found.version)
    if there is not None:
        return there
    needs.check(place, found.tools)
    try:
        with cache.building(place, lambda: tell("waiting for another build", 0.0)) as work:
            return _build(place, work, found, jobs or os.cpu_count() or 1, tell)
    except OSError as error:
        raise BuildError(f"the kernel could not be built in {place}: {error}") from error


def _build(place: Path, work: Path, source: Source, jobs: int, tell: Tell) -> BuiltKernel:
    # What is known only now: what the other build made, and which version is in a tarball.
    needs.check_room(place)
    there = _there(place, source.version)
    if there is not None:
        return there
    tree = obtain(source, work, lambda stage: tell(stage, 0.0))
    version = kernel_version(tree)
    there = _there(place, version)
    if there is not None:
        return there
    began = time.monotonic()
    config = configure(tree, work / "out")
    program = compile_kernel(tree, work / "out", jobs, lambda file, share: tell(f"compiling {file}", share))
    finished = work / "finished"
    finished.mkdir()
    shutil.move(program, finished / cache.PROGRAM)
    (finished / cache.CONFIG).write_text(config, encoding="utf-8")
    tell("trying it", 1.0)
    kernel = _tried(finished / cache.PROGRAM)
    name = cache.name_of(version, configuration.digest())
    built = BuiltKernel(
        name=name,
        folder=place / name,
        version=kernel.version,
        source=source.name,
        configuration=configuration.digest(),
        virtual_time=configuration.has(config, VIRTUAL_TIME),
        lacking=configuration.lacking(config),
        seconds=round(time.monotonic() - began, 1),
    )
    cache.install(finished, built)
    return built


def _there(place: Path, version: str) -> BuiltKernel | None:
    """The finished kernel of this version with this configuration; None if there is none, or it is not known."""
    if not version:
        return None
    name = cache.name_of(version, configuration.digest())
    return next((kernel for kernel in cache.built_kernels(place) if kernel.name == name), None)


def _tried(program: Path) -> GuestKernel:
    """The kernel, which has booted and run a command."""
    try:
        kernel = find_kernel(str(program))
        with open(os.devnull, "r+b") as nothing:
            null = nothing.fileno()
            status = run_in_guest(["true"], kernel=kernel, timeout_s=_TRIAL_S, stdin=null, stdout=null, stderr=null)
    except GuestError as error:
        raise BuildError(f"the kernel was built, but does not work here: {error}") from error
    if status:
        raise BuildError(f"the kernel was built, but a command in it ended with status {status}")
    return kernel
