"""What the guest covers of the host's file tree.

The host's root is the guest's. Covered are the places that describe a kernel (/proc, /sys, /dev)
and /run, where programs keep names of what lives in a kernel, such as network namespaces. Nothing
is created, changed or removed in the host's tree: mount points are used only where they exist.
"""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)

_NOSUID, _NODEV, _NOEXEC = 2, 4, 8
_BIND, _MOVE = 4096, 8192

# In devtmpfs: the one place where a folder can be made that is not the host's.
SCRATCH = "/dev/.linkem"


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2); `OSError` with the target's name."""
    failed = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        os.fsencode(kind),
        flags,
        os.fsencode(options),
    )
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def prepare_devices() -> None:
    """/dev, unless the kernel has mounted it by itself, as most are configured to."""
    if not os.path.exists("/dev/ttyS0"):
        mount("devtmpfs", "/dev", "devtmpfs", _NOSUID, "mode=755")


def prepare_kernel_views() -> None:
    """/proc and /sys, and what belongs into /dev."""
    os.makedirs(SCRATCH, exist_ok=True)
    mount("tmpfs", SCRATCH, "tmpfs", _NOSUID | _NODEV, "mode=755")  # unlike /dev surely not noexec
    mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    mount("sysfs", "/sys", "sysfs", _NOSUID | _NODEV | _NOEXEC)
    for folder, kind, options in (
        ("/dev/pts", "devpts", "gid=5,mode=620,ptmxmode=666"),
        ("/dev/shm", "tmpfs", "mode=1777"),
        ("/dev/mqueue", "mqueue", ""),
    ):
        os.makedirs(folder, exist_ok=True)
        _mount_if_known(kind, folder, options)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        if not os.path.lexists(f"/dev/{name}"):
            os.symlink(f"/proc/self/fd{target}", f"/dev/{name}")
    if os.path.isdir("/sys/fs/cgroup"):
        _mount_if_known("cgroup2", "/sys/fs/cgroup", "")


def _mount_if_known(kind: str, folder: str, options: str) -> None:
    try:
        mount(kind, folder, kind, _NOSUID | (0 if kind == "devpts" else _NODEV), options)
    except OSError:
        pass  # This kernel does without it; whoever needs it gets a clear error of its own.


def cover(folder: str, *, without: tuple[str, ...] = (), mode: str = "755") -> None:
    """Puts a file system of the guest's over `folder`, through which the host's entries are still seen.

    New entries stay in the guest. Those that exist, but for `without`, are bound into the cover: the
    command finds its working directory there, and what it changes below them changes on the host.
    """
    if not os.path.isdir(folder):
        return
    new = f"{SCRATCH}/cover{folder.replace('/', '-')}"
    os.makedirs(new, exist_ok=True)
    mount("tmpfs", new, "tmpfs", _NOSUID | _NODEV, f"mode={mode}")
    try:
        entries = [entry for entry in os.scandir(folder) if entry.name not in without]
    except OSError:
        entries = []  # The user may not list it here either.
    for entry in entries:
        try:
            _show(entry, f"{new}/{entry.name}")
        except OSError:
            continue  # It vanished meanwhile, or is not for this user.
    mount(new, folder, "", _MOVE)


def _show(entry: os.DirEntry[str], place: str) -> None:
    if entry.is_symlink():
        os.symlink(os.readlink(entry.path), place)
    elif entry.is_dir():
        os.mkdir(place)
        mount(entry.path, place, "", _BIND)
    elif entry.is_file():
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o600))
        mount(entry.path, place, "", _BIND)
