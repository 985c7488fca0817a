"""Programs in peers: asyncio subprocesses that live in a peer's namespaces and die with the network."""

from __future__ import annotations

import asyncio
import asyncio.base_subprocess
import asyncio.subprocess
import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any, TypeVar

from linkem_py.errors import KernelError, ToolMissingError
from linkem_py.kernel import system
from linkem_py.kernel.namespaces import Namespace
from linkem_py.runtime import mounts

T = TypeVar("T")

_INIT = Path(__file__).with_name("init.py")
_LIMIT = 2**16  # bytes that a StreamReader buffers, asyncio's own default
_GRACE_S = 0.5  # how long programs may take to end at a SIGTERM before they are killed
_KILL_PAUSE_S = 0.002  # between two looks for programs of a peer
_INIT_GONE = "the process that looks after the peers' programs was killed; close the network"


class ProcessSpace:
    """A PID namespace with an init that watches this process, and a mount namespace with /etc/hosts.

    Made on first use: a network that runs no program starts no process.
    """

    def __init__(self) -> None:
        # Held while a thread enters what is below, so that none of it is closed meanwhile.
        self._lock = threading.Lock()
        self._closed = False
        self._names: list[tuple[str, tuple[str, ...]]] = []
        self._hosts = -1
        self._mounts = -1  # mount namespace for threads of this process: the peers' names
        self._init: subprocess.Popen[bytes] | None = None
        self._control = -1
        self._init_mounts = -1  # mount namespace for programs: also a /proc of their own
        self._init_pids = -1
        self.transports: set[PeerTransport] = set()

    def set_names(self, names: Sequence[tuple[str, tuple[str, ...]]]) -> None:
        """The peers' names and addresses, from now on."""
        with self._lock:
            self._names = list(names)
            if self._hosts >= 0:
                mounts.write_hosts(self._hosts, self._names)

    def call(self, namespace: Namespace, function: Callable[[], T]) -> Future[T]:
        """Run a function on a new thread in a peer's network namespace, where the peers' names resolve."""
        cwd = os.getcwd()

        def enter() -> T:
            system.unshare(system.CLONE_FS)
            with self._lock:
                self._need_mounts()
                system.setns(self._mounts, system.CLONE_NEWNS)
                namespace.enter()
            os.chdir(cwd)
            return function()

        return _on_thread(enter, f"linkem-{namespace.name}")

    def popen(self, namespace: Namespace, arguments: Sequence[str], **options: Any) -> Future[subprocess.Popen[bytes]]:
        """Start a program in a peer. `options` are `subprocess.Popen`'s."""
        options.setdefault("cwd", os.getcwd())

        def start() -> subprocess.Popen[bytes]:
            system.unshare(system.CLONE_FS)
            with self._lock:
                self._need_init()
                system.setns(self._init_mounts, system.CLONE_NEWNS)
                system.setns(self._init_pids, system.CLONE_NEWPID)
                namespace.enter()
            system.unshare(system.CLONE_NEWNS)
            mounts.mount_sysfs()
            try:
                return subprocess.Popen(arguments, **options)
            except OSError as error:
                if error.errno != errno.ENOMEM:  # what fork says in a PID namespace whose init has gone
                    raise
                raise KernelError(f"peer {namespace.name}: no program can be started: {_INIT_GONE}") from error

        return _on_thread(start, f"linkem-start-{namespace.name}")

    def kill_in(self, inode: int) -> None:
        """Kill every program that lives in the network namespace of this inode, whatever its session."""
        wanted = f"net:[{inode}]"
        while True:
            found = False
            for entry in os.listdir("/proc"):
                if not entry.isdigit() or int(entry) == os.getpid():
                    continue
                with contextlib.suppress(OSError):
                    if os.readlink(f"/proc/{entry}/ns/net") != wanted:
                        continue
                    pidfd = os.pidfd_open(int(entry))
                    try:
                        # The number may have been given to another process since it was looked up.
                        if os.readlink(f"/proc/{entry}/ns/net") == wanted:
                            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                            found = True
                    finally:
                        os.close(pidfd)
            if not found:
                return
            time.sleep(_KILL_PAUSE_S)

    async def close(self) -> None:
        """End every program: SIGTERM, half a second, SIGKILL to whatever is left. Twice is harmless."""
        try:
            await self._terminate()
        finally:
            await to_the_end(asyncio.wrap_future(_on_thread(self.kill, "linkem-kill")))
            for transport in list(self.transports):
                await transport.end()

    def kill(self) -> None:
        """Kill every program at once and let go of everything, from whatever thread. Twice is harmless."""
        with self._lock:
            self._closed = True
            for name in ("_control", "_hosts", "_mounts", "_init_mounts", "_init_pids"):
                if getattr(self, name) >= 0:
                    os.close(getattr(self, name))
                    setattr(self, name, -1)
            init, self._init = self._init, None
        if init is not None:
            init.wait()  # process 1 goes last: then nobody is left

    async def _terminate(self) -> None:
        running = [transport for transport in self.transports if transport.get_returncode() is None]
        for transport in running:
            with contextlib.suppress(ProcessLookupError):
                transport.send_signal(signal.SIGTERM)
        if running:
            waiting = [asyncio.ensure_future(transport.ended.wait()) for transport in running]
            _, late = await asyncio.wait(waiting, timeout=_GRACE_S)
            for task in late:
                task.cancel()

    def _need_mounts(self) -> None:
        # With the lock held.
        if self._closed:
            raise KernelError("the network is closed")
        if self._mounts >= 0:
            return

        def make() -> tuple[int, int]:
            mounts.enter_private()
            hosts = mounts.place_hosts()
            return hosts, system.open_namespace("mnt")

        self._hosts, self._mounts = _on_thread(make, "linkem-mounts").result()
        mounts.write_hosts(self._hosts, self._names)

    def _need_init(self) -> None:
        self._need_mounts()
        if self._init is None:
            init, self._control = _on_thread(self._start_init, "linkem-init").result()
            self._init = init
            # From here, because init has put its own /proc where it was started.
            self._init_mounts = os.open(f"/proc/{init.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            self._init_pids = os.open(f"/proc/{init.pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        elif self._init.poll() is not None:
            raise KernelError(_INIT_GONE)

    def _start_init(self) -> tuple[subprocess.Popen[bytes], int]:
        with contextlib.ExitStack() as ours:
            owner = os.pidfd_open(os.getpid())
            ours.callback(os.close, owner)
            control_r, control_w = os.pipe()
            ours.callback(os.close, control_r)
            ready_r, ready_w = os.pipe()
            ours.callback(os.close, ready_r)
            system.unshare(system.CLONE_FS)
            system.setns(self._mounts, system.CLONE_NEWNS)
            system.unshare(system.CLONE_NEWNS | system.CLONE_NEWPID)
            init = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_INIT), str(owner), str(control_r), str(ready_w)],
                pass_fds=(owner, control_r, ready_w), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                cwd="/", start_new_session=True,
            )  # fmt: skip
            os.close(ready_w)
            if os.read(ready_r, 1) != b"1":
                os.close(control_w)
                raise KernelError(f"the process that looks after the peers' programs did not start: {init.wait()}")
            return init, control_w


