"""The process that holds the kernel, and lets go of nothing: no process outlives the launcher.

Run as a script by `launch`; never imported. It starts the kernel and waits for the first of three
events: the kernel ends, the launcher ends, the launcher asks for the end (it closes the socket).
Then everything that belongs to the kernel is killed.

That must hold too when a process is killed with SIGKILL and can do nothing more. The kernel is
a parent of traced processes which run on by themselves, as processes of the host, if it dies. So
the kernel is, where the machine allows it, the first process of a PID namespace: with it, all die at
once. And it dies with this process, its parent. Where namespaces are not allowed, this process is the
reaper of all its descendants and sweeps them up, and a guard process does so if this one is killed.

Its memory is a file in a tmpfs that is mounted nowhere: it is gone with the last process that has it open.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import sys
import time

ISOLATED, PLAIN = "isolated", "plain"

_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWPID = 0x20000, 0x10000000, 0x20000000
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT = 430, 431, 432
_FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 1, 6

# The kernel's memory file is larger than the memory by a gap that it never touches.
_MEMORY_GAP = 1 << 30

_SWEEP_S = 10.0
_PAUSE_S = 0.001
_GUARD_TRIES = 500

_libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> int:
    """``MODE OWNER CONTROL MEMORY FOLDER KERNEL ARGUMENT...``."""
    mode, owner, control_fd, memory, folder, *kernel = arguments
    control = int(control_fd)
    # Neither we nor the kernel can work with what the launcher may have inherited here.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        if mode == ISOLATED:
            isolate()
            folder = f"/proc/self/fd/{detached_tmpfs(int(memory) + _MEMORY_GAP)}"
        else:
            _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    except OSError as error:
        os.write(control, f"refused {error}\n".encode())
        return 1
    pid = start(kernel, folder, control)
    guard = 0 if mode == ISOLATED else start_guard(pid, control)
    os.write(control, f"holds {pid}\n".encode())
    code = hold(pid, int(owner), control, guard)
    try:
        os.write(control, f"ended {code}\n".encode())
    except OSError:
        pass  # The launcher is gone.
    return 0


def isolate() -> None:
    """Makes the next child the first process of a PID namespace; `OSError` where that is not allowed."""
    uid, gid = os.geteuid(), os.getegid()
    # The mount namespace is for the right to make a tmpfs, which a container's root has only in its own.
    if _libc.unshare(_CLONE_NEWPID | _CLONE_NEWNS) == 0:
        return
    # Not privileged, so in a user namespace. The user is its root: so the guest, whose root runs the
    # command, finds the user's files to be its own.
    _check(_libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS | _CLONE_NEWPID), "unshare")
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"0 {uid} 1")
    _write("/proc/self/gid_map", f"0 {gid} 1")


def detached_tmpfs(size: int) -> int:
    """A file descriptor of the root of a new tmpfs that is mounted nowhere."""
    context = _check(_libc.syscall(_SYS_FSOPEN, b"tmpfs", 0), "fsopen")
    for key, value in ((b"size", b"%d" % size), (b"mode", b"700")):
        _check(_libc.syscall(_SYS_FSCONFIG, context, _FSCONFIG_SET_STRING, key, value, 0), "fsconfig")
    _check(_libc.syscall(_SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0), "fsconfig")
    root: int = _check(_libc.syscall(_SYS_FSMOUNT, context, 0, 0), "fsmount")
    os.close(context)
    os.set_inheritable(root, True)
    return root


def start(kernel: list[str], folder: str, control: int) -> int:
    """Starts the kernel so that it dies with this process."""
    me = os.pidfd_open(os.getpid())
    pid = os.fork()
    if pid:
        os.close(me)
        return pid
    try:
        os.setsid()  # A group for the kernel and its helpers: what must die at once, in one call.
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if not select.select([me], [], [], 0)[0]:  # else the parent died before it was to be told
            os.set_inheritable(control, False)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # A panic ends in abort().
            os.execve(kernel[0], kernel, {"TMP": folder, "TMPDIR": folder, "HOME": "/"})
    except OSError as error:
        print(f"{kernel[0]}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(127)


def start_guard(kernel: int, control: int) -> int:
    """Starts a process that outlives this one, but only to kill the kernel's group."""
    me = os.pidfd_open(os.getpid())
    pid = os.fork()
    if pid:
        os.close(me)
        return pid
    try:
        os.setsid()
        os.close(control)  # The launcher waits for its last holder.
        select.select([me], [], [])
        for _ in range(_GUARD_TRIES):  # The dead count too until someone has reaped them: so not forever.
            os.killpg(kernel, signal.SIGKILL)
            time.sleep(_PAUSE_S)
    finally:
        os._exit(0)


def hold(pid: int, owner: int, control: int, guard: int) -> int:
    """Waits for the end, makes it complete, and returns the kernel's exit code.

    With a guard there is no namespace to do it, so the kernel's helpers are swept up one by one.
    """
    watched = [control, os.pidfd_open(pid)]
    try:
        if os.getppid() == owner:
            watched.append(os.pidfd_open(owner))
            select.select(watched, [], [])
    except ProcessLookupError:
        pass  # The launcher died before we could watch it.
    if guard:
        _kill_group(pid)
    os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if guard:
        _kill_group(pid)
        _sweep()  # The guard too: nothing is left to be guarded.
    return code


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _sweep() -> None:
    """Kills and reaps all descendants: the orphans among them have become our children."""
    deadline = time.monotonic() + _SWEEP_S
    while time.monotonic() < deadline:
        for pid in _children():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(_PAUSE_S)


def _children() -> list[int]:
    me = str(os.getpid()).encode()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = file.read().rpartition(b")")[2].split()[1]
            except OSError:
                continue
            if parent == me:
                found.append(int(name))
    return found


def _check(result: int, call: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result


def _prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), "prctl")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
