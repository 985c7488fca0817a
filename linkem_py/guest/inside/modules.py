"""Loads kernel modules from a folder of their own, such as /usr/lib/uml/modules/<version>.

The guest sees the host's files, and the host has no /lib/modules/<version> for the guest's kernel.
So the most used modules are loaded here, in this process, through the system call; the rest is
loaded on demand: the kernel is given a program of ours to call instead of /sbin/modprobe.

Run as a script (that program), it takes modprobe's arguments and the folder.
"""

from __future__ import annotations

import ctypes
import os
import sys

# What a topology may need: about a millisecond each, against 75 ms or more for one on demand. `ipv6` is
# first because without it not even the loopback has ::1. Netfilter is not here: nf_tables alone takes 25 ms.
AT_BOOT = (
    "ipv6",
    "bridge",
    "veth",
    "ifb",
    "dummy",
    "tun",
    "macvlan",
    "8021q",
    "sch_htb",
    "sch_netem",
    "sch_prio",
    "sch_tbf",
    "sch_ingress",
    "sch_fq_codel",
    "sch_fq",
    "sch_cake",
    "cls_u32",
    "cls_flower",
    "cls_matchall",
    "cls_fw",
    "cls_bpf",
    "act_mirred",
    "act_gact",
    "act_skbedit",
    "act_police",
)

_SYS_FINIT_MODULE = 313  # x86-64, the only architecture that user-mode Linux has today
_EEXIST = 17

_MODPROBE = ("/sbin/modprobe", "/usr/sbin/modprobe", "/bin/modprobe")


class Folder:
    """A folder of modules: what depends on what, and which name stands for what."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._needs: dict[str, list[str]] = {}
        with open(f"{path}/modules.dep", encoding="ascii") as lines:
            for line in lines:
                file, _, needs = line.partition(":")
                self._needs[_module_name(file)] = [file, *needs.split()]
        with open("/proc/modules", encoding="ascii") as lines:
            self._loaded = {line.split()[0] for line in lines}
        self._libc = ctypes.CDLL(None, use_errno=True)

    def __repr__(self) -> str:
        return f"<Folder {self.path}: {len(self._needs)} modules>"

    def load(self, name: str) -> bool:
        """Loads a module after all that it needs; False if the folder lacks it or the kernel refuses."""
        files = self._needs.get(name.replace("-", "_"))
        if files is None:
            return False
        # The last one named needs none of the others.
        return all(self._insert(file) for file in reversed(files))

    def load_alias(self, alias: str) -> bool:
        """Loads whatever a name that the kernel asked for stands for, such as ``net-pf-10``."""
        if self.load(alias):
            return True
        loaded = [self.load(name) for name in self._resolve(alias)]
        return any(loaded)

    def _resolve(self, alias: str) -> list[str]:
        from fnmatch import fnmatchcase  # costs more to import than most requests need

        wanted = alias.replace("-", "_")
        names = []
        with open(f"{self.path}/modules.alias", encoding="ascii") as lines:
            for line in lines:
                fields = line.split()
                if len(fields) == 3 and fields[0] == "alias":
                    pattern = fields[1].replace("-", "_") if "[" not in fields[1] else fields[1]
                    if pattern == wanted or ("*" in pattern and fnmatchcase(alias, fields[1])):
                        names.append(fields[2])
        return names

    def _insert(self, file: str) -> bool:
        name = _module_name(file)
        if name in self._loaded:
            return True  # Trying again would cost 30 ms.
        try:
            fd = os.open(f"{self.path}/{file}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            failed = self._libc.syscall(_SYS_FINIT_MODULE, fd, b"", 0)
            if failed and ctypes.get_errno() != _EEXIST:
                return False
            self._loaded.add(name)
            return True
        finally:
            os.close(fd)


def _module_name(file: str) -> str:
    return file.rpartition("/")[2].partition(".")[0].replace("-", "_")


def load_at_boot(path: str) -> None:
    """Loads what nearly every topology needs; what the folder lacks is passed over."""
    folder = Folder(path)
    for name in AT_BOOT:
        folder.load(name)


def install_loader(path: str, scratch: str) -> None:
    """Makes the kernel call a program of ours for the modules that it finds missing.

    It is written into the folder `scratch`, on a file system of the guest's. It calls modprobe if there is
    one (four times as fast), with a root where this kernel's modules are in the usual place, else this file.
    """
    root = f"{scratch}/root"
    for lib in ("lib", "usr/lib"):
        os.makedirs(f"{root}/{lib}/modules")
        os.symlink(path, f"{root}/{lib}/modules/{os.uname().release}")
    ours = f"{_quoted(sys.executable)} -I -S -B {_quoted(os.path.abspath(__file__))} {_quoted(path)}"
    modprobe = next((f"{place} -d {root}" for place in _MODPROBE if os.access(place, os.X_OK)), ours)
    program = f"{scratch}/modprobe"
    with open(program, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f'#!/bin/sh\nexec {modprobe} "$@"\n')
    os.chmod(program, 0o755)
    with open("/proc/sys/kernel/modprobe", "w", encoding="utf-8") as setting:
        setting.write(program)


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def main(arguments: list[str]) -> int:
    """As modprobe: ``FOLDER [-q] [--] NAME...``."""
    folder = Folder(arguments[0])
    names = [word for word in arguments[1:] if not word.startswith("-")]
    loaded = [folder.load_alias(name) for name in names]
    return 0 if all(loaded) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
