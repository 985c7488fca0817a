"""The kernels that were built: one folder each in the user's cache."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from linkem_py.guest.building.errors import BuildError
from linkem_py.guest.kernels import cache_folder, version_key

PROGRAM, FACTS, CONFIG = "linux", "kernel.json", "config"

# A build goes on in a folder of this name until it is done; what a dead one left is the next one's to remove.
UNFINISHED = ".building-"
_LOCK = ".lock"


@attrs.frozen(kw_only=True)
class BuiltKernel:
    """A finished kernel.

    Attributes
    ----------
    name : of its folder: version and configuration
    folder : where it is
    version : of the kernel
    source : what it was built from
    configuration : digits that stand for its options
    virtual_time : it can run in virtual time
    lacking : wanted options that its source does not have
    seconds : how long compiling took
    """

    name: str
    folder: Path
    version: str
    source: str
    configuration: str
    virtual_time: bool
    lacking: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def program(self) -> Path:
        """The kernel itself."""
        return self.folder / PROGRAM

    def as_json(self) -> dict[str, Any]:
        """For programs, and for the file beside the kernel."""
        fields = attrs.asdict(self, filter=lambda field, _: field.name not in ("name", "folder"))
        return {"name": self.name, "path": str(self.program), **fields, "lacking": list(self.lacking)}


def folder(env: Mapping[str, str] | None = None) -> Path:
    """Where built kernels are kept. Raises `BuildError` without a home."""
    found = cache_folder(os.environ if env is None else env)
    if found is None:
        raise BuildError("there is no cache folder to keep a kernel in: set HOME or XDG_CACHE_HOME")
    return found


def name_of(version: str, digest: str) -> str:
    """The folder's name of a kernel with this version and configuration."""
    return f"{version}-{digest}"


def built_kernels(place: Path | None = None) -> tuple[BuiltKernel, ...]:
    """All finished kernels, the newest version first."""
    place = place or folder()
    try:
        found = [_read(path.parent) for path in place.glob(f"*/{PROGRAM}")]
    except OSError:
        return ()
    return tuple(sorted(found, key=lambda kernel: (version_key(kernel.version), kernel.name), reverse=True))


def find(name: str, place: Path | None = None) -> BuiltKernel:
    """The kernel with this name, or the only one with this version. Raises `BuildError`."""
    kernels = built_kernels(place)
    found = [kernel for kernel in kernels if kernel.name == name] or [k for k in kernels if k.version == name]
    if len(found) == 1:
        return found[0]
    names = ", ".join(kernel.name for kernel in found or kernels) or "none"
    which = f"several kernels have the version {name}" if found else f"no built kernel is called {name}"
    raise BuildError(f"{which}: there are {names}")


def remove_kernel(name: str, place: Path | None = None) -> BuiltKernel:
    """Removes the kernel with this name; guests that run on it go on. Raises `BuildError` if there is none."""
    place = place or folder()
    found = find(name, place)
    # By another name first: a folder without its program, or with half of its files, would be found as one.
    gone = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=place))
    try:
        found.folder.rename(gone / found.name)
    finally:
        shutil.rmtree(gone, ignore_errors=True)
    return found


@contextlib.contextmanager
def building(place: Path, waiting: Callable[[], object]) -> Iterator[Path]:
    """A new folder to build in, for one build at a time; gone afterwards, whatever happened.

    `waiting` is called if another build is under way and has to be waited for.
    """
    place.mkdir(parents=True, exist_ok=True)
    with (place / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Nobody else builds now: these are of builds that were killed.
        for left in place.glob(f"{UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)
        new = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=place))
        try:
            yield new
        finally:
            shutil.rmtree(new, ignore_errors=True)


def install(finished: Path, kernel: BuiltKernel) -> None:
    """Puts a folder with a program in its place, at once and complete."""
    (finished / FACTS).write_text(json.dumps(kernel.as_json(), indent=2) + "\n", encoding="utf-8")
    if kernel.folder.exists():
        shutil.rmtree(kernel.folder)
    finished.rename(kernel.folder)


def _read(place: Path) -> BuiltKernel:
    """The facts beside a kernel; one that somebody else put there has only its name."""
    try:
        facts = json.loads((place / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        facts = {}
    return BuiltKernel(
        name=place.name,
        folder=place,
        version=str(facts.get("version", place.name)),
        source=str(facts.get("source", "unknown")),
        configuration=str(facts.get("configuration", "")),
        virtual_time=bool(facts.get("virtual_time")),
        lacking=tuple(facts.get("lacking", ())),
        seconds=float(facts.get("seconds", 0.0)),
    )
