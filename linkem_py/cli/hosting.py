"""Owns a network that stays up: the network itself, its names, its control socket, its MQTT."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from linkem_py.cli import described
from linkem_py.cli.console import notice
from linkem_py.cli.kernel_choice import Place
from linkem_py.cli.start import Start
from linkem_py.control.names import NamespaceNameError, NamespaceNames
from linkem_py.control.registry import RUNNING, Claim
from linkem_py.control.server import Server
from linkem_py.control.station import Station
from linkem_py.errors import GuestError
from linkem_py.plan.objects import HUB

if TYPE_CHECKING:
    from linkem_py.control.program import Programs
    from linkem_py.control.wire.states import Description
    from linkem_py.runtime import Applied, Network

EMBEDDED = "embedded"

T = TypeVar("T")
Show = Callable[[Station, dict[str, Any]], Awaitable[None]]
Perform = Callable[[], Awaitable[dict[str, Any]]]


@attrs.frozen
class Hosted:
    """A network that runs, wherever that is.

    Attributes
    ----------
    programs : runs programs in its peers
    named : its namespaces have names
    perform : replays the recording that it was brought up for, and says how it went; None without one
    """

    station: Station
    programs: Programs
    named: bool = False
    perform: Perform | None = None


async def host(
    claim: Claim, start: Start, options: argparse.Namespace, *, duration_s: float | None, show: Show
) -> dict[str, Any] | None:
    """Bring the network up and keep it until SIGINT, SIGTERM, a client's ``down`` or the end of its time; a replay
    without a `duration_s` until the recording's end.

    `show` is called once all is ready, with the station and the facts of the network; it goes on showing until it is
    cancelled, or it returns at once. Returns how the replay went, if it came to its end.
    Raises what starting raises, `GuestError` if the guest dies, and CancelledError for a signal before all is ready.
    """
    owner = asyncio.current_task()
    assert owner is not None
    end: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # why, if nobody asked for it

    def stop() -> None:
        if not end.done():
            end.set_result("")

    ready = False

    def interrupted() -> None:
        stop()
        if not ready:
            owner.cancel()

    async with AsyncExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, interrupted)
        hosted = await _open(stack, claim, start, options, end)
        facts = await _open_surfaces(stack, claim, hosted, options, stop)
        ready = True
        async with asyncio.TaskGroup() as group:
            showing = group.create_task(_awaited(show(hosted.station, facts)))
            playing = None if hosted.perform is None else group.create_task(_awaited(hosted.perform()))
            if playing is not None and duration_s is None:
                playing.add_done_callback(lambda _: stop())
            await asyncio.wait([end], timeout=duration_s)
            showing.cancel()
            if playing is not None:
                playing.cancel()
    if end.done() and (reason := end.result()):
        raise GuestError(reason)
    return None if playing is None or playing.cancelled() else playing.result()


async def _awaited(work: Awaitable[T]) -> T:
    return await work


async def _open(
    stack: AsyncExitStack, claim: Claim, start: Start, options: argparse.Namespace, end: asyncio.Future[str]
) -> Hosted:
    if start.decision.place is Place.GUEST:
        return await _open_guest(stack, claim, start, options, end)
    from linkem_py.control.local import LocalStation
    from linkem_py.control.programs import LocalPrograms
    from linkem_py.runtime import Network

    net = await stack.enter_async_context(
        Network(start.topology, seed=options.seed, record=options.record, record_stats_s=options.record_stats)
    )
    station = await stack.enter_async_context(LocalStation(net, name=claim.name))
    named = False
    if start.decision.place is Place.HERE:
        named = open_names(stack, claim, net, station.notice, quiet=options.quiet or options.json)
    else:
        notice(
            "the namespaces have no names under /run/netns, because this is a user namespace: "
            f"linkem exec {claim.name} PEER -- COMMAND runs a command in a peer",
            quiet=options.quiet or options.json,
        )
    return Hosted(station, LocalPrograms(net), named, _replay(net, start, options, station.notice))


def _replay(net: Network, start: Start, options: argparse.Namespace, tell: Callable[[str], None]) -> Perform | None:
    recording = start.recording
    if recording is None:
        return None
    from linkem_py.cli.replay import perform

    return lambda: perform(net, recording, options.speed, tell)


async def _open_guest(
    stack: AsyncExitStack, claim: Claim, start: Start, options: argparse.Namespace, end: asyncio.Future[str]
) -> Hosted:
    from linkem_py.control.guest import GuestNetwork

    kernel = start.decision.guest
    guest = await stack.enter_async_context(
        GuestNetwork(
            None,
            arguments=described.words(options),
            seed=options.seed,
            name=claim.name,
            kernel=None if kernel is None else str(kernel.path),
            memory=options.memory,
            inside=_inside(options, start),
            tell=notice,
        )
    )

    def ended(future: asyncio.Future[str]) -> None:
        if not end.done() and not future.cancelled():
            end.set_result(future.result() or "the guest kernel has ended")

    guest.ended.add_done_callback(ended)
    stack.callback(guest.ended.remove_done_callback, ended)  # when it is we who end it
    return Hosted(guest.station, guest.station, perform=None if start.recording is None else guest.perform)


def _inside(options: argparse.Namespace, start: Start) -> list[str]:
    """What else the network's own command line in the guest has."""
    words = []
    if options.record is not None:
        words += [f"--record={options.record}", f"--record-stats={options.record_stats or 0}"]
    if start.recording is not None:
        words += ["--replay", f"--speed={options.speed}"]
    return words


