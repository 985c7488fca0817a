"""A real mosquitto for tests, with its clients: on the loopback interface, nothing left behind."""

from __future__ import annotations

import contextlib
import getpass
import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MISSING = [tool for tool in ("mosquitto", "mosquitto_pub", "mosquitto_sub") if shutil.which(tool) is None]
needs_mosquitto = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

# Nothing is lost by the broker's own bounds; what a test is about is ours.
UNBOUNDED = "max_queued_messages 0\nset_tcp_nodelay true\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """One broker at one port, that can be stopped and started again."""

    def __init__(self, folder: Path, *, options: str = "allow_anonymous true\n", listener: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.config = folder / "mosquitto.conf"
        self.config.write_text(
            f"listener {self.port} 127.0.0.1\n{listener}persistence false\nlog_dest file {folder}/log\n"
            # As root it would change to a user who may not read the files of tests.
            f"user {getpass.getuser()}\n{UNBOUNDED}{options}"
        )
        (folder / "log").touch()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        assert self.process is None
        self.process = subprocess.Popen(
            ["mosquitto", "-c", str(self.config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert self.process.poll() is None, f"mosquitto does not start:\n{(self.folder / 'log').read_text()}"
            assert time.monotonic() < deadline, "mosquitto does not listen"
            time.sleep(0.01)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(20)
            self.process = None

    # --- its clients ---------------------------------------------------------------------------

    def publish(self, topic: str, payload: Any, *options: str) -> None:
        text = payload if isinstance(payload, str) else json.dumps(payload)
        subprocess.run(
            ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.port), "-t", topic, "-m", text, *options],
            check=True,
            timeout=30,
        )

    def retained(self, topics: str = "#") -> dict[str, str]:
        """What the broker holds."""
        found = subprocess.run(
            [
                *("mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.port), "-t", topics),
                *("--retained-only", "-W", "1", "-F", "%t %p"),
            ],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,  # 27: the time is over
        ).stdout
        return dict(line.split(" ", 1) for line in found.splitlines())


@contextlib.contextmanager
def mosquitto(folder: Path, **options: str) -> Iterator[Mosquitto]:
    broker = Mosquitto(folder, **options)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop(signal.SIGKILL)
