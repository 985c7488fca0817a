"""Finds user-mode kernels on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from linkem_py.errors import GuestUnavailableError

VARIABLE = "LINKEM_GUEST_KERNEL"
PACKAGED_NAME = "linux.uml"

# Where kernel packages keep their modules, below it one folder per version.
MODULE_ROOTS = (Path("/usr/lib/uml/modules"), Path("/lib/modules"))

#: The option of a kernel that can run in virtual time.
VIRTUAL_TIME = "UML_TIME_TRAVEL_SUPPORT"

_TELLING_TIMEOUT_S = 20.0

_REMEDY = (
    "on Debian and Ubuntu install the package user-mode-linux (apt-get install user-mode-linux); "
    "elsewhere build one (linkem kernel build), or name a kernel with --kernel or in the environment "
    f"variable {VARIABLE}"
)
_BUILD = "build one that can with `linkem kernel build`"


@attrs.frozen
class GuestKernel:
    """A kernel that runs as an ordinary program.

    Attributes
    ----------
    path : the program
    version : its release, such as ``6.1.176``
    modules : the folder of its modules; None if everything is built in
    source : where it was found: ``environment``, ``cache``, ``package`` or ``argument``
    """

    path: Path
    version: str
    modules: Path | None
    source: str

    def __str__(self) -> str:
        return f"{self.path} (Linux {self.version}, {self.source})"


def find_kernels() -> tuple[GuestKernel, ...]:
    """All kernels that can be used, the preferred first.

    First the one that the environment variable LINKEM_GUEST_KERNEL names, then those in the user's
    cache folder (newest version first), then the packaged ``linux.uml`` on the PATH. A file that does
    not tell its version is passed over.
    """
    kernels: list[GuestKernel] = []
    for path, source in _candidates(os.environ):
        version = _version(path)
        if version and all(path != known.path for known in kernels):
            kernels.append(GuestKernel(path, version, find_modules(path, version), source))
    order = {"environment": 0, "cache": 1, "package": 2}
    kernels.sort(key=lambda kernel: order[kernel.source])
    cached = sorted((k for k in kernels if k.source == "cache"), key=lambda k: version_key(k.version), reverse=True)
    return tuple(cached.pop(0) if kernel.source == "cache" else kernel for kernel in kernels)


def find_kernel(path: str | None = None) -> GuestKernel:
    """The kernel at `path`, or the preferred one.

    Raises
    ------
    GuestUnavailableError : there is none; the message says which package to install
    """
    if path is None:
        path = os.environ.get(VARIABLE)
        source = "environment"
    else:
        source = "argument"
    if path is not None:
        return _named_kernel(Path(path), source)
    kernels = find_kernels()
    if not kernels:
        raise GuestUnavailableError(f"no user-mode kernel found: {_REMEDY}")
    return kernels[0]


def find_virtual_time_kernel(path: str | None = None) -> GuestKernel:
    """The kernel at `path`, or the preferred one of those that can run in virtual time.

    Raises
    ------
    GuestUnavailableError : there is none, or the one that is named cannot; the message tells how to build one
    """
    named = path or os.environ.get(VARIABLE)
    if named:
        kernel = find_kernel(path)
        if not has_option(kernel.path, VIRTUAL_TIME):
            raise GuestUnavailableError(f"{kernel} cannot run in virtual time (no CONFIG_{VIRTUAL_TIME}): {_BUILD}")
        return kernel
    for kernel in find_kernels():
        if has_option(kernel.path, VIRTUAL_TIME):
            return kernel
    raise GuestUnavailableError(f"no guest kernel here can run in virtual time (CONFIG_{VIRTUAL_TIME}): {_BUILD}")


def has_option(path: Path, option: str) -> bool:
    """Whether the kernel at `path` has an option (without ``CONFIG_``) built in, as it says itself."""
    return f"CONFIG_{option}=y" in _told(path, "--showconfig").splitlines()


def version_key(version: str) -> tuple[int, ...]:
    """By which versions sort: 6.9 before 6.12."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def find_modules(path: Path, version: str) -> Path | None:
    """The folder with the modules of the kernel at `path`: beside it, or where packages have theirs."""
    beside = [path.parent / "modules", path.parent / "lib" / "modules"]
    for root in [*beside, *MODULE_ROOTS]:
        if (root / version / "modules.dep").is_file():
            return root / version
    return None


def cache_folder(env: Mapping[str, str]) -> Path | None:
    """Where kernels that the user built are kept, one folder each; None without a home."""
    base = env.get("XDG_CACHE_HOME") or (f"{env['HOME']}/.cache" if env.get("HOME") else "")
    return Path(base) / "linkem_py" / "kernels" if os.path.isabs(base) else None


def _candidates(env: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    named = env.get(VARIABLE)
    if named and os.access(named, os.X_OK):
        yield Path(named).absolute(), "environment"
    folder = cache_folder(env)
    if folder is not None:
        try:
            built = sorted(folder.glob("*/linux"))
        except OSError:
            built = []
        yield from ((path, "cache") for path in built if os.access(path, os.X_OK))
    packaged = shutil.which(PACKAGED_NAME, path=env.get("PATH"))
    if packaged:
        yield Path(packaged).absolute(), "package"


def _named_kernel(path: Path, source: str) -> GuestKernel:
    if not path.is_file():
        raise GuestUnavailableError(f"no kernel at {path}: {_REMEDY}")
    if not os.access(path, os.X_OK):
        raise GuestUnavailableError(f"{path} is not executable")
    path = path.absolute()
    version = _version(path)
    if not version:
        raise GuestUnavailableError(f"{path} is not a user-mode kernel: it does not answer --version")
    return GuestKernel(path, version, find_modules(path, version), source)


def _version(path: Path) -> str:
    text = _told(path, "--version").strip()
    # A kernel prints its release and nothing else; another program might print anything.
    return text if text[:1].isdigit() and len(text.split()) == 1 else ""


def _told(path: Path, option: str) -> str:
    """What a kernel says to an option that makes it tell something and end; empty if it fails."""
    try:
        told = subprocess.run(
            [path, option],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_TELLING_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.stdout.decode(errors="replace") if told.returncode == 0 else ""
