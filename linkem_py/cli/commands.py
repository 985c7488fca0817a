"""Runs a command in the peers of a network."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import IO, Any

import attrs

from linkem_py.cli.console import notice, print_json
from linkem_py.errors import ToolMissingError
from linkem_py.model import Topology, format_duration
from linkem_py.runtime import Network, NetworkPeer

PEER_VARIABLE = "LINKEM_PEER"
TIME_UP, NO_PROGRAM = 124, 127  # as timeout(1) and shells have it
_CHUNK = 65536


@attrs.frozen
class Ended:
    """How a command ended in a peer; its output if that was asked for."""

    status: int
    stdout: str = ""
    stderr: str = ""


Runner = Callable[[NetworkPeer], Coroutine[Any, Any, Ended]]


async def run_command(topology: Topology, options: argparse.Namespace, duration_s: float | None) -> int:
    """Run `options.command` in every peer, or in `options.peer`. Returns the worst exit status."""
    async with Network(
        topology, seed=options.seed, record=options.record, record_stats_s=options.record_stats
    ) as network:
        quiet = options.quiet or options.json
        for note in network.notes:
            notice(note, quiet=quiet)
        peers = [network.peer(options.peer)] if options.peer is not None else list(network.peers.values())
        runner = _runner(peers, options.command, capture=options.json)
        ends = await asyncio.gather(*(_bounded(runner(peer), duration_s) for peer in peers))
        ended = {peer.name: end for peer, end in zip(peers, ends, strict=True)}
        late = [name for name, end in ended.items() if end.status == TIME_UP]
        if late and duration_s is not None:
            notice(f"time was up after {format_duration(duration_s)} in {', '.join(late)}", quiet=quiet)
    if options.json:
        print_json(
            {
                "topology": network.topology.name,
                "release": network.capabilities.release,
                "seed": network.seed,
                "notes": list(network.notes),
                "peers": {name: attrs.asdict(end) for name, end in ended.items()},
            }
        )
    return worst([end.status for end in ended.values()])


def worst(statuses: Sequence[int]) -> int:
    """The exit status for several: the highest; 0 if there is none."""
    return max(statuses, default=0)


def status_of(returncode: int) -> int:
    """A process's return code as shells have it: 128 + N if signal N ended it."""
    return 128 - returncode if returncode < 0 else returncode


def _runner(peers: Sequence[NetworkPeer], command: Sequence[str], *, capture: bool) -> Runner:
    """How the command is run in each of these peers."""
    if capture:
        return lambda peer: _captured(peer, command)
    if len(peers) == 1:
        return lambda peer: _as_it_is(peer, command)
    width = max((len(peer.name) for peer in peers), default=0)
    return lambda peer: _prefixed(peer, command, f"{peer.name:<{width}} | ".encode())


async def _bounded(running: Coroutine[Any, Any, Ended], duration_s: float | None) -> Ended:
    try:
        async with asyncio.timeout(duration_s):
            return await running
    except TimeoutError:
        return Ended(TIME_UP)  # what still runs ends with the network


def _environment(peer: NetworkPeer) -> dict[str, str]:
    return {**os.environ, PEER_VARIABLE: peer.name}


async def _captured(peer: NetworkPeer, command: Sequence[str]) -> Ended:
    try:
        done = await peer.run(command, env=_environment(peer))
    except ToolMissingError as error:
        return Ended(NO_PROGRAM, "", f"{error}\n")
    return Ended(status_of(done.returncode), done.stdout, done.stderr)


async def _as_it_is(peer: NetworkPeer, command: Sequence[str]) -> Ended:
    """One command, with this process's own streams."""
    try:
        process = await peer.spawn(command, env=_environment(peer))
    except ToolMissingError as error:
        notice(str(error))
        return Ended(NO_PROGRAM)

    def interrupted() -> None:
        # On a terminal the command has got the signal already, and it decides what that means.
        if not sys.stdin.isatty() and process.returncode is None:
            process.send_signal(signal.SIGINT)

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        return Ended(status_of(await process.wait()))
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _prefixed(peer: NetworkPeer, command: Sequence[str], prefix: bytes) -> Ended:
    """One of several: each line of its output after the peer's name, standard input empty."""
    try:
        process = await peer.spawn(
            command,
            env=_environment(peer),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except ToolMissingError as error:
        notice(str(error))
        return Ended(NO_PROGRAM)
    assert process.stdout is not None
    assert process.stderr is not None
    await asyncio.gather(_copy(process.stdout, sys.stdout, prefix), _copy(process.stderr, sys.stderr, prefix))
    return Ended(status_of(await process.wait()))


async def _copy(source: asyncio.StreamReader, target: IO[str], prefix: bytes) -> None:
    rest = b""
    while chunk := await source.read(_CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _CHUNK:
            lines, rest = [*lines, rest], b""
        _write(target, prefix, lines)
    if rest:
        _write(target, prefix, [rest])


def _write(target: IO[str], prefix: bytes, lines: Sequence[bytes]) -> None:
    # In one piece, so that lines of several peers do not mix.
    target.buffer.write(b"".join(prefix + line + b"\n" for line in lines))  # type: ignore[attr-defined]
    target.flush()
