"""The guest's memory: how much, and the file that the kernel keeps it in."""

from __future__ import annotations

import mmap
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping

from linkem_py.errors import GuestError

MINIMUM_BYTES = 64 << 20

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_AMOUNT = re.compile(r"([0-9]{1,12})([KMG])", re.IGNORECASE)


def parse_memory(text: str) -> int:
    """Bytes of an amount such as ``1G``, ``512M`` or ``65536K``.

    Raises
    ------
    ValueError : it is not such an amount, or less than 64M
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"memory must be a whole number with K, M or G, such as 1G: {text!r}")
    size = int(match[1]) * _UNITS[match[2].upper()]
    if size < MINIMUM_BYTES:
        raise ValueError(f"memory must be at least 64M: {text!r}")
    return size


def find_memory_folder(size: int, env: Mapping[str, str]) -> str:
    """A folder where the kernel can keep `size` bytes of memory in a file (which it unlinks at once).

    It must allow execution, for the guest runs programs out of it, and have the room: a file system
    that fills up later kills the kernel. /dev/shm fails the first in some hardened systems and the
    second in Docker, which gives it 64 MB.

    Raises
    ------
    GuestError : there is none; the message names what was tried
    """
    tried = []
    for folder in _distinct(_candidates(env)):
        flaw = _flaw(folder, size)
        if not flaw:
            return folder
        tried.append(f"{folder} {flaw}")
    raise GuestError(
        f"no folder can hold {size >> 20} MB of guest memory ({'; '.join(tried)}): "
        "use less --memory, or set TMPDIR to a folder that can"
    )


def _candidates(env: Mapping[str, str]) -> Iterator[str]:
    yield "/dev/shm"
    for name in ("TMPDIR", "XDG_RUNTIME_DIR"):
        yield env.get(name, "")
    yield from ("/tmp", "/var/tmp", "/run", env.get("HOME", ""), os.getcwd())


def _distinct(folders: Iterable[str]) -> Iterator[str]:
    # Whitespace would be cut by nobody here, but a relative folder means another one to the kernel.
    return iter(dict.fromkeys(folder for folder in folders if os.path.isabs(folder)))


def _flaw(folder: str, size: int) -> str:
    """What speaks against a folder; empty if nothing."""
    try:
        room = os.statvfs(folder)
        free = room.f_bavail * room.f_frsize
        if free < size:
            return f"has only {free >> 20} MB free"
        with tempfile.TemporaryFile(dir=folder) as file:
            file.truncate(mmap.PAGESIZE)
            mmap.mmap(
                file.fileno(),
                mmap.PAGESIZE,
                flags=mmap.MAP_PRIVATE,
                prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC,
            ).close()
    except OSError as error:
        denied = isinstance(error, PermissionError)
        return "does not allow execution" if denied else f"fails: {error.strerror}"
    return ""
