"""Names of namespaces while a network changes."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import AsyncExitStack

import pytest

from linkem_py import Network
from linkem_py.cli.hosting import open_names
from linkem_py.control.names import FOLDER
from linkem_py.control.registry import Registry

from .standing import pair


def named() -> set[str]:
    return {name for name in os.listdir(FOLDER) if name.startswith("follow.")} if FOLDER.is_dir() else set()


@pytest.mark.netem
async def test_names_come_and_go_with_peers(runtime: Registry) -> None:
    told: list[str] = []
    with runtime.claim("follow") as claim:
        async with Network(pair()) as net, AsyncExitStack() as stack:
            assert open_names(stack, claim, net, told.append, quiet=True)
            assert named() == {"follow.a", "follow.b", "follow._hub"}
            await net.add_peer("c")
            assert "follow.c" in named()
            assert {one.name for one in claim.record.namespaces} == named()
            await net.remove_peer("a")
            assert named() == {"follow.b", "follow.c", "follow._hub"}
            assert {one.name for one in claim.record.namespaces} == named()
            FOLDER.joinpath("follow.d").touch()
            try:
                await net.add_peer("d")  # the network goes on without that name
                assert "'follow.d' already" in told[0]
                assert "d" in net.peers
            finally:
                FOLDER.joinpath("follow.d").unlink()
        assert named() == set()


@pytest.mark.netem
async def test_a_name_does_not_keep_a_namespace_alive_that_programs_have_seen(runtime: Registry) -> None:
    with runtime.claim("follow") as claim:
        async with Network(pair()) as other, Network(pair()) as net, AsyncExitStack() as stack:
            assert open_names(stack, claim, net, print, quiet=True)
            # Its mount namespace is a copy of this one, made while the names were there.
            process = await other.peer("a").spawn([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
            mounts = f"/proc/{process.pid}/mountinfo"
            with open(mounts, encoding="utf-8") as file:  # noqa: ASYNC230 - of the kernel, and short
                assert "follow.a" in file.read()
            await stack.aclose()
            with open(mounts, encoding="utf-8") as file:  # noqa: ASYNC230
                assert "follow.a" not in file.read()
