"""A user namespace of one's own: in it, whoever is not root outside may make network namespaces."""

from __future__ import annotations

import os

from linkem_py.kernel import system

CLONE_NEWUSER = 0x10000000


def is_single_threaded() -> bool:
    """Whether this process can enter a user namespace: one with a second thread cannot (unshare(2), EINVAL)."""
    return len(os.listdir("/proc/self/task")) == 1


def enter() -> None:
    """Put this process into a new user namespace, as root in it, with mounts of its own.

    Its network stays the one outside: so it can reach a broker. Raises OSError; the process may then
    be half-way in, and good for nothing.
    """
    uid, gid = os.geteuid(), os.getegid()
    system.unshare(CLONE_NEWUSER | system.CLONE_NEWNS)
    _write("setgroups", "deny")  # or the kernel refuses the next but one (user_namespaces(7))
    _write("uid_map", f"0 {uid} 1")
    _write("gid_map", f"0 {gid} 1")
    system.mount("none", "/", "", system.MS_REC | system.MS_PRIVATE)


def _write(name: str, text: str) -> None:
    with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
        file.write(text)
