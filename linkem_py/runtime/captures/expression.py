"""Capture filters in tcpdump's language (pcap-filter(7)), translated by tcpdump itself."""

from __future__ import annotations

import asyncio
import subprocess

from linkem_py.errors import RequestError, ToolMissingError
from linkem_py.kernel import packet_filter
from linkem_py.kernel.packet_filter import Instruction


async def program(expression: str, snaplen: int) -> tuple[Instruction, ...]:
    """What takes the first bytes of the packets that match. Raises `RequestError`, `ToolMissingError`."""
    command = ("tcpdump", "-ddd", "-y", "EN10MB", "-s", str(snaplen), "--", expression)
    pipe = subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    except FileNotFoundError as error:
        raise ToolMissingError("a capture filter needs tcpdump (package tcpdump), which is not installed") from error
    out, err = await process.communicate()
    if process.returncode:
        words = err.decode(errors="replace").strip().splitlines()
        rule = f"must be a capture filter ({words[-1].removeprefix('tcpdump: ') if words else 'tcpdump refuses it'})"
        raise RequestError("filter", rule, expression)
    return packet_filter.parse(out.decode())
