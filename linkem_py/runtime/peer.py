"""A peer of a running network: its addresses, programs, sockets."""

from __future__ import annotations

import asyncio
import os
import socket as net_socket  # the class below has a method of that name
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, TypeVar

from linkem_py.errors import PeerProcessError, RequestError
from linkem_py.kernel.packet_ring import MOST_BYTES
from linkem_py.model.topology import DEFAULT_SEGMENT
from linkem_py.plan import addressing
from linkem_py.runtime import inspection, processes, sockets
from linkem_py.runtime.captures import Capture

if TYPE_CHECKING:
    from linkem_py.kernel.namespaces import Namespace
    from linkem_py.runtime.network import Network

T = TypeVar("T")


class NetworkPeer:
    """A peer of a running network, from `Network.peer`. It is of no use once the peer is removed."""

    def __init__(self, network: Network, name: str) -> None:
        self._network = network
        self.name = name

    # --- who it is -----------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """The first IPv4 address: on the first of its segments. Raises `RequestError` if it is on none."""
        for addresses in self.addresses.values():
            return addresses[0]
        raise RequestError("peer", "is on no segment", self.name)

    @property
    def addresses(self) -> Mapping[str, tuple[str, ...]]:
        """Addresses on the segments that the peer is on, by segment: IPv4 first, then IPv6."""
        topology = self._network.topology
        peer = topology.peer(self.name)
        return MappingProxyType(
            {segment.name: addressing.addresses(segment, peer) for segment in topology.segments_of(self.name)}
        )

    def interface(self, segment: str = DEFAULT_SEGMENT) -> str:
        """Name of the interface on a segment, such as ``eth0``. Raises `RequestError` if it is not on it."""
        return addressing.interface(self._network.topology.segments[self._segment(segment)])

    # --- programs ------------------------------------------------------------------------------

    async def spawn(
        self,
        arguments: Sequence[str | os.PathLike[str]],
        *,
        stdin: int | IO[Any] | None = None,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> asyncio.subprocess.Process:
        """Start a program in the peer, as `asyncio.create_subprocess_exec` does.

        It, and all that it starts, ends with the network at the latest, even if this process is
        killed. Peers' names resolve in it. Raises `ToolMissingError` if there is no such program.
        """
        command = [os.fspath(argument) for argument in arguments]
        return await processes.spawn(
            self._network.processes, self._namespace, command,
            stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd, env=env, **options,
        )  # fmt: skip

    async def run(
        self,
        arguments: Sequence[str | os.PathLike[str]],
        *,
        input: str | bytes | None = None,  # noqa: A002 - as subprocess.run has it
        capture_output: bool = True,
        text: bool = True,
        check: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - as subprocess.run has it
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[Any]:
        """Run a program in the peer to its end, as `subprocess.run` does, its output captured as text.

        Raises `subprocess.TimeoutExpired` (it is killed then), `PeerProcessError` with `check` if
        its status is not 0, and `ToolMissingError`.
        """
        command = [os.fspath(argument) for argument in arguments]
        pipe = subprocess.PIPE if capture_output else None
        process = await self.spawn(
            command, stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
            stdout=pipe, stderr=pipe, cwd=cwd, env=env,
        )  # fmt: skip
        data = input.encode() if isinstance(input, str) else input
        try:
            out, err = await asyncio.wait_for(process.communicate(data), timeout)
        except TimeoutError as error:
            raise subprocess.TimeoutExpired(command, timeout or 0.0) from error
        finally:
            await processes.end(process)
        status = process.returncode
        assert status is not None
        outputs = [stream.decode(errors="replace") if text and stream is not None else stream for stream in (out, err)]
        if check and status:
            words = (err or out or b"").decode(errors="replace").strip()
            raise PeerProcessError(f"peer {self.name}: {' '.join(command)} ended with status {status}: {words}")
        return subprocess.CompletedProcess(command, status, *outputs)

    async def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """What a function returns that is run on a thread in the peer's namespace.

        Sockets that it makes are the peer's; peers' names resolve. A thread cannot be ended from
        outside: a function that never returns outlives the network.
        """
        future = self._network.processes.call(self._namespace, lambda: function(*args, **kwargs))
        return await asyncio.wrap_future(future)

    async def inspect(self) -> dict[str, list[dict[str, Any]]]:
        """What the kernel has in the peer: links, addresses, routes, rules, neighbours, qdiscs, classes.

        As pyroute2 decodes it. To change such things beside the topology, use pyroute2 through
        `call`: ``await eu.call(lambda: IPRoute().route("add", dst="192.0.2.0/24", gateway="10.0.0.2"))``.
        """
        return await self.call(inspection.look)

    def capture(
        self,
        file: str | os.PathLike[str] | int,
        *,
        segment: str | None = None,
        snaplen: int = MOST_BYTES,
        filter: str | None = None,  # noqa: A002 - as everybody calls it
        count: int | None = None,
    ) -> Capture:
        """What the peer's interfaces see, before and after their queues, as a pcapng file: see `Capture`.

        ``async with eu.capture("eu.pcapng") as capture: ...``. Raises `RequestError`.
        """
        return Capture(self._network, self.name, file, segment=segment, snaplen=snaplen, filter=filter, count=count)

    # --- sockets -------------------------------------------------------------------------------

    def socket(
        self,
        family: int = net_socket.AF_INET,
        kind: int = net_socket.SOCK_STREAM,
        proto: int = 0,
        *,
        segment: str | None = None,
    ) -> net_socket.socket:
        """A socket of any kind, made in the peer's namespace. With a segment: bound to the address there.

        What is sent from such an address leaves by that segment, whichever of a peer's addresses it goes to.
        """
        sock = self._make(family, kind, proto)
        if segment is not None:
            try:
                own = self.addresses[self._segment(segment)]
                _, address = sockets.resolve(own[0 if family == net_socket.AF_INET else -1], {}, family)
                sock.bind((address, 0))
            except BaseException:
                sock.close()
                raise
        return sock

    async def open_connection(
        self, host: str, port: int, *, family: int = net_socket.AF_UNSPEC, segment: str | None = None, **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """As `asyncio.open_connection`, from the peer.

        `host` is a peer's name, a name on a segment (``studio.lte``) or an address; with a `segment` it
        goes from the address there, and a mere name means the other's address there.
        """
        names = self._network.names
        if segment is not None and f"{host}.{self._segment(segment)}".lower() in names:
            host = f"{host}.{segment}"
        found, address = sockets.resolve(host, names, family)
        local = None
        if segment is not None:
            own = self.addresses[self._segment(segment)]
            local = (*sockets.resolve(own[0 if found == net_socket.AF_INET else -1], {}, found), 0)
        return await sockets.open_connection(self._make, found, address, port, local, **options)

    async def start_server(
        self, handler: sockets.Handler, host: str | None = None, port: int = 0, **options: Any
    ) -> asyncio.Server:
        """As `asyncio.start_server`, in the peer; closed with the network at the latest, and with it
        every handler that still runs is cancelled.

        `host` is an address, a peer's name or its name on a segment (``studio.lte``); by default
        all IPv4 addresses of the peer (``"::"``
        is all IPv6 ones). `port` 0 takes a free one: ``server.sockets[0].getsockname()``.
        """
        family, address = sockets.resolve(host if host is not None else "0.0.0.0", self._network.names, 0)
        handler = self._network.handlers.tracked(handler)
        server = await sockets.start_server(self._make, handler, family, address, port, **options)
        self._network.servers.append((self.name, server))
        return server

    def __repr__(self) -> str:
        try:
            return f"<NetworkPeer {self.name!r} {self.address}>"
        except RequestError:
            return f"<NetworkPeer {self.name!r}, on no segment>"
        except ValueError:
            return f"<NetworkPeer {self.name!r}, removed>"

    def _make(self, family: int, kind: int, proto: int) -> net_socket.socket:
        make = partial(net_socket.socket, family, kind, proto)
        return self._network.kernel.run_in(self._namespace.name, make)

    def _segment(self, segment: str) -> str:
        topology = self._network.topology
        if segment not in topology.segments:
            raise RequestError("segment", "is not in the topology", segment, where=f"peer {self.name}")
        if not topology.is_on(self.name, segment):
            raise RequestError("segment", "is not one that the peer is on", segment, where=f"peer {self.name}")
        return segment

    @property
    def _namespace(self) -> Namespace:
        return self._network.namespace(self.name)
