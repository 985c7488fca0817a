"""Mount namespaces: an /etc/hosts with the peers' names, without touching any file of the host."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from linkem_py.kernel import system

HOSTS = "/etc/hosts"
# A directory that is always there and that nobody needs while the mount is put together.
_SCRATCH = "/sys"


def enter_private() -> None:
    """Give the calling thread a mount namespace of its own, from which nothing spreads.

    The thread must not go on to do other work: it has left the directory and root of the others.
    """
    system.unshare(system.CLONE_FS | system.CLONE_NEWNS)
    # Not private: what is unmounted outside goes here too, or a copy of the mount would keep, say, a named
    # network namespace alive.
    system.mount("none", "/", "", system.MS_REC | system.MS_SLAVE)


def place_hosts() -> int:
    """Put a file of our own in the place of /etc/hosts, in the calling thread's mount namespace.

    Returns a descriptor through which the file can be rewritten: every process in the namespace,
    or in one made from it, sees the change. It lives in memory and goes with its last user.
    """
    system.mount("linkem", _SCRATCH, "tmpfs", system.MS_NOSUID | system.MS_NODEV, "size=16m,mode=755")
    try:
        path = f"{_SCRATCH}/hosts"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.fchmod(fd, 0o644)
        if os.path.exists(HOSTS):
            system.mount(path, HOSTS, "", system.MS_BIND)
    finally:
        system.unmount(_SCRATCH)
    return fd


def write_hosts(fd: int, names: Iterable[tuple[str, Iterable[str]]]) -> None:
    """Rewrite the file: `names` are (name, addresses)."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    known: dict[str, list[str]] = {}
    for name, addresses in names:
        for address in addresses:
            known.setdefault(address, []).append(name)
    lines += [f"{address} {' '.join(found)}" for address, found in known.items()]
    data = ("\n".join(lines) + "\n").encode()
    # Longer first, then cut: a reader in between sees the old tail, never an empty file.
    os.pwrite(fd, data, 0)
    os.ftruncate(fd, len(data))


def mount_sysfs() -> None:
    """Show the network namespace that the calling thread is in under /sys, where that is allowed."""
    with contextlib.suppress(OSError):
        system.mount("sysfs", "/sys", "sysfs", system.MS_NOSUID | system.MS_NODEV | system.MS_NOEXEC)
