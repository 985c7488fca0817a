from __future__ import annotations

import asyncio
import select
import socket
import sys
import threading

import pytest

from linkem_py.runtime import loop
from linkem_py.runtime.defaults import VIRTUAL_TIME_VARIABLE


@pytest.fixture
def virtual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VIRTUAL_TIME_VARIABLE, "1")


async def busy() -> tuple[bytes, int, str]:
    """Something of everything that wakes a loop up: a stream, a process, a thread, a timer."""
    one, other = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=one)
    with other:
        other.sendall(b"ready\n")
        line = await reader.readline()
    writer.close()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "raise SystemExit(7)")
    done = asyncio.get_running_loop().create_future()
    loop_ = asyncio.get_running_loop()
    threading.Timer(0.01, lambda: loop_.call_soon_threadsafe(done.set_result, "told")).start()
    await asyncio.sleep(0.001)
    return line, await process.wait(), await done


@pytest.mark.parametrize("value", ["", "1"])
def test_it_does_what_a_loop_does(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(VIRTUAL_TIME_VARIABLE, value)
    assert loop.run(busy()) == (b"ready\n", 7, "told")


@pytest.mark.usefixtures("virtual")
def test_in_virtual_time_waits_are_not_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []
    original = select.select

    def recorded(*arguments: object) -> object:
        waits.append(arguments[3])  # type: ignore[arg-type]
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(select, "select", recorded)
    loop.run(asyncio.sleep(0.0123456))
    assert any(wait is not None and 0.0113 < wait <= 0.0123456 and wait * 1000 != round(wait * 1000) for wait in waits)


def test_in_real_time_it_is_asyncio_s() -> None:
    made = loop.new_event_loop()
    made.close()
    assert not isinstance(getattr(made, "_selector", None), loop.ExactSelector)
