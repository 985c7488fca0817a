"""Looks into a running kernel from outside: it is a process, and its variables are memory.

So it costs the guest nothing, and works too when nothing in the guest gets to run.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Iterable
from pathlib import Path

_CLOCK, _CURRENT, _FIRST_TASK = "time_travel_time", "cpu_tasks", "init_task"

# Of the first task, whose name is known: so the place of the name in every task is known.
_NAME, _NAME_BYTES, _TASK_BYTES = b"swapper\0", 16, 16384

_SYMTAB = 2
_HEADER = struct.Struct("<40xQ10xHH2x")  # e_shoff, e_shentsize, e_shnum of an ELF64 header
_SECTION = struct.Struct("<4xI16xQQI")  # sh_type, sh_offset, sh_size, sh_link
_SYMBOL = struct.Struct("<IBBHQQ")
_U64 = struct.Struct("<Q")


def symbols(path: Path, names: Iterable[str]) -> dict[str, int]:
    """The addresses of those symbols that the program at `path` has; none if it is stripped, or no ELF64 file."""
    wanted = {name.encode(): name for name in names}
    found: dict[str, int] = {}
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            table, strings = _symbol_table(data)
            for at in range(table[0], table[0] + table[1] - _SYMBOL.size + 1, _SYMBOL.size):
                name, _, _, _, value, _ = _SYMBOL.unpack_from(data, at)
                start = strings + name
                for text, known in wanted.items():
                    # Most names are ruled out by their first bytes, without being cut out.
                    if data[start : start + len(text) + 1] == text + b"\0":
                        found[known] = value
                if len(found) == len(wanted):
                    break
    except (OSError, ValueError, struct.error):
        return found
    return found


def _symbol_table(data: mmap.mmap) -> tuple[tuple[int, int], int]:
    """Place and size of the symbols, and place of their names. `ValueError` without."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not an ELF64 file")
    offset, size, count = _HEADER.unpack_from(data)
    sections = [_SECTION.unpack_from(data, offset + number * size) for number in range(count)]
    for kind, place, length, link in sections:
        if kind == _SYMTAB:
            return (place, length), sections[link][1]
    raise ValueError("stripped")


class Peek:
    """What a running kernel's variables say; reads nothing that is not there.

    Attributes
    ----------
    works : the kernel's clock can be read
    """

    def __init__(self, path: Path) -> None:
        self._addresses = symbols(path, (_CLOCK, _CURRENT, _FIRST_TASK))
        self._name_at = self._memory = -1
        self.works = False

    def __repr__(self) -> str:
        return f"<Peek {'works' if self.works else 'sees nothing'}>"

    def open(self, pid: int) -> None:
        """Starts to look into this process, which must be the kernel by now: not on its way there (exec)."""
        self.close()
        with contextlib.suppress(OSError):
            self._memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        self.works = self.clock_ns() is not None

    def clock_ns(self) -> int | None:
        """Virtual time since the kernel began; None if it cannot be read."""
        return self._number(self._addresses.get(_CLOCK, 0))

    def running(self) -> str:
        """The name of what runs in the guest, as in /proc/PID/comm; empty if it cannot be found out."""
        if self._name_at < 0:
            self._name_at = self._read(self._addresses.get(_FIRST_TASK, 0), _TASK_BYTES).find(_NAME)
        task = self._number(self._addresses.get(_CURRENT, 0))
        if self._name_at < 0 or not task:
            return ""
        return self._read(task + self._name_at, _NAME_BYTES).partition(b"\0")[0].decode(errors="replace")

    def close(self) -> None:
        """Looks no more; harmless when done twice."""
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1

    def _number(self, address: int) -> int | None:
        data = self._read(address, _U64.size)
        return int(_U64.unpack(data)[0]) if len(data) == _U64.size else None

    def _read(self, address: int, count: int) -> bytes:
        if self._memory >= 0 and address:
            with contextlib.suppress(OSError):
                return os.pread(self._memory, count, address)
        return b""
