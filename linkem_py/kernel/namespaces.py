"""Network namespaces without names: file descriptors hold them, so the kernel frees them with the process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import resource
import struct
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

from linkem_py.errors import CapabilityError, KernelError, PrivilegeError
from linkem_py.kernel import system
from linkem_py.kernel.netlink import NetlinkSocket

T = TypeVar("T")

FILES_PER_NAMESPACE = 2  # the namespace, and a netlink socket in it
_SPARE_FILES = 256
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1


class Namespace:
    """An open network namespace with a netlink socket that lives in it."""

    def __init__(self, name: str, fd: int, netlink: NetlinkSocket) -> None:
        self.name = name
        self.fd = fd
        self.netlink = netlink

    @property
    def inode(self) -> int:
        """What identifies the namespace in /proc/PID/ns/net."""
        return os.fstat(self.fd).st_ino

    def enter(self) -> None:
        """Put the calling thread into it. Raises `KernelError` if it is closed."""
        if self.fd < 0:
            raise KernelError(f"the namespace {self.name} is closed")
        system.setns(self.fd, system.CLONE_NEWNET)

    def close(self) -> None:
        """Let go of it. The kernel frees it once nobody lives in it. Closing twice is harmless."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            self.netlink.close()
            os.close(fd)

    def __repr__(self) -> str:
        return f"<Namespace {self.name!r} fd {self.fd}>"


class NamespaceThread:
    """A thread that may enter namespaces, so that no other thread has to.

    `run` carries out a function on it, in a namespace or at home, and returns or raises what it did.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Namespace | None, Callable[[], Any]] | None]
        self._jobs = queue.SimpleQueue()
        self._lock = threading.Lock()  # no job comes behind the one that ends the thread
        self._closed = False
        self._home = system.open_namespace("net")
        self._thread = threading.Thread(target=self._serve, name="linkem-namespaces", daemon=True)
        self._thread.start()

    def run(self, function: Callable[[], T], namespace: Namespace | None = None) -> T:
        """What `function()` returns, run in `namespace`."""
        return self.submit(function, namespace).result()

    def submit(self, function: Callable[[], T], namespace: Namespace | None = None) -> Future[T]:
        """As `run`, without waiting."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the namespace thread is closed")
            self._jobs.put((future, namespace, function))
        return future

    def create(self, name: str, sysctls: Iterable[tuple[str, str]]) -> Namespace:
        """A new namespace with these sysctls set and its loopback up. Raises `PrivilegeError`."""

        def make() -> Namespace:
            try:
                system.unshare(system.CLONE_NEWNET)
            except PermissionError as error:
                raise PrivilegeError(no_privileges()) from error
            try:
                with contextlib.ExitStack() as undo:
                    fd = system.open_namespace("net")
                    undo.callback(os.close, fd)
                    for path, value in sysctls:
                        _set_sysctl(path, value)
                    netlink = NetlinkSocket.open()
                    undo.callback(netlink.close)
                    fcntl.ioctl(netlink.fileno(), _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
                    undo.pop_all()
                    return Namespace(name, fd, netlink)
            finally:
                system.setns(self._home, system.CLONE_NEWNET)

        return self.run(make)

    def close(self) -> None:
        """End the thread. Closing twice is harmless."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._jobs.put(None)
        self._thread.join()
        os.close(self._home)

    def _settle(self) -> None:
        """Find a home that this thread may come back to.

        In a user namespace of one's own, the network namespace outside belongs to others: whoever has left it
        cannot go back (setns(2), EPERM). The other threads never leave it.
        """
        with contextlib.suppress(PermissionError):
            try:
                system.setns(self._home, system.CLONE_NEWNET)
            except PermissionError:
                system.unshare(system.CLONE_NEWNET)
                outside, self._home = self._home, system.open_namespace("net")
                os.close(outside)

    def _serve(self) -> None:
        self._settle()
        while (job := self._jobs.get()) is not None:
            future, namespace, function = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self._inside(namespace, function))
            except BaseException as error:  # whatever it is, it belongs to whoever waits
                future.set_exception(error)
            del job, future, namespace, function

    def _inside(self, namespace: Namespace | None, function: Callable[[], T]) -> T:
        if namespace is None:
            return function()
        namespace.enter()
        try:
            return function()
        finally:
            system.setns(self._home, system.CLONE_NEWNET)


def _set_sysctl(path: str, value: str) -> None:
    # A leading "?" marks what some kernels do not have.
    optional = path.startswith("?")
    try:
        with open(f"/proc/sys/{path.removeprefix('?')}", "w") as file:
            file.write(value)
    except OSError:
        if not optional:
            raise


def no_privileges() -> str:
    """What to tell someone who may not make network namespaces."""
    return (
        "this process may not create network namespaces (CAP_SYS_ADMIN is missing): "
        "run it as root (sudo), or inside a user-mode kernel: linkem guest -- COMMAND"
    )


def reserve_files(namespaces: int) -> None:
    """Raise the limit on open files for so many namespaces, or say in advance that it is too low.

    Raises `CapabilityError`.
    """
    needed = namespaces * FILES_PER_NAMESPACE + _SPARE_FILES + _open_files()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, needed))  # root may raise the hard one
        except (ValueError, OSError) as error:
            raise CapabilityError(
                f"{namespaces} namespaces need {needed} open files, and the limit is {hard}: "
                f"raise it (ulimit -n {needed})"
            ) from error
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
