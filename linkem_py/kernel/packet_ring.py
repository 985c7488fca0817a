"""What passes through interfaces, from a ring of memory that the kernel fills (packet(7), PACKET_RX_RING, version 3).

A packet costs no system call, has the kernel's own time in nanoseconds, and those of several interfaces come
in their order. The structures are those of linux/if_packet.h.
"""

from __future__ import annotations

import mmap
import socket
import struct
import time
from collections.abc import Sequence
from typing import NamedTuple

from linkem_py.kernel import packet_filter, system
from linkem_py.kernel.packet_filter import Instruction

MOST_BYTES = 65535  # of a packet that are kept
RETIRE_MS = 20  # a block that is not full is handed over after so long

_EVERYWHERE = struct.pack("=HHiHBB8x", socket.AF_PACKET, socket.htons(3), 0, 0, 0, 0)  # sockaddr_ll, ETH_P_ALL
_SOL_PACKET, _PACKET_RX_RING, _PACKET_STATISTICS, _PACKET_VERSION = 263, 5, 6, 10
_TPACKET_V3 = 2
_BLOCK_BYTES, _BLOCKS, _FRAME_BYTES = 2**18, 64, 2**11
_USER = 1  # the block is ours
_OUTGOING = 4  # sll_pkttype
_REQUEST = struct.Struct("=7I")  # struct tpacket_req3
_STATISTICS = struct.Struct("=III")  # packets (dropped ones too), dropped, freezes
_STATUS = struct.Struct("=I")
_BLOCK = struct.Struct("=III")  # status, packets, offset of the first; at 8 in a block
_BLOCK_AT = 8
_PACKET = struct.Struct("=6IH26xi2xB")  # struct tpacket3_hdr, then struct sockaddr_ll up to its type of packet
_END_S = 1.0  # for what the kernel has counted to be handed over


class Packet(NamedTuple):
    """A packet as it passed.

    Attributes
    ----------
    time_ns : since the epoch
    ifindex : the interface
    outgoing : sent by this namespace; else received
    length : bytes of the whole packet, of which `data` has the first
    """

    time_ns: int
    ifindex: int
    outgoing: bool
    length: int
    data: bytes


class PacketRing:
    """Captures on some interfaces of the namespace in which it is made; 16 MiB wait for whoever reads.

    Parameters
    ----------
    indexes : of the interfaces
    program : which packets, and how much of each; see `packet_filter`

    Attributes
    ----------
    dropped : packets for which there was no room, as far as that was asked; see `end`

    Raises OSError.
    """

    def __init__(self, indexes: Sequence[int], program: Sequence[Instruction]) -> None:
        self.dropped = 0
        self._given = self._taken = self._next = 0
        self._ring: mmap.mmap | None = None
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # 0: nothing yet
        try:
            packet_filter.attach(self._socket, packet_filter.on_interfaces(indexes, program))
            self._socket.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V3)
            frames = _BLOCK_BYTES // _FRAME_BYTES * _BLOCKS
            self._socket.setsockopt(
                _SOL_PACKET,
                _PACKET_RX_RING,
                _REQUEST.pack(_BLOCK_BYTES, _BLOCKS, _FRAME_BYTES, frames, RETIRE_MS, 0, 0),
            )
            self._ring = mmap.mmap(self._socket.fileno(), _BLOCK_BYTES * _BLOCKS)
            system.bind(self._socket.fileno(), _EVERYWHERE)
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """For poll: readable when there is a block."""
        return self._socket.fileno()

    def read(self) -> list[Packet]:
        """The packets of the next block; none if there is no block yet."""
        assert self._ring is not None
        ring, base = self._ring, self._next * _BLOCK_BYTES
        status, count, offset = _BLOCK.unpack_from(ring, base + _BLOCK_AT)
        if not status & _USER:
            return []
        at, packets = base + offset, []
        for _ in range(count):
            step, seconds, nanoseconds, kept, length, _, start, ifindex, kind = _PACKET.unpack_from(ring, at)
            data = ring[at + start : at + start + kept]
            packets.append(Packet(seconds * 10**9 + nanoseconds, ifindex, kind == _OUTGOING, length, data))
            at += step
        _STATUS.pack_into(ring, base + _BLOCK_AT, 0)  # the block is the kernel's again
        self._next = (self._next + 1) % _BLOCKS
        self._taken += count
        return packets

    def count(self) -> None:
        """Ask the kernel how many it dropped."""
        # It counts from zero again each time it is asked.
        given, dropped, _ = _STATISTICS.unpack(
            self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size)
        )
        self._given += given - dropped
        self.dropped += dropped

    def end(self) -> list[Packet]:
        """Capture nothing more; whatever was captured and not read yet."""
        packet_filter.attach(self._socket, packet_filter.keep(0))
        self.count()
        rest: list[Packet] = []
        give_up = time.monotonic() + _END_S
        while self._taken < self._given and time.monotonic() < give_up:
            if more := self.read():
                rest += more
            else:
                time.sleep(RETIRE_MS / 4000)
        return rest

    def close(self) -> None:
        """Let go of it. Twice is harmless."""
        if self._ring is not None:
            self._ring.close()
        self._socket.close()
