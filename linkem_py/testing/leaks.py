"""What a test has left behind: interfaces, named namespaces, processes, open files."""

from __future__ import annotations

import gc
import os
import socket
import time
import uuid
from collections.abc import Collection, Mapping, Set
from pathlib import Path

import attrs

NAMED_NAMESPACES = Path("/run/netns")
MARK = "LINKEM_TEST_RUN"
KINDS = {"interfaces": "interface", "namespaces": "namespace", "processes": "process", "files": "open file"}


def mark_processes() -> None:
    """Give this run a name in the environment: by it, processes are found that have lost their parents."""
    os.environ[MARK] = uuid.uuid4().hex


@attrs.frozen
class Snapshot:
    """What exists at one moment, by kind: what tells one from another, and how to call it."""

    things: Mapping[str, Mapping[object, str]]

    @classmethod
    def take(cls, kinds: Collection[str] = KINDS) -> Snapshot:
        """What there is of these kinds: interfaces and namespaces (by name) are the whole machine's."""
        looks = {
            "interfaces": _interfaces,
            "namespaces": _namespaces,
            "processes": _processes,
            "files": _open_files,
        }
        return cls({kind: look() for kind, look in looks.items() if kind in kinds})

    def __sub__(self, before: Snapshot) -> list[str]:
        """What is here and was not there, as lines to read."""
        return [
            f"{KINDS[kind]}: {name}"
            for kind, now in self.things.items()
            for key, name in now.items()
            if key not in before.things[kind]
        ]


def left_since(before: Snapshot, *, known: Set[str] = frozenset(), patience_s: float = 3) -> list[str]:
    """What was not there at `before`, except what is `known`.

    Waits a little for it to go: the kernel frees namespaces in its own time.
    """
    deadline = time.monotonic() + patience_s
    while True:
        gc.collect()
        left = [line for line in Snapshot.take(before.things) - before if line not in known]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def _interfaces() -> dict[object, str]:
    return dict(socket.if_nameindex())


def _namespaces() -> dict[object, str]:
    return {name: name for name in (os.listdir(NAMED_NAMESPACES) if NAMED_NAMESPACES.is_dir() else ())}


def _open_files() -> dict[object, str]:
    found: dict[object, str] = {}
    for fd in set(os.listdir("/proc/self/fd")) - {"0", "1", "2"}:  # which pytest redirects
        try:
            target = os.readlink(f"/proc/self/fd/{fd}").removesuffix(" (deleted)")
        except FileNotFoundError:  # the listing's own descriptor
            continue
        found[fd, target] = f"{fd} -> {target}"
    return found


def _processes() -> dict[object, str]:
    """Descendants of this process, zombies too, and orphans that carry its mark."""
    parents: dict[int, int] = {}
    found: dict[tuple[int, str], str] = {}
    for pid in (int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        name, _, numbers = stat.partition(" (")[2].rpartition(") ")
        parents[pid] = int(numbers.split()[1])
        start = numbers.split()[19]
        found[pid, start] = f"{pid} {name}"

    def ours(pid: int) -> bool:
        while pid:
            pid = parents.get(pid, 0)
            if pid == os.getpid():
                return True
        return False

    return {
        (pid, start): name for (pid, start), name in found.items() if pid != os.getpid() and (ours(pid) or _marked(pid))
    }


def _marked(pid: int) -> bool:
    mark = f"{MARK}={os.environ[MARK]}".encode() if MARK in os.environ else None
    try:
        return mark is not None and mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
