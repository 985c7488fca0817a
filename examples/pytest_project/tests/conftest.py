from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asking
import pytest

from linkem_py.runtime import BlockingNetwork

PORT = 9000


@pytest.fixture
def server(network: BlockingNetwork) -> asking.Address:
    """The real program, running in the peer `server`."""
    peer = network.peer("server")
    program = peer.spawn([sys.executable, Path(asking.__file__), peer.address, str(PORT)], stdout=subprocess.PIPE)
    assert program.stdout is not None
    assert program.stdout.readline() == b"ready\n"
    return peer.address, PORT


@pytest.fixture
def client(network: BlockingNetwork) -> Iterator[socket.socket]:
    """A socket of this process, in the peer `client`."""
    with network.peer("client").socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        yield sock
