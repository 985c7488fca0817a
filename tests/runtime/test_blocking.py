"""A network without asyncio: every method blocks, and nothing is left whatever happens."""

from __future__ import annotations

import asyncio
import inspect
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from linkem_py import Impairment, Network, NetworkPeer, RequestError, ToolMissingError, Topology
from linkem_py.model import Capabilities
from linkem_py.runtime import BlockingNetwork, BlockingPeer
from tests.dry import DryNetwork


def pair(delay_ms: float = 10) -> Topology:
    topology = Topology("pair")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.connect("a", "b", Impairment(delay_ms=delay_ms))
    return topology


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "linkem-pair"]


@pytest.mark.parametrize(("plain", "blocking"), [(Network, BlockingNetwork), (NetworkPeer, BlockingPeer)])
def test_every_public_method_is_there_and_none_is_a_coroutine(plain: type, blocking: type) -> None:
    public = {name for name in dir(plain) if not name.startswith("_")} - {
        "blocking",
        "kernel",
        "namespace",
        "flow_sockets",
    }
    assert public <= set(dir(blocking)), public - set(dir(blocking))
    assert [name for name in dir(blocking) if inspect.iscoroutinefunction(getattr(blocking, name))] == []


@pytest.mark.parametrize(("plain", "blocking"), [(Network, BlockingNetwork), (NetworkPeer, BlockingPeer)])
def test_parameters_are_the_same(plain: type, blocking: type) -> None:
    for name, method in inspect.getmembers(plain, inspect.iscoroutinefunction):
        if name.startswith("_") or name in ("spawn", "open_connection"):
            continue
        signature = inspect.signature(getattr(blocking, name))
        assert list(signature.parameters) == list(inspect.signature(method).parameters), name
        assert getattr(blocking, name).__doc__


def test_changes_are_made_and_errors_raised_where_they_were_asked_for() -> None:
    with DryNetwork.blocking(pair(), seed=5) as net:
        assert net.seed == 5
        applied = net.update("a", "b", delay_ms=20)
        assert net.impairment("a", "b").delay_ms == 20
        assert (net.revision, list(net.journal)) == (1, [applied])
        assert net.stats()["a", "b"].impairment.delay_ms == 20
        with pytest.raises(RequestError, match="peer"):
            net.update("a", "nobody", delay_ms=20)
        assert net.add_peer("c").name == "c"
        net.partition({"a"}, {"b"})
        assert len(net.groups) == 2
        net.heal()
        assert sorted(net.peers) == ["a", "b", "c"]
        assert repr(net).startswith("<BlockingNetwork 'pair' running")


def test_closing_twice_is_harmless_and_ends_the_thread() -> None:
    net = DryNetwork.blocking(pair())
    net.close()  # never started
    net = DryNetwork.blocking(pair())
    net.start()
    assert threads()
    net.close()
    net.close()
    assert not threads()
    with pytest.raises(RuntimeError, match="not running but closed"):
        net.update("a", "b", delay_ms=1)
    with pytest.raises(RuntimeError, match="runs once"):
        net.start()


def test_a_network_that_cannot_start_leaves_no_thread() -> None:
    net = DryNetwork.blocking(pair(), capabilities=Capabilities(netem=False))
    with pytest.raises(Exception, match="lacks netem"):
        net.start()
    assert not threads()


def test_a_forgotten_network_is_closed_and_complained_of() -> None:
    net = DryNetwork.blocking(pair())
    net.start()
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "linkem-pair"]
    forgotten = [net]
    del net
    with pytest.warns(ResourceWarning, match="never closed"):
        forgotten.clear()
    thread.join(10)
    assert not thread.is_alive()


def test_listeners_are_told_on_the_network_s_thread_and_may_not_wait_there() -> None:
    seen: list[Any] = []

    def listener(applied: Any) -> None:
        seen.append(threading.current_thread().name)
        with pytest.raises(RuntimeError, match="cannot wait"):
            net.update("a", "b", delay_ms=1)

    with DryNetwork.blocking(pair()) as net:
        forget = net.subscribe(listener)
        net.update("a", "b", delay_ms=20)
        forget()
        net.update("a", "b", delay_ms=30)
    assert seen == ["linkem-pair"]


def test_an_interrupt_cancels_what_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = threading.Event()

    async def forever() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def interrupted(coroutine: Any, loop: Any) -> Any:
        future = run(coroutine, loop)
        monkeypatch.setattr(future, "result", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        return future

    run = asyncio.run_coroutine_threadsafe
    with DryNetwork.blocking(pair()) as net:
        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "run_coroutine_threadsafe", interrupted)
            with pytest.raises(KeyboardInterrupt):
                net.wait(forever())
        assert cancelled.is_set()
        net.update("a", "b", delay_ms=20)  # and the network goes on
    assert not threads()


def test_many_threads_may_use_one_network() -> None:
    with DryNetwork.blocking(pair()) as net:
        users = [threading.Thread(target=net.update, args=["a", "b"], kwargs={"delay_ms": ms}) for ms in range(1, 9)]
        for user in users:
            user.start()
        for user in users:
            user.join()
        assert net.revision == 8


# ------------------------------------------------------------------------------------ in a kernel


@pytest.mark.netem
def test_programs_and_sockets_are_ordinary_ones() -> None:
    with Network.blocking(pair()) as net:
        a, b = net.peer("a"), net.peer("b")
        assert a.run(["ping", "-c", "1", "b"]).returncode == 0
        assert b.call(socket.gethostbyname, "a") == a.address
        with b.socket() as listening:
            listening.bind((b.address, 9000))
            listening.listen()
            began = time.monotonic()
            with a.open_connection("b", 9000, timeout_s=10) as near:
                far, _ = listening.accept()
                with far:
                    far.sendall(b"hello")
                    assert near.recv(5) == b"hello"
            assert time.monotonic() - began > 0.02  # a round trip, at least
        with pytest.raises(ToolMissingError, match="no-such-program"):
            a.spawn(["no-such-program"])


@pytest.mark.netem
def test_a_server_s_handler_runs_on_the_network_s_thread() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        writer.close()

    with Network.blocking(pair()) as net:
        server = net.peer("b").start_server(answer)
        port = server.sockets[0].getsockname()[1]
        with net.peer("a").open_connection("b", port, timeout_s=10) as near:
            near.sendall(b"hello\n")
            assert near.recv(100) == b"HELLO\n"


@pytest.mark.netem
def test_programs_end_with_the_network() -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"
    )
    with Network.blocking(pair()) as net:
        polite = net.peer("a").spawn(["sleep", "60"], stdin=subprocess.PIPE)
        deaf = net.peer("b").spawn([sys.executable, "-c", stubborn], stdout=subprocess.PIPE, text=True)
        assert deaf.stdout is not None
        assert deaf.stdout.readline() == "on\n"
    assert (polite.returncode, deaf.returncode) == (-15, -9)
    assert deaf.stdout.closed
