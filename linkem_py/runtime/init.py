"""Process 1 of a network's processes: it lives as long as the owner, and all others no longer than it.

Run as a script (``python -I -S init.py OWNER CONTROL READY``), never imported: the numbers are file
descriptors: a pidfd of the owner, the end of a pipe that the owner closes, and one on which to say
that /proc is in place. When the owner is gone, however it died, this process ends, and the kernel
kills every process of the PID namespace, grandchildren in sessions of their own included.
"""

import ctypes
import os
import select
import signal
import sys

MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8


def main() -> None:
    """Wait for the owner's end."""
    owner, control, ready = (int(number) for number in sys.argv[1:4])
    # Signals from the terminal are the owner's business; orphans that end are reaped by the kernel.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # A container may forbid a new /proc: the old one then stays, with the outer process numbers.
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
    os.chdir("/")
    os.write(ready, b"1")
    os.close(ready)
    poll = select.poll()
    poll.register(owner, select.POLLIN)
    poll.register(control, select.POLLIN | select.POLLHUP)
    poll.poll()


if __name__ == "__main__":
    main()
