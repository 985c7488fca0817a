"""System calls that Python 3.11 lacks, or makes in its own way only: one thin layer over libc."""

from __future__ import annotations

import ctypes
import os

CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC = 0x1000, 0x4000
MS_PRIVATE, MS_SLAVE, MS_SHARED = 0x40000, 0x80000, 0x100000
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


def _check(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """unshare(2), for the calling thread. Raises OSError."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    """setns(2), for the calling thread. Raises OSError."""
    _check(_libc.setns(fd, kind), "setns")


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    """mount(2), in the calling thread's mount namespace. Raises OSError."""
    texts = (source.encode(), os.fsencode(target), kind.encode())
    _check(_libc.mount(*texts, flags, data.encode()), f"mount {target}")


def unmount(target: str, flags: int = MNT_DETACH) -> None:
    """umount2(2), in the calling thread's mount namespace. Raises OSError."""
    _check(_libc.umount2(os.fsencode(target), flags), f"unmount {target}")


def bind(fd: int, address: bytes) -> None:
    """bind(2) to a ``struct sockaddr`` as it is, where Python insists on knowing better. Raises OSError."""
    _check(_libc.bind(fd, address, len(address)), "bind")


def open_namespace(kind: str, pid: int | None = None) -> int:
    """A file descriptor of a namespace (``net``, ``mnt``, ``pid``) of a process, or of this thread."""
    where = "thread-self" if pid is None else str(pid)
    return os.open(f"/proc/{where}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
