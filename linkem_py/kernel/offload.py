"""Segmentation offloads off: netem should delay, drop and count packets, not 64 KB of them at once."""

from __future__ import annotations

import ctypes
import fcntl
import struct
from typing import Protocol

_SIOCETHTOOL = 0x8946
# linux/ethtool.h: ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO
_SWITCHES = (0x1F, 0x24, 0x2C)


class _HasFile(Protocol):
    def fileno(self) -> int: ...


def switch_off(sock: _HasFile, device: str) -> None:
    """Switch TSO, GSO and GRO of a device off, through any socket of its namespace. Raises OSError."""
    value = ctypes.create_string_buffer(8)
    request = bytearray(struct.pack("16sP16x", device.encode(), ctypes.addressof(value)))
    for switch in _SWITCHES:
        struct.pack_into("=II", value, 0, switch, 0)
        fcntl.ioctl(sock.fileno(), _SIOCETHTOOL, request)
