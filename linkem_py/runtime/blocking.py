"""A running network for programs without asyncio: its event loop runs on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import socket as net_socket  # a class below has a method of that name
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from linkem_py.errors import ToolMissingError
from linkem_py.model.topology import DEFAULT_SEGMENT
from linkem_py.runtime import sockets
from linkem_py.runtime.loop import new_event_loop
from linkem_py.runtime.network import Network
from linkem_py.runtime.peer import NetworkPeer

if TYPE_CHECKING:
    from linkem_py.model.access import DownlinkPlace
    from linkem_py.model.capabilities import Capabilities
    from linkem_py.model.impairment import Impairment
    from linkem_py.model.topology import Placement, Topology
    from linkem_py.runtime.captures import Capture
    from linkem_py.runtime.changes import Applied
    from linkem_py.runtime.journal import Journal, Listener

P = ParamSpec("P")
T = TypeVar("T")

_GRACE_S = 0.5  # how long programs may take to end at a SIGTERM before they are killed


def _of_network(
    method: Callable[Concatenate[Network, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[BlockingNetwork, P], T]:
    """A coroutine method of `Network` that blocks instead."""

    @functools.wraps(method)
    def call(self: BlockingNetwork, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.wait(method(self.network, *args, **kwargs))

    return call


def _of_peer(
    method: Callable[Concatenate[NetworkPeer, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[BlockingPeer, P], T]:
    """A coroutine method of `NetworkPeer` that blocks instead."""

    @functools.wraps(method)
    def call(self: BlockingPeer, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.blocking.wait(method(self.peer, *args, **kwargs))

    return call


class BlockingNetwork:
    """A network whose coroutines are ordinary methods: ``with Network.blocking(topology) as net``.

    Every method has the name, parameters and errors of `Network`'s. ctrl-C while one waits cancels
    it and raises KeyboardInterrupt; changes remain all or nothing. Methods may be called from any
    thread but the network's own, on which listeners and the handlers of servers run.

    Attributes
    ----------
    network : the `Network` itself; its coroutines run by `wait`
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.programs: list[subprocess.Popen[Any]] = []  # as `BlockingPeer.spawn` has started them
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    # --- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Build the network. Leaves nothing behind if it fails or is interrupted."""
        if self._loop is not None or self._closed:
            raise RuntimeError(f"a Network runs once; this one is {'closed' if self._closed else 'running'}")
        self._loop = new_event_loop()
        name = f"linkem-{self.network.topology.name}"
        self._thread = threading.Thread(target=_serve, args=[self._loop], name=name, daemon=True)
        self._thread.start()
        try:
            self.wait(self.network.start())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Take everything away, programs included. Closing twice is harmless."""
        loop, self._loop = self._loop, None
        self._closed = True
        if loop is None or self._thread is None:
            return
        with contextlib.ExitStack() as stack:
            stack.callback(self._thread.join)
            stack.callback(loop.call_soon_threadsafe, loop.stop)
            stack.callback(lambda: _wait(loop, self.network.close(), to_the_end=True))
            stack.callback(_end, self.programs)

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What a coroutine returns that is run on the network's thread."""
        if self._loop is None or threading.current_thread() is self._thread:
            coroutine.close()
            if self._loop is None:
                state = "closed" if self._closed else "new"
                raise RuntimeError(f"network {self.network.topology.name!r} is not running but {state}")
            raise RuntimeError("the network's own thread cannot wait for the network")
        return _wait(self._loop, coroutine)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        loop = getattr(self, "_loop", None)
        if loop is not None:
            warnings.warn(
                f"network {self.network.topology.name!r} was never closed", ResourceWarning, source=self, stacklevel=1
            )
            # Nobody may be kept waiting by the garbage collector, which may run on any thread.
            asyncio.run_coroutine_threadsafe(_close_and_stop(self.network, self.programs, loop), loop)

    def __repr__(self) -> str:
        return repr(self.network).replace("<Network", "<BlockingNetwork", 1)

    # --- looking -------------------------------------------------------------------------------

    @property
    def topology(self) -> Topology:
        """The network's own view of its topology."""
        return self.network.topology

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.network.seed

    @property
    def capabilities(self) -> Capabilities:
        """What the kernel at hand can do."""
        return self.network.capabilities

    @property
    def notes(self) -> tuple[str, ...]:
        """What the kernel cannot do of what the topology sets."""
        return self.network.notes

    @property
    def journal(self) -> Journal:
        """The last changes, oldest first."""
        return self.network.journal

    @property
    def started_at(self) -> float:
        """When the network was ready, in seconds since the epoch."""
        return self.network.started_at

    @property
    def names(self) -> Mapping[str, tuple[str, ...]]:
        """Addresses by peer name in lower case."""
        return self.network.names

    @property
    def groups(self) -> tuple[frozenset[str], ...]:
        """The groups of the partition in force; empty if there is none."""
        return self.network.groups

    @property
    def revision(self) -> int:
        """Counts the changes; 0 before any."""
        return self.network.revision

    @property
    def peers(self) -> Mapping[str, BlockingPeer]:
        """All peers by name."""
        return {name: BlockingPeer(self, peer) for name, peer in self.network.peers.items()}

    def peer(self, name: str) -> BlockingPeer:
        """A peer by its name."""
        return BlockingPeer(self, self.network.peer(name))

    def impairment(self, source: str, destination: str, **where: Any) -> Impairment:
        """The impairment of a link in force. `where` as for `Network.impairment`."""
        return self.network.impairment(source, destination, **where)

    @property
    def without_carrier(self) -> tuple[tuple[str, str], ...]:
        """(peer, segment) of the interfaces whose carrier was taken away, in order."""
        return self.network.without_carrier

    def link_revision(self, key: tuple[str, ...]) -> tuple[int, float]:
        """Revision and time of a link's last change."""
        return self.network.link_revision(key)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have every change told, on the network's thread. Returns what ends that."""
        return self.network.subscribe(listener)

    def on_close(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have `listener` called, on the network's thread, when the network begins to close."""
        return self.network.on_close(listener)

    stats = _of_network(Network.stats)

    # --- changing ------------------------------------------------------------------------------

    def update(self, source: str, destination: str, *, segment: str = DEFAULT_SEGMENT, **fields: Any) -> Applied:
        """Change what is named of one link; None takes a setting away."""
        return self.wait(self.network.update(source, destination, segment=segment, **fields))

    update_links = _of_network(Network.update_links)
    update_batches = _of_network(Network.update_batches)
    clear = _of_network(Network.clear)
    set_schedule = _of_network(Network.set_schedule)
    set_schedules = _of_network(Network.set_schedules)
    set_cross_traffic = _of_network(Network.set_cross_traffic)
    connect = _of_network(Network.connect)
    add_link = _of_network(Network.add_link)
    disconnect = _of_network(Network.disconnect)
    down = _of_network(Network.down)
    up = _of_network(Network.up)
    carrier = _of_network(Network.carrier)
    readdress = _of_network(Network.readdress)
    join = _of_network(Network.join)
    leave = _of_network(Network.leave)
    remove_peer = _of_network(Network.remove_peer)
    partition = _of_network(Network.partition)
    heal = _of_network(Network.heal)
    replay = _of_network(Network.replay)

    def add_peer(
        self,
        name: str,
        *,
        placement: Placement | None = None,
        uplink_kbit: float | None = None,
        downlink_kbit: float | None = None,
        downlink_at: DownlinkPlace | None = None,
        queue_ms: float | None = None,
    ) -> BlockingPeer:
        """Add a peer, without links; the rest is as `Topology.add_peer` has it."""
        access: dict[str, Any] = {"uplink_kbit": uplink_kbit, "downlink_kbit": downlink_kbit}
        access |= {"downlink_at": downlink_at, "queue_ms": queue_ms}
        return BlockingPeer(self, self.wait(self.network.add_peer(name, placement=placement, **access)))

    def set_access(self, name: str, *, segment: str = DEFAULT_SEGMENT, **fields: Any) -> Applied:
        """Change what is named of a peer's access link; None takes a setting away."""
        return self.wait(self.network.set_access(name, segment=segment, **fields))


class BlockingPeer:
    """A peer of a blocking network, from `BlockingNetwork.peer`.

    Attributes
    ----------
    peer : the `NetworkPeer` itself
    blocking : the network
    """

    def __init__(self, blocking: BlockingNetwork, peer: NetworkPeer) -> None:
        self.blocking = blocking
        self.peer = peer
        self.name = peer.name

    @property
    def address(self) -> str:
        """The first IPv4 address."""
        return self.peer.address

    @property
    def addresses(self) -> Mapping[str, tuple[str, ...]]:
        """Addresses by segment, IPv4 first, then IPv6."""
        return self.peer.addresses

    def interface(self, *segment: str) -> str:
        """Name of the interface on a segment, such as ``eth0``."""
        return self.peer.interface(*segment)

    run = _of_peer(NetworkPeer.run)
    call = _of_peer(NetworkPeer.call)
    inspect = _of_peer(NetworkPeer.inspect)

    def start_server(
        self, handler: sockets.Handler, host: str | None = None, port: int = 0, **options: Any
    ) -> asyncio.Server:
        """As `NetworkPeer.start_server`. The handler is a coroutine function, and runs on the network's thread."""
        return self.blocking.wait(self.peer.start_server(handler, host, port, **options))

    def spawn(self, arguments: Sequence[str | os.PathLike[str]], **options: Any) -> subprocess.Popen[Any]:
        """Start a program in the peer, as `subprocess.Popen` does. `options` are its own.

        It, and all that it starts, ends with the network at the latest. Peers' names resolve in it.
        Raises `ToolMissingError` if there is no such program.
        """
        if isinstance(arguments, str) or not arguments:
            raise TypeError("a program is given as a list of strings, its name first")
        command = [os.fspath(argument) for argument in arguments]
        network = self.blocking.network
        try:
            program = network.processes.popen(network.namespace(self.name), command, **options).result()
        except FileNotFoundError as error:
            if error.filename not in (None, command[0]) or shutil.which(command[0]) is not None:
                raise
            raise ToolMissingError(f"peer {self.name}: there is no program {command[0]!r} on this machine") from error
        self.blocking.programs.append(program)
        return program

    @contextlib.contextmanager
    def capture(self, file: str | os.PathLike[str] | int, **options: Any) -> Iterator[Capture]:
        """As `NetworkPeer.capture`: ``with eu.capture("eu.pcapng") as capture: ...``."""
        capture = self.peer.capture(file, **options)
        self.blocking.wait(capture.start())
        try:
            yield capture
        finally:
            with contextlib.suppress(RuntimeError):  # the network is closed, and the capture with it
                self.blocking.wait(capture.stop())

    def socket(
        self, family: int = net_socket.AF_INET, kind: int = net_socket.SOCK_STREAM, proto: int = 0, **where: Any
    ) -> net_socket.socket:
        """A socket of any kind, made in the peer's namespace. `where` as for `NetworkPeer.socket`."""
        return self.peer.socket(family, kind, proto, **where)

    def open_connection(
        self,
        host: str,
        port: int,
        *,
        family: int = net_socket.AF_UNSPEC,
        segment: str | None = None,
        timeout_s: float | None = None,
    ) -> net_socket.socket:
        """A connected socket, as `socket.create_connection` makes them, from the peer.

        `host` as for `NetworkPeer.open_connection`; `timeout_s` is also the socket's from then on.
        """
        names = self.blocking.names
        if segment is not None and f"{host}.{segment}".lower() in names:
            host = f"{host}.{segment}"
        found, address = sockets.resolve(host, names, family)
        sock = self.peer.socket(found, net_socket.SOCK_STREAM, segment=segment)
        try:
            sock.settimeout(timeout_s)
            sock.connect((address, port))
        except BaseException:
            sock.close()
            raise
        return sock

    def __repr__(self) -> str:
        return repr(self.peer).replace("<NetworkPeer", "<BlockingPeer", 1)


def _wait(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T], *, to_the_end: bool = False) -> T:
    """Run a coroutine on another thread's loop. Whoever is interrupted cancels it, and leaves when it has ended."""
    ended = threading.Event()

    async def run() -> T:
        try:
            return await coroutine
        finally:
            ended.set()

    future = asyncio.run_coroutine_threadsafe(run(), loop)
    try:
        return future.result()
    except BaseException:
        if not ended.is_set():
            if not to_the_end:
                future.cancel()
            ended.wait()
        raise


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    # A function of its own: a thread that knew the network would keep it from being collected.
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.get_loop().run_forever()


async def _close_and_stop(
    network: Network, programs: Sequence[subprocess.Popen[Any]], loop: asyncio.AbstractEventLoop
) -> None:
    try:
        _end(programs)
        await network.close()
    finally:
        loop.call_soon(loop.stop)


def _end(programs: Sequence[subprocess.Popen[Any]]) -> None:
    """SIGTERM, half a second, SIGKILL; let go of their pipes.

    The PID namespace, and so the network, ends only after whoever has started a program has waited for it.
    """
    running = [program for program in programs if program.poll() is None]
    for program in running:
        program.terminate()
    deadline = time.monotonic() + _GRACE_S
    for program in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(max(0.0, deadline - time.monotonic()))
    for program in programs:
        program.kill()  # nothing happens to those that have ended
        program.wait()
        for stream in (program.stdin, program.stdout, program.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):  # what was never read is lost with its reader
                    stream.close()
