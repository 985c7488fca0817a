"""The guest's first process: makes the guest a place to run in, runs the command, turns it off.

The kernel starts it with the interpreter of the host's side, isolated, without site packages.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import time
import tty

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of importing it
if TYPE_CHECKING:
    from linkem_py.guest.inside import command, frames, modules, mounts, pump
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import command
    import frames
    import modules
    import mounts
    import pump

LINE = "/dev/ttyS0"
SHARED_MEMORY = "/dev/mmapper"

# What a kernel keeps in /run by name, and what would be the host's business otherwise.
NOT_IN_RUN = ("netns", "linkem", "linkem_py", "xtables.lock")

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_AF_INET, _SOCK_DGRAM = 2, 2
_POWER_OFF = 0x4321FEDC


def main() -> None:
    """Everything, in order; the kernel panics if this returns or fails before the end."""
    mounts.prepare_devices()
    line = pump.Line(_open_line())
    shared = os.open(SHARED_MEMORY, os.O_RDONLY | os.O_CLOEXEC) if os.path.exists(SHARED_MEMORY) else -1
    line.send(frames.number(frames.HELLO, int(shared >= 0)))
    mounts.prepare_kernel_views()
    line.holds_time = _in_virtual_time()
    source = pump.Input(shared)
    job = _receive_job(line, source)
    _prepare(job)
    _run(job, line, source)
    os.sync()
    _libc().reboot(_POWER_OFF)


def _open_line() -> int:
    fd = os.open(LINE, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    tty.setraw(fd)
    return fd


def _in_virtual_time() -> bool:
    with open("/proc/cmdline", "rb") as words:
        return b"time-travel=inf-cpu" in words.read().split()


def _receive_job(line: pump.Line, source: pump.Input) -> frames.Job:
    packed = b""
    ended = False
    while not ended:
        for kind, payload in line.receive():
            if kind == frames.EOF:
                ended = True
            else:
                source.add(kind, payload)
        while source:
            chunk = source.peek()
            packed += chunk
            source.drop(len(chunk))
            line.send(frames.amount(frames.TAKEN, frames.JOB, len(chunk)))
    return frames.Job.unpack(packed)


def _prepare(job: frames.Job) -> None:
    mounts.cover("/run", without=NOT_IN_RUN)
    if job.numbers["cover_tmp"]:
        mounts.cover("/tmp", mode="1777")
    if job.modules:
        folder = os.fsdecode(job.modules)
        modules.load_at_boot(folder)
        modules.install_loader(folder, mounts.SCRATCH)
    _bring_loopback_up()
    _libc().sethostname(job.hostname, len(job.hostname))


def _bring_loopback_up() -> None:
    libc = _libc()
    fd = libc.socket(_AF_INET, _SOCK_DGRAM, 0)
    libc.ioctl(fd, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
    os.close(fd)


def _run(job: frames.Job, line: pump.Line, source: pump.Input) -> None:
    if job.numbers["begin"]:
        # How long it took to come here is not the same every time; from here on it is.
        time.sleep(max(0.0, job.numbers["begin"] - time.time()))
    began = time.monotonic_ns()
    process = command.Command(job)
    if process.failure:
        code = process.status
        line.send(frames.encode(frames.FAILED, bytes((code,)) + process.failure.encode(errors="replace")))
    else:
        line.send(frames.clock(frames.STARTED, began))
        awaits = bool(job.numbers["await_input"])
        code = pump.Pump(line, source, process, job.numbers["window"], awaits_input=awaits).run()
    ended = time.monotonic_ns()
    os.sync()
    line.send(frames.clock(frames.EXIT, ended, bytes((code,))))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    main()
