"""Runs one command in a guest."""

from __future__ import annotations

import contextlib
import os
import resource
import stat
from collections.abc import Iterator, Mapping, Sequence

from linkem_py.errors import GuestError, GuestUnavailableError
from linkem_py.guest import terminal, virtual_time
from linkem_py.guest.inside import frames
from linkem_py.guest.interrupts import Interrupts, now
from linkem_py.guest.kernels import GuestKernel, find_kernel, find_virtual_time_kernel
from linkem_py.guest.launch import Launch
from linkem_py.guest.memory import parse_memory
from linkem_py.guest.session import Session
from linkem_py.guest.virtual_time import VirtualTime
from linkem_py.guest.watch import Watch

# Set to 1 in the environment of what runs in a guest.
INSIDE_VARIABLE = "LINKEM_GUEST"


class GuestTimeoutError(GuestError):
    """The command did not end in time, and was ended with its guest.

    Attributes
    ----------
    timeout_s : the time that it was given
    """

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"timeout: the command did not end within {timeout_s:g} s and was killed")
        self.timeout_s = timeout_s


def run_in_guest(
    argv: Sequence[str],
    *,
    kernel: GuestKernel | None = None,
    memory: str = "1G",
    timeout_s: float | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdin: int = 0,
    stdout: int = 1,
    stderr: int = 2,
    kernel_arguments: Sequence[str] = (),
    hand_over: bool = False,
    owner: int | None = None,
    virtual: VirtualTime | None = None,
) -> int:
    """Runs a command in a user-mode kernel of its own, with this machine's files; blocks until it has ended.

    The command is root in the guest; files it touches as the user who called. It finds this process's
    environment (or `env`) and LINKEM_GUEST=1, and this working directory (or `cwd`). Its streams are the
    three file descriptors, bytes unchanged; if the first two are a terminal it has a terminal. In the
    main thread SIGINT, SIGTERM, SIGHUP and SIGQUIT are passed on; the guest is ended after three SIGINT
    within 2 s, after another SIGTERM, or 5 s after the first if the command has not ended by then.

    With `hand_over`, output streams are closed (pointed to /dev/null) as soon as the command closes its own.
    `kernel_arguments` are added to the kernel's command line. With `owner`, the number of the process that
    started this one, the guest is ended (128 + SIGHUP) as soon as that process is gone, however it went.
    With `virtual` it runs in virtual time, for which the kernel must be made (`find_virtual_time_kernel`);
    `timeout_s` is real time nevertheless.

    Returns the command's exit status; 128 + N if signal N ended it, or the guest; 127 if there is
    no such command and 126 if it cannot be executed (said on `stderr`).

    Raises
    ------
    GuestUnavailableError : there is no kernel, or this is a guest already
    GuestStalledError : virtual time stood still
    GuestTimeoutError : `timeout_s`, counted from the call, has passed
    GuestError : the kernel could not be started, or did not live until the command had ended; or `owner` is gone
    ValueError : no command, a NUL byte in it, or `memory` is not an amount of at least 64M
    """
    deadline = None if timeout_s is None else now() + timeout_s
    size = parse_memory(memory)
    if os.environ.get(INSIDE_VARIABLE):
        raise GuestUnavailableError(f"this is a guest already ({INSIDE_VARIABLE} is set): guests do not nest")
    kernel = kernel or (find_virtual_time_kernel() if virtual else find_kernel())
    shown = terminal.shown_streams(stdin, stdout, stderr)
    numbers = {"terminal": shown, "cover_tmp": 0}
    if shown:
        numbers["rows"], numbers["columns"] = terminal.size(stdin)
    if virtual is not None:
        env = virtual.environment(os.environ if env is None else env)
        kernel_arguments = (*virtual.kernel_arguments(), *kernel_arguments)
        numbers |= {"begin": virtual.begin, "await_input": int(_is_ready(stdin))}
    job = _job(argv, kernel, env, cwd, numbers)
    with Interrupts() as interrupts, _watched(owner) as owner_fd:
        try:
            launch = Launch(kernel, size, kernel_arguments)
        except OSError as error:
            raise GuestError(f"the guest could not be started: {error}") from error
        try:
            # Where the kernel runs under the user's own number, the files of the guest's root would seem
            # to be another user's, and programs refuse such files in /tmp.
            numbers["cover_tmp"] = int(not launch.isolated and os.geteuid() != 0)
            numbers["window"] = virtual_time.UNLIMITED_WINDOW if virtual else launch.window
            with _watch(virtual, kernel, launch) as watch:
                session = Session(
                    launch, job, (stdin, stdout, stderr), hand_over=hand_over, owner_fd=owner_fd, watch=watch
                )
                status = session.run(interrupts, deadline)
        finally:
            launch.close()
    if status is None:
        assert timeout_s is not None
        raise GuestTimeoutError(timeout_s)
    return status


def _job(
    argv: Sequence[str],
    kernel: GuestKernel,
    env: Mapping[str, str] | None,
    cwd: str | None,
    numbers: dict[str, int],
) -> frames.Job:
    words = [os.fsencode(word) for word in argv]
    given = os.environ if env is None else env
    variables = {os.fsencode(name): os.fsencode(value) for name, value in given.items()}
    variables[INSIDE_VARIABLE.encode()] = b"1"
    entries = [name + b"=" + value for name, value in variables.items()]
    if not words or not words[0]:
        raise ValueError("a command is needed")
    if any(b"\0" in text for text in (*words, *entries)):
        raise ValueError("a command or its environment cannot have a NUL byte")
    folder = os.path.abspath(cwd) if cwd is not None else os.getcwd()
    if not os.path.isdir(folder):
        raise GuestError(f"no such working directory: {folder}")
    numbers["files_soft"], numbers["files_hard"] = resource.getrlimit(resource.RLIMIT_NOFILE)
    numbers["umask"] = _umask()
    return frames.Job(
        argv=words,
        env=entries,
        cwd=os.fsencode(folder),
        hostname=os.fsencode(os.uname().nodename),
        modules=os.fsencode(kernel.modules or ""),
        numbers=numbers,
    )


@contextlib.contextmanager
def _watch(virtual: VirtualTime | None, kernel: GuestKernel, launch: Launch) -> Iterator[Watch | None]:
    """Whoever watches virtual time; nobody without. What has passed is told at the end."""
    if virtual is None:
        yield None
        return
    with contextlib.closing(Watch(virtual, kernel.path, launch.kernel_pid)) as watch:
        try:
            yield watch
        finally:
            watch.tell(now())


def _is_ready(stdin: int) -> bool:
    """Whether what can be read is there, or will not come: a file, or /dev/null."""
    try:
        mode = os.fstat(stdin)
    except OSError:
        return False
    return stat.S_ISREG(mode.st_mode) or mode.st_rdev == os.stat(os.devnull).st_rdev


@contextlib.contextmanager
def _watched(parent: int | None) -> Iterator[int]:
    """A descriptor that is readable once this process has lost its parent; -1 without."""
    if parent is None:
        yield -1
        return
    try:
        fd = os.pidfd_open(parent)
    except ProcessLookupError:
        raise GuestError(f"owner {parent} has ended") from None
    try:
        if os.getppid() != parent:
            raise GuestError(f"owner must be the process that started this one ({os.getppid()}): {parent}")
        yield fd
    finally:
        os.close(fd)


def _umask() -> int:
    # Asking is setting, which other threads would notice; Linux tells it without.
    with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022
