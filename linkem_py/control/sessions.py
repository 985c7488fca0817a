"""Sessions of processes, as setsid(2) has them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

_PAUSE_S = 0.02  # between two looks


async def hang_up(session: int, *, grace_s: float) -> None:
    """SIGHUP to a session's first process group; after that time SIGKILL to whatever is left of the session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(session, signal.SIGHUP)
    deadline = asyncio.get_running_loop().time() + grace_s
    while left := await asyncio.to_thread(members, session):
        if asyncio.get_running_loop().time() >= deadline:
            for pid in left:
                _kill(pid, session)
        await asyncio.sleep(_PAUSE_S)


def members(session: int) -> list[int]:
    """Processes of a session, zombies left out."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and _is_member(entry, session)]


def _is_member(entry: str, session: int) -> bool:
    try:
        with open(f"/proc/{entry}/stat", "rb") as file:
            # The name of the program may hold anything, blanks and brackets included.
            state, _, _, found, *_ = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return int(found) == session and state not in (b"Z", b"X")


def _kill(pid: int, session: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        try:
            # The number may have been given to another process since it was looked up.
            if _is_member(str(pid), session):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
