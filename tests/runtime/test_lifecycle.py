"""A network's life: it comes up, changes, runs programs, and goes, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from linkem_py import Impairment, Network, Topology
from linkem_py.errors import KernelError, LinkemError, PeerProcessError, RequestError, ToolMissingError, TopologyError
from linkem_py.kernel.namespaces import NamespaceThread
from linkem_py.plan.requirements import PARTITION_NEEDS
from linkem_py.runtime import processes
from linkem_py.testing.leaks import MARK
from tests.runtime.check import assert_kernel_matches

pytestmark = pytest.mark.kernel("ipv6")

PATIENCE_S = 20.0


def topology(*names: str, impairment: Impairment | None = None) -> Topology:
    """These peers, each linked to the first one."""
    made = Topology("test")
    for name in names or ("a", "b", "c"):
        made.add_peer(name)
    first, *others = made.peers
    for other in others:
        made.connect(first, other, impairment or Impairment(delay_ms=1))
    return made


async def eventually(condition: Callable[[], bool | Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        met = condition()
        if not isinstance(met, bool):
            met = await met
        if met:
            return
        assert time.monotonic() < deadline, f"never: {what}"
        await asyncio.sleep(0.02)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send everything back, preceded by the address of who sent it."""
    writer.write(f"{writer.get_extra_info('peername')[0]} ".encode() + await reader.readline())
    await writer.drain()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def ask(opened: Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> str:
    reader, writer = await asyncio.wait_for(opened, PATIENCE_S)
    writer.write(b"hello\n")
    answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
    writer.close()
    await writer.wait_closed()
    return answer.decode()


# ------------------------------------------------------------------------- names and addresses


async def test_every_peer_has_addresses_of_both_families() -> None:
    async with Network(topology("a", "b")) as net:
        a, b = net.peer("a"), net.peer("b")
        assert (a.address, b.address) == ("10.0.0.1", "10.0.0.2")
        assert b.addresses["lan"] == ("10.0.0.2", "fd00:1::2")
        assert a.interface() == "eth0"
        shown = await a.run(["ip", "-o", "addr", "show", "dev", "eth0"])
        assert "10.0.0.1/16" in shown.stdout
        assert "fd00:1::1/64" in shown.stdout
        assert "tentative" not in shown.stdout
        assert_kernel_matches(net)


@pytest.mark.parametrize("destination", ["b", "10.0.0.2", "fd00:1::2"])
async def test_peers_reach_each_other(destination: str) -> None:
    async with Network(topology("a", "b")) as net:
        result = await net.peer("a").run(["ping", "-c", "1", "-W", "5", destination])
        assert result.returncode == 0, result.stdout + result.stderr


async def test_names_resolve_in_programs_and_the_hosts_own_file_is_never_touched() -> None:
    def fingerprint() -> tuple[str, float, int]:
        status = os.stat("/etc/hosts")
        return hashlib.sha256(Path("/etc/hosts").read_bytes()).hexdigest(), status.st_mtime_ns, status.st_ino

    before = fingerprint()
    async with Network(topology("eu", "us")) as net:
        for database in ("ahostsv4", "ahostsv6"):
            found = await net.peer("eu").run(["getent", database, "us"], check=True)
            assert found.stdout.split()[0] in net.peer("us").addresses["lan"]
        assert (await net.peer("eu").run(["getent", "hosts", "localhost"])).returncode == 0
        assert await net.peer("us").call(socket.gethostbyname, "eu") == net.peer("eu").address
        assert fingerprint() == before
    assert fingerprint() == before


async def test_names_follow_the_peers_in_programs_that_run() -> None:
    script = "while read name; do getent ahostsv4 $name | head -n 1 || true; echo; done"
    async with Network(topology("a", "b")) as net:
        shell = await net.peer("a").spawn(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert shell.stdin is not None
        assert shell.stdout is not None

        async def look_up(name: str) -> str:
            assert shell.stdin is not None
            assert shell.stdout is not None
            shell.stdin.write(f"{name}\n".encode())
            answer = b""
            while (line := await asyncio.wait_for(shell.stdout.readline(), PATIENCE_S)) != b"\n":
                answer += line
            return answer.decode().partition(" ")[0]

        assert await look_up("b") == "10.0.0.2"
        assert await look_up("late") == ""
        late = await net.add_peer("late")
        assert await look_up("late") == late.address
        await net.remove_peer("b")
        assert await look_up("b") == ""
        assert await look_up("late") == late.address


# ------------------------------------------------------------------------------------ programs


async def test_run_returns_what_a_program_says() -> None:
    async with Network(topology("a")) as net:
        a = net.peer("a")
        result = await a.run(["sh", "-c", "cat; echo error >&2; exit 3"], input="text")
        assert (result.stdout, result.stderr, result.returncode) == ("text", "error\n", 3)
        with pytest.raises(PeerProcessError, match=r"peer a: .* ended with status 3: no"):
            await a.run(["sh", "-c", "echo no >&2; exit 3"], check=True)
        raw = await a.run(["printf", "x"], text=False)
        assert raw.stdout == b"x"


async def test_a_program_that_takes_too_long_is_killed() -> None:
    async with Network(topology("a")) as net:
        with pytest.raises(subprocess.TimeoutExpired):
            await net.peer("a").run(["sleep", "1000"], timeout=0.3)
        assert not net.processes.transports


async def test_a_timeout_does_not_wait_for_what_the_program_has_left_behind() -> None:
    # The grandchild holds the pipes; without a bound, asyncio waits until they are closed.
    async with Network(topology("a")) as net, asyncio.timeout(PATIENCE_S):
        with pytest.raises(subprocess.TimeoutExpired):
            await net.peer("a").run(["sh", "-c", "sleep 1000 & exec sleep 1000"], timeout=0.3)
        with pytest.raises(subprocess.TimeoutExpired):
            await net.peer("a").run(["sh", "-c", "sleep 1000 &"], timeout=0.3, input="x" * 1_000_000)


async def test_spawn_gives_a_process_of_asyncio(tmp_path: Path) -> None:
    async with Network(topology("a")) as net:
        a = net.peer("a")
        process = await a.spawn(
            ["sh", "-c", "pwd; echo $COLOUR; read line; echo got $line; echo bad >&2; exit 7"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=tmp_path, env={**os.environ, "COLOUR": "green"},
        )  # fmt: skip
        assert isinstance(process, asyncio.subprocess.Process)
        assert process.stdout is not None
        assert (await process.stdout.readline()).decode().strip() == str(tmp_path)
        out, err = await asyncio.wait_for(process.communicate(b"this\n"), PATIENCE_S)
        assert (out, err) == (b"green\ngot this\n", b"bad\n")
        assert process.returncode == 7
        assert await process.wait() == 7


@pytest.mark.parametrize(
    ("end", "status"), [("terminate", -signal.SIGTERM), ("kill", -signal.SIGKILL)], ids=["terminate", "kill"]
)
async def test_a_process_can_be_ended(end: str, status: int) -> None:
    async with Network(topology("a")) as net:
        process = await net.peer("a").spawn(["sleep", "1000"])
        getattr(process, end)()
        assert await asyncio.wait_for(process.wait(), PATIENCE_S) == status
        with pytest.raises(ProcessLookupError):
            process.kill()


async def test_programs_see_only_the_networks_processes() -> None:
    async with Network(topology("a", "b")) as net:
        other = await net.peer("b").spawn(["sleep", "1000"])
        listed = await net.peer("a").run(["sh", "-c", "ls /proc | grep -c '^[0-9]' ; ls /sys/class/net"])
        count, *devices = listed.stdout.split()
        assert int(count) < 10
        assert sorted(devices) == ["eth0", "lo"]
        other.kill()
        await other.wait()


@pytest.mark.parametrize("method", ["run", "spawn"])
async def test_a_missing_program_is_named(method: str) -> None:
    async with Network(topology("a")) as net:
        with pytest.raises(ToolMissingError, match=r"peer a: .*'no-such-program'"):
            await getattr(net.peer("a"), method)(["no-such-program", "x"])


async def test_a_missing_directory_is_not_a_missing_program(tmp_path: Path) -> None:
    async with Network(topology("a")) as net:
        with pytest.raises(FileNotFoundError) as caught:
            await net.peer("a").run(["true"], cwd=tmp_path / "none")
        assert not isinstance(caught.value, LinkemError)


async def test_programs_end_with_the_network_in_whatever_session() -> None:
    async with Network(topology("a")) as net:
        process = await net.peer("a").spawn(["sh", "-c", "trap '' TERM; setsid sleep 1000 & while :; do sleep 1; done"])
        await eventually(lambda: len(_named("sleep")) >= 1, "a grandchild")
        grandchildren = _named("sleep")
    assert process.returncode == -signal.SIGKILL
    assert not [pid for pid in grandchildren if lives(pid)]


def _named(name: str) -> list[int]:
    """Processes of that name that this run has started."""
    mark = f"{MARK}={os.environ[MARK]}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "comm").read_text().strip() == name and mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
    return found


async def test_a_program_that_heeds_sigterm_ends_by_it() -> None:
    async with Network(topology("a")) as net:
        process = await net.peer("a").spawn(["sleep", "1000"])
    assert await process.wait() == -signal.SIGTERM


async def test_what_a_stopped_program_held_is_let_go() -> None:
    async with Network(topology("a")) as net:
        process = await net.peer("a").spawn(["cat", "/dev/zero"], stdout=subprocess.PIPE)
        process.send_signal(signal.SIGSTOP)
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) in (-signal.SIGTERM, -signal.SIGKILL)


@pytest.mark.parametrize("delay_ms", [0, 3, 10, 30])
async def test_a_spawn_that_is_cancelled_leaves_no_program(delay_ms: int) -> None:
    async with Network(topology("a")) as net:
        await net.peer("a").run(["true"])
        task = asyncio.create_task(net.peer("a").spawn(["sleep", "1000"], stdout=subprocess.PIPE))
        await asyncio.sleep(delay_ms / 1000)
        cancelled = task.cancel()
        try:
            process = await asyncio.wait_for(asyncio.shield(task), PATIENCE_S)
        except asyncio.CancelledError:
            assert cancelled
            assert not net.processes.transports
        else:
            process.kill()
            await process.wait()


# --------------------------------------------------------------------------------------- calls


async def test_a_call_runs_in_the_peer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    def look(word: str, *, end: str) -> tuple[str, str, str, list[str], str]:
        namespace = os.readlink("/proc/thread-self/ns/net")
        names = [name for _, name in socket.if_nameindex()]
        address = socket.getaddrinfo("b", 80, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
        return word + end, os.getcwd(), namespace, names, str(address)

    async with Network(topology("a", "b")) as net:
        text, cwd, namespace, names, address = await net.peer("a").call(look, "x", end="y")
        assert (text, cwd, sorted(names), address) == ("xy", str(tmp_path), ["eth0", "lo"], "10.0.0.2")
        assert namespace != os.readlink("/proc/thread-self/ns/net")
        assert str(net.namespace("a").inode) in namespace


async def test_an_exception_passes_from_a_call_to_its_caller() -> None:
    def fail() -> None:
        raise ZeroDivisionError("as it was")

    async with Network(topology("a")) as net:
        with pytest.raises(ZeroDivisionError, match="as it was"):
            await net.peer("a").call(fail)


async def test_a_call_that_is_cancelled_ends_in_its_own_time() -> None:
    go, gone = threading.Event(), threading.Event()

    def wait() -> int:
        go.wait(PATIENCE_S)
        gone.set()
        return 1

    async with Network(topology("a")) as net:
        task = asyncio.create_task(net.peer("a").call(wait))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        await eventually(gone.is_set, "the end of the function")


async def test_a_first_call_does_not_hold_up_the_event_loop() -> None:
    async with Network(topology("a")) as net:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        ticking = asyncio.create_task(tick())
        await net.peer("a").run(["true"])
        ticking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ticking
        assert ticks > 3


# ------------------------------------------------------------------------------------- sockets


@pytest.mark.parametrize("host", ["b", "B", "10.0.0.2", "fd00:1::2"])
async def test_streams_go_from_peer_to_peer(host: str) -> None:
    async with Network(topology("a", "b")) as net:
        a, b = net.peer("a"), net.peer("b")
        server = await b.start_server(echo, "::" if ":" in host else None)
        port = server.sockets[0].getsockname()[1]
        own = a.addresses["lan"][1 if ":" in host else 0]
        assert await ask(a.open_connection(host, port)) == f"{own} hello\n"
        assert await ask(a.open_connection(host, port, segment="lan")) == f"{own} hello\n"
        with pytest.raises(ConnectionRefusedError):
            await a.open_connection(host, 1)


async def test_a_server_listens_at_a_peers_own_name() -> None:
    async with Network(topology("a", "b")) as net:
        server = await net.peer("b").start_server(echo, "b", 4000)
        assert server.sockets[0].getsockname() == ("10.0.0.2", 4000)
        assert await ask(net.peer("a").open_connection("b", 4000, family=socket.AF_INET)) == "10.0.0.1 hello\n"
        with pytest.raises(RequestError, match="host must be a peer's name or an address: 'nobody'"):
            await net.peer("a").open_connection("nobody", 4000)


async def test_a_server_goes_with_its_peer() -> None:
    async with Network(topology("a", "b")) as net:
        server = await net.peer("b").start_server(echo)
        await net.remove_peer("b")
        assert not server.is_serving()
        assert net.servers == []


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
async def test_datagrams_go_from_peer_to_peer(family: int) -> None:
    async with Network(topology("a", "b")) as net:
        a, b = net.peer("a"), net.peer("b")
        with (
            a.socket(family, socket.SOCK_DGRAM) as sending,
            b.socket(family, socket.SOCK_DGRAM, segment="lan") as receiving,
        ):
            receiving.setblocking(False)
            address = b.addresses["lan"][0 if family == socket.AF_INET else 1]
            assert receiving.getsockname()[0] == address
            sending.sendto(b"x", (address, receiving.getsockname()[1]))
            loop = asyncio.get_running_loop()
            assert await asyncio.wait_for(loop.sock_recv(receiving, 10), PATIENCE_S) == b"x"


async def test_raw_sockets_go_from_peer_to_peer() -> None:
    async with Network(topology("a", "b")) as net:
        with net.peer("a").socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
            raw.setblocking(False)
            raw.sendto(b"\x08\x00\xf7\xff\x00\x00\x00\x00", (net.peer("b").address, 0))
            answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(raw, 100), PATIENCE_S)
            assert answer[20:22] == b"\x00\x00"  # behind the IPv4 header: echo reply


async def test_an_unknown_segment_is_refused_and_no_socket_left() -> None:
    async with Network(topology("a")) as net:
        with pytest.raises(RequestError, match="peer a: segment is not in the topology: 'wan'"):
            net.peer("a").socket(segment="wan")


def test_nothing_runs_at_home_in_place_of_a_namespace_that_is_closed() -> None:
    thread = NamespaceThread()
    try:
        namespace = thread.create("x", ())
        namespace.close()
        with pytest.raises(KernelError, match="the namespace x is closed"):
            thread.run(lambda: pytest.fail("ran"), namespace)
    finally:
        thread.close()
    with pytest.raises(RuntimeError, match="closed"):
        thread.run(lambda: None)


# -------------------------------------------------------------------------------- live changes


async def test_peers_and_links_come_and_go() -> None:
    async with Network(topology("a", "b")) as net:
        assert_kernel_matches(net)
        c = await net.add_peer("c")
        assert_kernel_matches(net)
        assert c.address == "10.0.0.3"
        await net.connect("a", "c", Impairment(delay_ms=20), back=Impairment(delay_ms=3))
        assert_kernel_matches(net)
        assert (await net.peer("a").run(["ping", "-c", "1", "-W", "5", "c"])).returncode == 0
        await net.add_link("c", "b", Impairment(rate_kbit=1000))
        assert_kernel_matches(net)
        await net.disconnect("a", "c")
        assert_kernel_matches(net)
        assert set(net.topology.links) == {("a", "b", "lan"), ("b", "a", "lan"), ("c", "b", "lan")}
        await net.remove_peer("b")
        assert_kernel_matches(net)
        assert (await net.add_peer("d")).address == "10.0.0.2"
        assert_kernel_matches(net)
        assert list(net.topology.peers) == ["a", "c", "d"]
        assert [applied.what for applied in net.journal] == [
            "add_peer", "connect", "add_link", "disconnect", "remove_peer", "add_peer",
        ]  # fmt: skip
        assert [applied.revision for applied in net.journal] == [1, 2, 3, 4, 5, 6]


async def test_the_callers_topology_is_its_own() -> None:
    mine = topology("a", "b")
    async with Network(mine) as net:
        mine.add_peer("c")
        await net.remove_peer("b")
        assert list(mine.peers) == ["a", "b", "c"]
        assert list(net.topology.peers) == ["a"]


async def test_the_programs_of_a_removed_peer_die_and_no_others() -> None:
    script = "setsid sleep 1000 & sleep 1000"
    async with Network(topology("a", "b")) as net:
        staying = await net.peer("a").spawn(["sleep", "1000"])
        before = {staying.pid}
        going = await net.peer("b").spawn(["sh", "-c", script])
        await eventually(lambda: len(set(_named("sleep")) - before) == 2, "both sleep")
        sleeping = set(_named("sleep")) - before
        await net.remove_peer("b")
        await eventually(lambda: not [pid for pid in sleeping if lives(pid)], "what was killed is dead")
        assert await asyncio.wait_for(going.wait(), PATIENCE_S) == -signal.SIGKILL
        assert staying.returncode is None
        assert lives(staying.pid)
        with pytest.raises(RequestError, match="peer is not in the topology"):
            net.peer("b")


async def test_what_is_left_of_a_removed_peer_says_so() -> None:
    async with Network(topology("a", "b")) as net:
        b = net.peer("b")
        await net.remove_peer("b")
        with pytest.raises(RequestError, match="peer is not in the topology; the peers are a: 'b'"):
            await b.run(["true"])
        with pytest.raises(LinkemError):
            b.socket()
        assert "removed" in repr(b)


# ----------------------------------------------------------------------------- what is refused


def _ill_typed(value: Any) -> Any:
    return value


REFUSED: dict[str, tuple[Callable[[Network], Awaitable[object]], type[TopologyError], str, object]] = {
    "unknown peer": (lambda net: net.update("a", "z", delay_ms=1), RequestError, "peer", "z"),
    "unknown link": (lambda net: net.update("b", "c", delay_ms=1), RequestError, "link", "b->c"),
    "unknown segment": (lambda net: net.update("a", "b", segment="wan", delay_ms=1), RequestError, "segment", "wan"),
    "unknown field": (lambda net: net.update("a", "b", delay=1), RequestError, "delay", 1),
    "wrong value": (lambda net: net.update("a", "b", loss_pct=130), TopologyError, "loss_pct", 130),
    "no field": (lambda net: net.update("a", "b"), RequestError, "fields", {}),
    "no link": (lambda net: net.update_links({}), RequestError, "links", {}),
    "not a link": (lambda net: net.update_links(_ill_typed({"a->b": {"delay_ms": 1}})), RequestError, "link", "a->b"),
    "not a change": (lambda net: net.update_links(_ill_typed({("a", "b"): 5})), RequestError, "change", 5),
    "one good, one bad": (
        lambda net: net.update_links({("a", "b"): {"delay_ms": 9}, ("b", "a"): {"delay_ms": -1}}),
        TopologyError, "delay_ms", -1,
    ),
    "a link twice": (
        lambda net: net.update_links({("a", "b"): {"delay_ms": 9}, ("a", "b", "lan"): {"loss_pct": 1}}),
        RequestError, "links", ["link a->b", "link a->b"],
    ),
    "remove nobody": (lambda net: net.remove_peer("z"), RequestError, "peer", "z"),
    "connect nobody": (lambda net: net.connect("a", "z"), TopologyError, "peer", "z"),
    "connect twice": (lambda net: net.connect("a", "b"), TopologyError, "link", "a->b"),
    "disconnect nothing": (lambda net: net.disconnect("b", "c"), TopologyError, "link", "b->c"),
    "add twice": (lambda net: net.add_peer("a"), TopologyError, "peer", "a"),
    "partition of one": (lambda net: net.partition({"a"}), RequestError, "partition", 1),
    "partition of nobody": (lambda net: net.partition({"a"}, {"z"}), RequestError, "peer", "z"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
async def test_bad_requests_name_field_rule_and_value_and_send_nothing(case: str) -> None:
    request, kind, field, value = REFUSED[case]
    async with Network(topology("a", "b", "c")) as net:
        sent, links = net.kernel.messages_sent, dict(net.topology.links)
        with pytest.raises(kind) as caught:
            await request(net)
        error = caught.value
        assert (error.field, error.value) == (field, value)
        assert error.rule
        assert str(error).endswith(f"{field} {error.rule}: {value!r}")
        assert net.kernel.messages_sent == sent
        assert net.topology.links == links
        assert len(net.journal) == 0
        assert_kernel_matches(net)


# ---------------------------------------------------------------------------------------- ends


async def test_a_network_runs_once() -> None:
    net = Network(topology("a"))
    async with net:
        with pytest.raises(RuntimeError, match="runs once; this one is running"):
            await net.start()
        assert_kernel_matches(net)
    with pytest.raises(RuntimeError, match="runs once; this one is closed"):
        await net.start()


async def test_closing_twice_or_without_start_is_harmless() -> None:
    net = Network(topology("a"))
    await net.start()
    await asyncio.gather(net.close(), net.close())
    await net.close()
    await Network(topology("a")).close()


async def test_whoever_closes_second_waits_for_the_end_too() -> None:
    net = Network(topology("a"))
    await net.start()
    process = await net.peer("a").spawn(
        ["sh", "-c", "trap '' TERM; echo; while :; do sleep 1; done"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    first = asyncio.create_task(net.close())
    await asyncio.sleep(0.05)
    await net.close()
    assert process.returncode is not None
    await first


@pytest.mark.parametrize("moment_ms", [0, 10, 60])
@pytest.mark.parametrize("fresh", [True, False], ids=["first programs", "later programs"])
async def test_programs_started_while_the_network_closes_end_too(moment_ms: float, fresh: bool) -> None:
    net = Network(topology("a"))
    await net.start()
    if not fresh:
        await net.peer("a").run(["true"])
    starting = [asyncio.create_task(net.peer("a").spawn(["sleep", "1000"], stdout=subprocess.PIPE)) for _ in range(5)]
    await asyncio.sleep(moment_ms / 1000)
    await net.close()
    for result in await asyncio.gather(*starting, return_exceptions=True):
        if isinstance(result, asyncio.subprocess.Process):
            assert await asyncio.wait_for(result.wait(), PATIENCE_S) < 0
        else:
            assert isinstance(result, (KernelError, RuntimeError)), repr(result)
    assert not net.processes.transports


async def test_a_closed_network_says_so() -> None:
    async with Network(topology("a", "b")) as net:
        pass
    assert "closed" in repr(net)
    for request in (
        lambda: net.update("a", "b", delay_ms=1),
        lambda: net.remove_peer("a"),
        lambda: net.add_peer("c"),
        net.heal,
        net.stats,
        lambda: net.peer("a").run(["true"]),
        lambda: net.peer("a").call(int),
    ):
        with pytest.raises(RuntimeError, match="not running but closed"):
            await request()


async def test_an_exception_inside_closes() -> None:
    net = Network(topology("a"))
    processes: list[asyncio.subprocess.Process] = []

    async def use() -> None:
        async with net:
            processes.append(await net.peer("a").spawn(["sleep", "1000"]))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await use()
    assert processes[0].returncode is not None
    assert "closed" in repr(net)


async def test_a_network_closed_while_it_starts_is_closed() -> None:
    net = Network(topology("a", "b"))
    starting = asyncio.create_task(net.start())
    await asyncio.sleep(0)
    await net.close()
    with pytest.raises(RuntimeError, match="was closed while it was starting"):
        await starting
    assert "closed" in repr(net)


async def test_a_forgotten_close_is_told_and_leaves_nothing() -> None:
    net = Network(topology("a"))
    await net.start()
    await net.peer("a").run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &"])
    await eventually(lambda: bool(_named("sleep")), "a program of its own session")
    sleeping = _named("sleep")
    del net
    with pytest.warns(ResourceWarning, match="network 'test' was never closed"):
        gc.collect()
    await eventually(lambda: not [pid for pid in sleeping if lives(pid)], "its programs end")


async def test_networks_one_after_another_and_at_once() -> None:
    for _ in range(3):
        async with Network(topology("a", "b")) as net:
            assert_kernel_matches(net)
    async with Network(topology("a", "b")) as first, Network(topology("a", "b")) as second:
        servers = [await net.peer("b").start_server(echo, port=5000) for net in (first, second)]
        assert len(servers) == 2
        await second.remove_peer("b")
        assert await ask(first.peer("a").open_connection("b", 5000, family=socket.AF_INET)) == "10.0.0.1 hello\n"
        assert_kernel_matches(first)
        assert_kernel_matches(second)


async def test_networks_are_built_concurrently() -> None:
    nets = [Network(topology("a", "b", "c")) for _ in range(3)]
    try:
        await asyncio.gather(*(net.start() for net in nets))
        for net in nets:
            assert_kernel_matches(net)
        results = await asyncio.gather(*(net.peer("a").run(["getent", "hosts", "b"]) for net in nets))
        assert [result.returncode for result in results] == [0, 0, 0]
    finally:
        await asyncio.gather(*(net.close() for net in nets))


@pytest.mark.kernel(*PARTITION_NEEDS)
async def test_changes_asked_for_at_once_all_happen() -> None:
    async with Network(topology("a", "b", "c")) as net:
        await asyncio.gather(
            *(net.update("a", "b", delay_ms=number) for number in range(1, 21)),
            net.add_peer("d"),
            net.connect("b", "c", Impairment(loss_pct=2)),
            net.partition({"a"}, {"b"}),
        )
        assert net.impairment("a", "b").delay_ms == 20
        assert [applied.revision for applied in net.journal] == list(range(1, 24))
        assert_kernel_matches(net)
        await net.heal()
        assert_kernel_matches(net)


# -------------------------------------------------------------------------------- cancellation


def moments_ms(longest: float) -> list[float]:
    """Moments close together at first, then further apart."""
    return [0, *(round(longest * 0.4**power, 2) for power in range(6))]


@pytest.mark.parametrize("moment_ms", moments_ms(200))
@pytest.mark.parametrize("times", [1, 2])
async def test_a_start_that_is_cancelled_leaves_nothing(moment_ms: float, times: int) -> None:
    net = Network(topology("a", "b", "c", "d", "e"))
    task = asyncio.create_task(net.start())
    await asyncio.sleep(moment_ms / 1000)
    cancelled = task.cancel()
    if times == 2:
        await asyncio.sleep(0)
        task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        assert cancelled
        assert "closed" in repr(net)
    else:
        assert_kernel_matches(net)
    await net.close()


CHANGES: dict[str, Callable[[Network], Awaitable[object]]] = {
    "update": lambda net: net.update("a", "b", delay_ms=77, loss_pct=3),
    "connect": lambda net: net.connect("b", "c", Impairment(rate_kbit=500)),
    "disconnect": lambda net: net.disconnect("a", "b"),
    "add_peer": lambda net: net.add_peer("d"),
    "remove_peer": lambda net: net.remove_peer("b"),
    "partition": lambda net: net.partition({"a"}, {"b", "c"}),
}


@pytest.mark.kernel(*PARTITION_NEEDS)
@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_that_is_cancelled_happens_wholly_or_not_at_all(change: str) -> None:
    outcomes = set()
    for moment_ms in (0, 0.3, 1, 3):
        for times in (1, 2):
            async with Network(topology("a", "b", "c")) as net:
                task = asyncio.ensure_future(CHANGES[change](net))
                await asyncio.sleep(moment_ms / 1000)
                task.cancel()
                if times == 2:
                    await asyncio.sleep(0)
                    task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                assert_kernel_matches(net)
                assert len(net.journal) <= 1
                outcomes.add(len(net.journal))
                # The network is none the worse for it.
                await net.add_peer("later")
                assert_kernel_matches(net)
    assert outcomes <= {0, 1}


@pytest.mark.parametrize("moment_ms", [0, 5, 100, 400])
@pytest.mark.parametrize("times", [1, 3])
async def test_a_close_that_is_cancelled_is_carried_through(moment_ms: float, times: int) -> None:
    net = Network(topology("a", "b"))
    await net.start()
    process = await net.peer("a").spawn(
        ["sh", "-c", "trap '' TERM; echo; while :; do sleep 1; done"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    task = asyncio.create_task(net.close())
    await asyncio.sleep(moment_ms / 1000)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert process.returncode is not None
    assert "closed" in repr(net)
    await net.close()


# --------------------------------------------------------------------------------- other users


UNPRIVILEGED = """
import asyncio, os, sys
from linkem_py import Network, Topology
from linkem_py.kernel import probe, driver, namespaces
from linkem_py.errors import PrivilegeError
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
made = Topology("test")
made.add_peer("a")
async def main():
    try:
        async with Network(made):
            print("ran")
    except PrivilegeError as error:
        print("PrivilegeError:", error)
asyncio.run(main())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="gives privileges up, so it needs some")
async def test_without_privileges_the_error_names_the_command_to_use() -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", UNPRIVILEGED, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    out, _ = await asyncio.wait_for(child.communicate(), 60)
    assert out.decode().startswith("PrivilegeError: "), out.decode()
    assert "sudo" in out.decode()
    assert "linkem guest -- COMMAND" in out.decode()
    assert child.returncode == 0


# ------------------------------------------------------------------------- what helps the rest


async def test_to_the_end_waits_whatever_the_cancellations() -> None:
    done = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(processes.to_the_end(done))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    done.set_exception(ZeroDivisionError())
    with pytest.raises(asyncio.CancelledError):
        await task
