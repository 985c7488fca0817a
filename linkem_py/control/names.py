"""Names for the namespaces of a network, so that ``ip netns exec demo.a ping b`` works.

As ip-netns(8) has them: a file under /run/netns on which the namespace is mounted. The peer ``a`` of
the network ``demo`` is ``demo.a``, the hub is ``demo._hub``. A peer's name has no dot and does not
begin with an underscore, so what follows the last dot says whose it is, and no two names collide.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

from linkem_py.errors import LinkemError

FOLDER = Path("/run/netns")
HUB = "_hub"


class NamespaceNameError(LinkemError):
    """A name under /run/netns is taken, or cannot be made."""


@attrs.frozen
class NamedNamespace:
    """A name, and what it stands for.

    Attributes
    ----------
    name : of the file
    peer : whose namespace it is; empty for the hub's
    device, inode : of the namespace
    file_device, file_inode : of the file on which it is mounted
    """

    name: str
    peer: str
    device: int
    inode: int
    file_device: int
    file_inode: int


def name_of(network: str, peer: str) -> str:
    """The name of a peer's namespace; of the hub's, if the peer's name is empty."""
    return f"{network}.{peer or HUB}"


def check_free(network: str, peers: Iterable[str]) -> None:
    """See that none of the names is taken. Raises `NamespaceNameError`."""
    for name in (name_of(network, peer) for peer in ("", *peers)):
        if os.path.lexists(FOLDER / name):
            raise _taken(name)


class NamespaceNames:
    """The names of one network; `note` writes down which there are, before each comes into being.

    So whoever cleans up after a dead owner finds every one of them in what was noted, and needs to touch no
    other. Blocking, but short: some 50 us a name.
    """

    def __init__(self, network: str, note: Callable[[tuple[NamedNamespace, ...]], None]) -> None:
        self._network = network
        self._note = note
        self._named: dict[str, NamedNamespace] = {}

    def add(self, namespaces: Mapping[str, int]) -> None:
        """Name these namespaces (descriptors by peer; the hub's under the empty name): all, or none.

        Raises `NamespaceNameError` for a name that is taken, PermissionError where nothing may be mounted.
        """
        _share()
        with _placeholder() as file:
            place = os.fstat(file)
            made = {
                peer: NamedNamespace(name_of(self._network, peer), peer, *_identity(fd), place.st_dev, place.st_ino)
                for peer, fd in namespaces.items()
            }
            self._note((*self._named.values(), *made.values()))
            try:
                for peer, named in made.items():
                    _bind(file, namespaces[peer], named.name)
            except BaseException:
                remove(made.values())
                self._note(tuple(self._named.values()))
                raise
        self._named.update(made)

    def discard(self, peer: str) -> None:
        """Take a peer's name away, if it has one."""
        if (named := self._named.pop(peer, None)) is not None:
            remove([named])
            self._note(tuple(self._named.values()))

    def close(self) -> None:
        """Take all of them away. Closing twice is harmless."""
        named, self._named = tuple(self._named.values()), {}
        if named:
            remove(named)
            self._note(())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<NamespaceNames of {self._network!r}: {len(self._named)}>"


def remove(namespaces: Iterable[NamedNamespace]) -> list[str]:
    """Take these names away, as far as they still stand for what they stood for. Returns which did."""
    removed = []
    for named in namespaces:
        path = FOLDER / named.name
        if os.sep in named.name:
            continue
        found = False
        if _is(path, named.device, named.inode):
            from linkem_py.kernel import system

            system.unmount(str(path), system.MNT_DETACH | system.UMOUNT_NOFOLLOW)
            found = True
        if _is(path, named.file_device, named.file_inode):
            path.unlink(missing_ok=True)
            found = True
        if found:
            removed.append(named.name)
    return removed


def _is(path: Path, device: int, inode: int) -> bool:
    with contextlib.suppress(OSError):
        found = path.lstat()
        return (found.st_dev, found.st_ino) == (device, inode)
    return False


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def _share() -> None:
    """Let mounts under /run/netns be seen, and go, in other mount namespaces too: as ``ip netns add`` does."""
    from linkem_py.kernel import system

    FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        system.mount("", str(FOLDER), "none", system.MS_SHARED | system.MS_REC)
    except OSError as error:
        if error.errno != errno.EINVAL:  # it is not a mount point yet
            raise
        system.mount(str(FOLDER), str(FOLDER), "none", system.MS_BIND | system.MS_REC)
        system.mount("", str(FOLDER), "none", system.MS_SHARED | system.MS_REC)


@contextlib.contextmanager
def _placeholder() -> Iterator[int]:
    """A file without a name, which `os.link` can give as many as are needed; the descriptor is for that alone.

    A name that stands for it is known to be ours also where nothing was mounted on it yet.
    """
    scratch: Path | None = None
    try:
        fd = os.open(FOLDER, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o400)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):
            raise
        # An overlay before Linux 6.3 has no such files.
        scratch = FOLDER / f".linkem-{os.getpid()}"
        fd = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o400)
    try:
        yield fd
    finally:
        os.close(fd)
        if scratch is not None:
            scratch.unlink(missing_ok=True)


def _bind(file: int, namespace: int, name: str) -> None:
    from linkem_py.kernel import system

    path = FOLDER / name
    try:
        # With a directory, of which an absolute path makes no use: without one, Python would not follow the link.
        os.link(f"/proc/self/fd/{file}", path, src_dir_fd=file)
    except FileExistsError:
        raise _taken(name) from None
    system.mount(f"/proc/self/fd/{namespace}", str(path), "none", system.MS_BIND)


def _taken(name: str) -> NamespaceNameError:
    return NamespaceNameError(
        f"there is a network namespace {name!r} already ({FOLDER / name}), which belongs to somebody else: "
        f"ip netns delete {name} removes it, --name gives this network another name"
    )