# --- names ---------------------------------------------------------------------------------------


def open_names(stack: AsyncExitStack, claim: Claim, net: Network, tell: Callable[[str], None], *, quiet: bool) -> bool:
    """Name the namespaces, now and as peers come and go. False where that is not allowed."""
    names = NamespaceNames(claim.name, lambda named: claim.update(namespaces=named))
    stack.enter_context(names)
    found = {peer: net.namespace(peer).fd for peer in net.topology.peers}
    try:
        names.add({"": net.kernel.namespaces[HUB].fd, **found})
    except OSError as error:
        notice(f"the namespaces have no names under /run/netns: {error.strerror}", quiet=quiet)
        return False

    def follow(applied: Applied) -> None:
        try:
            if applied.what == "add_peer" and applied.peer is not None:
                names.add({applied.peer: net.namespace(applied.peer).fd})
            elif applied.what == "remove_peer" and applied.peer is not None:
                names.discard(applied.peer)
        except (NamespaceNameError, OSError) as error:
            tell(f"peer {applied.peer}: its namespace's name: {error}")

    stack.callback(net.subscribe(follow))
    return True


# --- surfaces ------------------------------------------------------------------------------------


async def _open_surfaces(
    stack: AsyncExitStack, claim: Claim, hosted: Hosted, options: argparse.Namespace, stop: Callable[[], None]
) -> dict[str, Any]:
    server = await stack.enter_async_context(
        Server(hosted.station, name=claim.name, programs=hosted.programs, on_down=stop)
    )
    await server.listen_unix(claim.socket)
    mqtt = await _open_mqtt(stack, claim, hosted.station, options) if options.mqtt is not None else []
    metrics = await _open_metrics(stack, hosted.station, options.metrics) if options.metrics is not None else ""
    description = await hosted.station.describe()
    claim.update(
        state=RUNNING,
        started_at=description.started_at,
        kernel=description.release,
        peers=tuple(description.peers),
        links=len(description.links),
        mqtt=mqtt[0] if mqtt else "",
    )
    topics = f"{options.mqtt_prefix}/{claim.name}"
    return _facts(claim, description, mqtt, topics, named=hosted.named) | {"metrics": metrics}


async def _open_metrics(stack: AsyncExitStack, station: Station, where: tuple[str, int]) -> str:
    """The URL."""
    from linkem_py.control.metrics import Metrics

    host, port = where
    return (await stack.enter_async_context(Metrics(station, host=host, port=port))).url


async def _open_mqtt(stack: AsyncExitStack, claim: Claim, station: Station, options: argparse.Namespace) -> list[str]:
    """The broker's addresses, without what is secret in them."""
    from linkem_py.control.mqtt import EmbeddedBroker, MqttControl

    url, addresses = options.mqtt, []
    if url == EMBEDDED:
        broker = await stack.enter_async_context(EmbeddedBroker())
        url = broker.control_url
        addresses = [broker.url, broker.websocket_url]
    control = await stack.enter_async_context(
        MqttControl(station, url, prefix=options.mqtt_prefix, name=claim.name, stats_interval_s=options.stats_interval)
    )
    return addresses or [str(control.url)]


def _facts(claim: Claim, description: Description, mqtt: list[str], topics: str, *, named: bool) -> dict[str, Any]:
    """What to tell whoever brought the network up."""
    from linkem_py.control.wire.reports import gateway_json

    return {
        "name": claim.name,
        "topology": description.topology,
        "pid": claim.record.pid,
        "place": claim.record.place,
        "kernel": description.release,
        "seed": description.seed,
        "notes": list(description.notes),
        "peers": {
            name: {segment: list(found) for segment, found in addresses.items()}
            for name, addresses in description.peers.items()
        },
        "links": len(description.links),
        "gateways": [gateway_json(found) for found in description.gateways],
        "socket": str(claim.socket),
        "mqtt": mqtt,
        "topics": topics if mqtt else "",
        "named": named,
    }
