"""What a build takes: programs, headers, room on the disk. Looked for before anything starts."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from linkem_py.errors import ToolMissingError
from linkem_py.guest.building.errors import BuildError

#: Programs, and the Debian packages that bring them.
TOOLS = {
    "gcc": "gcc",
    "ld": "binutils",
    "make": "make",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "tar": "tar",
}
#: What unpacks a tarball, by the end of its name.
UNPACKERS = {
    ".xz": ("xz", "xz-utils"),
    ".gz": ("gzip", "gzip"),
    ".tgz": ("gzip", "gzip"),
    ".bz2": ("bzip2", "bzip2"),
    ".zst": ("zstd", "zstd"),
}

# A tree without what is not needed takes 0.6 GB, what is compiled 0.2 GB, a package and the tarball in it 0.3 GB.
ROOM_BYTES = 1_500_000_000

Which = Callable[[str], str | None]


def check(folder: Path, tools: Iterable[str] = (), *, which: Which = shutil.which) -> None:
    """Raises unless the programs and headers for a build are there, and room in `folder`.

    `tools` are ends of names of tarballs to be unpacked (`UNPACKERS`).

    Raises
    ------
    ToolMissingError : programs are missing; all are named, with the packages that bring them
    BuildError : another processor than x86, or the disk is too full
    """
    machine = os.uname().machine
    if machine not in ("x86_64", "amd64"):
        raise BuildError(f"user-mode kernels run on x86_64 only, and this machine is {machine}")
    needed = {**TOOLS, **dict(UNPACKERS[end] for end in tools if end in UNPACKERS)}
    missing = {tool: package for tool, package in needed.items() if which(tool) is None}
    if "gcc" not in missing and not _has_headers():
        missing["the C library's headers"] = "libc6-dev"
    if missing:
        packages = " ".join(dict.fromkeys(missing.values()))
        raise ToolMissingError(
            f"a kernel build needs {', '.join(missing)}, not found: on Debian and Ubuntu, apt-get install {packages}"
        )
    check_room(folder)


def check_room(folder: Path) -> None:
    """Raises `BuildError` if the disk that holds `folder` is too full for a build."""
    place = next(place for place in (folder, *folder.parents) if place.is_dir())
    room = os.statvfs(place)
    free = room.f_bavail * room.f_frsize
    if free < ROOM_BYTES:
        raise BuildError(
            f"{place} has {free / 1e9:.1f} GB free, and a kernel build takes {ROOM_BYTES / 1e9:.1f} GB there: "
            "make room, or set XDG_CACHE_HOME to a folder on another disk"
        )


def _has_headers() -> bool:
    code = b"#include <stdio.h>\n#include <linux/limits.h>\n"
    try:
        done = subprocess.run(
            ["gcc", "-x", "c", "-fsyntax-only", "-"], input=code, capture_output=True, check=False, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
