"""Packet filter rules: handed to the program ``nft``, whose language is stable where netlink's expressions are not."""

from __future__ import annotations

import os
import shutil
import subprocess

from linkem_py.errors import ToolMissingError
from linkem_py.plan.nat import TABLE
from linkem_py.plan.objects import Ruleset

_MORE_PATHS = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # not on every user's PATH
_PATIENCE_S = 60.0


def find_nft() -> str:
    """The path of ``nft``. Raises `ToolMissingError`."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_MORE_PATHS])
    found = shutil.which("nft", path=path)
    if found is None:
        raise ToolMissingError("NAT needs nft, which is not installed: apt-get install nftables")
    return found


def load(made: Ruleset) -> str:
    """Put rules into the calling thread's network namespace, in place of earlier ones, all at once.

    What was in the way, in nft's words; empty if nothing was.
    """
    refusal = _nft(made.text)
    if refusal:
        return refusal
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


def _nft(text: str) -> str:
    try:
        done = subprocess.run(
            [find_nft(), "-f", "-"], input=text, capture_output=True, text=True, check=False, timeout=_PATIENCE_S
        )
    except (OSError, ToolMissingError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stderr.strip().partition("\n")[0] if done.returncode else ""
