"""NAT rules: handed to the program ``nft``, whose language is stable where netlink's expressions are not."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import subprocess

from linkem_py.errors import ToolMissingError
from linkem_py.plan.nat import TABLE
from linkem_py.plan.objects import Ruleset

_MORE_PATHS = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # not on every user's PATH
_PATIENCE_S = 60.0
_NETLINK_NETFILTER = 12
_CT_DELETE = 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE: without a tuple, all of them
_NLM_F_REQUEST, _NLM_F_ACK = 1, 4
_FLUSH = struct.Struct("=IHHII BBH")  # nlmsghdr, nfgenmsg


def find_nft() -> str:
    """The path of ``nft``. Raises `ToolMissingError`."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_MORE_PATHS])
    found = shutil.which("nft", path=path)
    if found is None:
        raise ToolMissingError("NAT needs nft, which is not installed: apt-get install nftables")
    return found


def load(made: Ruleset) -> str:
    """Put rules into the calling thread's network namespace, in place of earlier ones, all at once.

    Connections are forgotten, as a router does that gets another address. What was in the way, in nft's words;
    empty if nothing was.
    """
    refusal = _nft(made.text)
    if refusal:
        return refusal
    _forget_connections()
    try:
        for path, value in made.sysctls:  # they are there once conntrack is
            with open(f"/proc/sys/{path}", "w") as file:
                file.write(value)
    except OSError as error:
        _nft(f"delete table ip {TABLE}\n")
        return f"{path}: {error.strerror}"
    return ""


def unload() -> str:
    """Take the rules away, as `load` put them there."""
    return _nft(f"delete table ip {TABLE}\n")


def _forget_connections() -> None:
    # A kernel without ctnetlink keeps them until they have not been used for long enough.
    with contextlib.suppress(OSError), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as netlink:
        netlink.send(_FLUSH.pack(_FLUSH.size, _CT_DELETE, _NLM_F_REQUEST | _NLM_F_ACK, 1, 0, socket.AF_INET, 0, 0))
        netlink.settimeout(_PATIENCE_S)
        netlink.recv(1 << 12)


def _nft(text: str) -> str:
    try:
        done = subprocess.run(
            [find_nft(), "-f", "-"], input=text, capture_output=True, text=True, check=False, timeout=_PATIENCE_S
        )
    except (OSError, ToolMissingError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stderr.strip().partition("\n")[0] if done.returncode else ""