class PeerTransport(asyncio.base_subprocess.BaseSubprocessTransport):
    """asyncio's own subprocess transport around a program that a thread in the peer has started."""

    def __init__(self, space: ProcessSpace, popen: subprocess.Popen[bytes], *arguments: Any, **options: Any) -> None:
        self._popen = popen
        self._space = space
        self.ended = asyncio.Event()  # the program has ended
        self._lost = asyncio.Event()  # and its pipes are closed
        super().__init__(*arguments, **options)

    async def end(self) -> None:
        """Kill the program unless it has ended, and let go of its pipes, which others may still hold."""
        stdin: Any = self._pipes.get(0)
        if stdin is not None and stdin.pipe.get_write_buffer_size():
            stdin.pipe.abort()  # to close it would wait until somebody has read that
        self.close()
        await to_the_end(asyncio.ensure_future(self._lost.wait()))

    def give_up(self) -> None:
        """End where the pipes could not be connected."""
        self.close()
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                pipe.close()
        self._forget()

    def _start(self, **_options: Any) -> None:  # type: ignore[override]  # the program runs already
        self._pidfd = os.pidfd_open(self._popen.pid)
        self._loop.add_reader(self._pidfd, self._over)
        self._proc = self._popen
        self._space.transports.add(self)

    def _over(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        returncode = self._popen.wait()
        self.ended.set()
        self._process_exited(returncode)

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        super()._call_connection_lost(exc)
        self._forget()

    def _forget(self) -> None:
        self._lost.set()
        self._space.transports.discard(self)


async def spawn(
    space: ProcessSpace,
    namespace: Namespace,
    arguments: Sequence[str],
    *,
    stdin: int | IO[Any] | None = None,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    limit: int = _LIMIT,
    **options: Any,
) -> asyncio.subprocess.Process:
    """As `asyncio.create_subprocess_exec`, in a peer. Raises `ToolMissingError`."""
    if isinstance(arguments, str) or not arguments:
        raise TypeError("a program is given as a list of strings, its name first")
    command = [os.fspath(argument) for argument in arguments]
    loop = asyncio.get_running_loop()
    options.update(stdin=stdin, stdout=stdout, stderr=stderr, env=env, bufsize=0)
    if cwd is not None:
        options["cwd"] = cwd
    started = None
    try:
        started = asyncio.wrap_future(space.popen(namespace, command, **options))
        popen = await to_the_end(started)
    except asyncio.CancelledError:
        if started is not None and started.exception() is None:
            await _discard(started.result())
        raise
    except FileNotFoundError as error:
        if error.filename not in (None, command[0]) or shutil.which(command[0]) is not None:
            raise
        raise ToolMissingError(f"peer {namespace.name}: there is no program {command[0]!r} on this machine") from error
    protocol = asyncio.subprocess.SubprocessStreamProtocol(limit=limit, loop=loop)
    waiter = loop.create_future()
    try:
        transport = PeerTransport(space, popen, loop, protocol, command, False, stdin, stdout, stderr, 0, waiter=waiter)
    except BaseException:
        await _discard(popen)
        raise
    try:
        await to_the_end(waiter)
    except BaseException:
        if waiter.exception() is None:  # cancelled, but connected
            await transport.end()
        else:
            transport.give_up()
        raise
    return asyncio.subprocess.Process(transport, protocol, loop)


async def ended(process: asyncio.subprocess.Process) -> int:
    """The status of a program as soon as it has ended itself; `Process.wait` also waits for whoever holds its pipes."""
    transport = process._transport  # type: ignore[attr-defined]  # Process has no other way to it
    assert isinstance(transport, PeerTransport)
    await transport.ended.wait()
    assert process.returncode is not None
    return process.returncode


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill a program unless it has ended, and let go of its pipes."""
    transport = process._transport  # type: ignore[attr-defined]  # Process has no other way to it
    assert isinstance(transport, PeerTransport)
    await transport.end()


async def _discard(popen: subprocess.Popen[bytes]) -> None:
    """End a program that nobody is going to have."""

    def end() -> None:
        with popen:  # closes its pipes and waits for it
            popen.kill()

    await to_the_end(asyncio.wrap_future(_on_thread(end, "linkem-discard")))


async def to_the_end(future: asyncio.Future[T]) -> T:
    """What a future brings. Whoever is cancelled meanwhile, however often, leaves once it is done."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        if not future.cancelled():
            future.exception()  # seen, though what is raised is the cancellation
        raise


def _on_thread(function: Callable[[], T], name: str) -> Future[T]:
    # A thread that has entered namespaces is no use for anything else: one for each call.
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # from here on it cannot be cancelled

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # whatever it is, it belongs to whoever waits
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
