"""The networks that run on this machine, by name: a folder of the user's with a record of each.

A network ``demo`` has there ``demo.json`` (its record), ``demo.sock`` (its control socket), ``demo.lock``
and, if it was detached, ``demo.log``. Its owner holds the lock (flock(2)) as long as it lives; the
kernel lets go of it however the owner ends, so a lock that can be had means that the owner is
dead, whoever has its process number by now.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs

from linkem_py.control import names
from linkem_py.control.names import NamedNamespace
from linkem_py.errors import LinkemError, RequestError

FOLDER_VARIABLE = "LINKEM_RUNTIME_DIR"  # another folder than the user's own
RUNNING, STARTING = "running", "starting"
_FILES = ("sock", "log", "new", "json")  # of a network, beside its lock
_LONGEST_PATH = 107  # unix(7): sun_path holds 108 bytes with the final NUL
_TRIES, _PAUSE_S = 20, 0.025  # whoever only looks holds a lock for an instant
_NAME = re.compile(r"[A-Za-z0-9._-]{1,63}")


class RegistryError(LinkemError):
    """The folder of running networks cannot be used, or has no network of that name."""


class NameInUseError(RegistryError):
    """A network of that name runs already."""


@attrs.frozen(kw_only=True)
class Record:
    """What is known of a network without asking it.

    Attributes
    ----------
    name, topology : of the network, of its topology
    pid, process_started : the owner, and when it was started (clock ticks since boot, proc(5))
    started_at : since when the network is up, seconds since the epoch; while it starts, when it was asked for
    state : ``starting`` or ``running``
    place : where it runs, in words; `kernel` is the release of the kernel there
    peers, links : the peers' names, the number of links, at the start
    mqtt : the broker's URL without user and password; empty without MQTT
    namespaces : the named network namespaces
    """

    name: str
    pid: int
    process_started: int
    started_at: float
    topology: str = ""
    state: str = STARTING
    place: str = ""
    kernel: str = ""
    peers: tuple[str, ...] = ()
    links: int = 0
    mqtt: str = ""
    namespaces: tuple[NamedNamespace, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        return attrs.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Record:
        """The reverse; fields of a later version are left out. Raises KeyError, TypeError, ValueError."""
        known = {name: fields[name] for name in attrs.fields_dict(cls) if name in fields}
        known["peers"] = tuple(known.get("peers", ()))
        known["namespaces"] = tuple(NamedNamespace(**one) for one in known.get("namespaces", ()))
        return cls(**known)


@attrs.frozen
class Entry:
    """A network of the registry: its record (None if that cannot be read), and whether its owner lives."""

    name: str
    alive: bool
    record: Record | None
    socket: Path
    log: Path


class Claim:
    """A name that is ours: from `Registry.claim`, until it is closed."""

    def __init__(self, registry: Registry, lock: int, record: Record) -> None:
        self._registry = registry
        self._lock = lock
        self.record = record
        self.cleaned: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The network's."""
        return self.record.name

    @property
    def socket(self) -> Path:
        """Where the control socket belongs."""
        return self._registry.path(self.name, "sock")

    @property
    def log(self) -> Path:
        """Where a detached owner writes what it has to say."""
        return self._registry.path(self.name, "log")

    def update(self, **fields: Any) -> None:
        """Change these fields of the record, in the file too. Raises OSError."""
        self.record = attrs.evolve(self.record, **fields)
        self._registry.write(self.record)

    def close(self, *, keep_log: bool = False) -> None:
        """Give the name up: nothing of it is left in the folder, but perhaps the log. Closing twice is harmless."""
        if self._lock >= 0:
            lock, self._lock = self._lock, -1
            try:
                self._registry.remove_files(self.name, keep_log=keep_log)
            finally:
                os.close(lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Why a network in the background has failed is said in its log alone.
        self.close(keep_log=isinstance(error, Exception))

    def __repr__(self) -> str:
        return f"<Claim of {self.name!r}{'' if self._lock >= 0 else ', given up'}>"


class Registry:
    """The running networks of one folder. `Registry.of_user()` is this user's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of_user(cls, env: Mapping[str, str] | None = None) -> Registry:
        """The folder of whoever runs this process: $LINKEM_RUNTIME_DIR if that is set; for root
        /run/linkem; for others $XDG_RUNTIME_DIR/linkem, else /tmp/linkem-UID.
        """
        env = os.environ if env is None else env
        if given := env.get(FOLDER_VARIABLE):
            return cls(Path(given))
        # Root of a user namespace only is nobody in /run.
        if os.geteuid() == 0 and os.access("/run", os.W_OK):
            return cls(Path("/run/linkem"))
        if runtime := env.get("XDG_RUNTIME_DIR"):
            return cls(Path(runtime) / "linkem")
        return cls(Path(f"/tmp/linkem-{os.geteuid()}"))

    # --- looking -------------------------------------------------------------------------------

    def networks(self) -> list[Entry]:
        """All of them, dead ones too, by name."""
        try:
            found = sorted(path.name.removesuffix(".lock") for path in self.folder.glob("*.lock"))
        except OSError:
            return []
        return [entry for name in found if (entry := self.find(name)) is not None]

    def find(self, name: str) -> Entry | None:
        """The network of that name, alive or dead; None if there is none."""
        if not _NAME.fullmatch(name):
            return None
        alive = self._is_held(name)
        if alive is None:
            return None
        return Entry(name, alive, self._read(name), self.path(name, "sock"), self.path(name, "log"))

    def get(self, name: str) -> Entry:
        """As `find`. Raises `RegistryError` naming those that there are."""
        entry = self.find(name)
        if entry is None:
            known = ", ".join(one.name for one in self.networks()) or "none"
            last = f"; what the last one of that name said is in {log}" if (log := self._log_of(name)) else ""
            raise RegistryError(f"no network {name!r} runs here; those that run: {known}{last}")
        return entry

    # --- owning --------------------------------------------------------------------------------

    def claim(self, name: str, *, topology: str = "") -> Claim:
        """Take a name, cleaning up first what a dead owner left of it (`Claim.cleaned`).

        Raises `NameInUseError` with the owner's process number, `RequestError` for a name that
        cannot be used, `RegistryError` if the folder cannot.
        """
        self._check_name(name)
        self._need_folder()
        lock = self._take(name)
        if lock is None:
            raise NameInUseError(self._whose(name))
        try:
            cleaned = self._clean(name)
            pid = os.getpid()
            record = Record(
                name=name, topology=topology, pid=pid, process_started=process_start(pid) or 0, started_at=time.time()
            )
            self.write(record)
            claim = Claim(self, lock, record)
            claim.cleaned = tuple(cleaned)
            return claim
        except BaseException:
            os.close(lock)
            raise

    def clean(self, name: str) -> list[str]:
        """Take away what a dead owner left: exactly what its record lists. Returns what, in words.

        Raises `NameInUseError` if the owner lives.
        """
        self.get(name)
        lock = self._take(name)
        if lock is None:
            raise NameInUseError(self._whose(name))
        try:
            cleaned = self._clean(name)
            self.remove_files(name)
            return cleaned
        finally:
            os.close(lock)

    # --- for Claim -----------------------------------------------------------------------------

    def path(self, name: str, kind: str) -> Path:
        """A file of a network. No two networks share one: the kind comes last."""
        return self.folder / f"{name}.{kind}"

    def write(self, record: Record) -> None:
        """The record into its file, so that a reader finds the old one or the new one, whole."""
        scratch = self.path(record.name, "new")  # one writer only: who holds the lock
        try:
            scratch.write_text(json.dumps(record.as_json()), encoding="utf-8")
            scratch.replace(self.path(record.name, "json"))
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise

    def remove_files(self, name: str, *, keep_log: bool = False) -> None:
        """Everything of that name, the lock last: as long as it is there the name is taken."""
        for kind in (*_FILES, "lock"):
            if not (keep_log and kind == "log"):
                self.path(name, kind).unlink(missing_ok=True)

    # --- inside --------------------------------------------------------------------------------

    def _check_name(self, name: str) -> None:
        from linkem_py.control.wire.topics import check_network_name

        check_network_name(name)
        length = len(os.fsencode(self.path(name, "sock")))
        if length > _LONGEST_PATH:
            rule = f"makes a control socket's path of more than {_LONGEST_PATH} bytes ({self.path(name, 'sock')})"
            raise RequestError("name", rule, name)

    def _need_folder(self) -> None:
        """Make the folder, or see that nobody else can write into it."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.folder.lstat()
        except OSError as error:
            raise RegistryError(f"{self.folder} cannot be used for running networks: {error.strerror}") from error
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise RegistryError(
                f"{self.folder} must be a directory of user {os.geteuid()} with mode 0700, and is not: "
                f"remove it, or set {FOLDER_VARIABLE}"
            )

    def _take(self, name: str) -> int | None:
        """The lock, held; None if somebody else holds it."""
        path = self.path(name, "lock")
        for _ in range(_TRIES):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_file(fd, path):
                    return fd
            except BlockingIOError:
                time.sleep(_PAUSE_S)
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)  # held by another, or the file of an owner that ended meanwhile
        return None

    def _is_held(self, name: str) -> bool | None:
        """Whether the owner lives; None if there is no such network."""
        path = self.path(name, "lock")
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            held = _is_file(fd, path)
            os.close(fd)
        return False if held else None

    def _log_of(self, name: str) -> Path | None:
        log = self.path(name, "log") if _NAME.fullmatch(name) else None
        return log if log is not None and log.is_file() else None

    def _read(self, name: str) -> Record | None:
        try:
            return Record.from_json(json.loads(self.path(name, "json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def _whose(self, name: str) -> str:
        record = self._read(name)
        owner = f"its owner is process {record.pid}" if record is not None else "its owner is starting"
        return f"a network {name!r} runs already ({owner}): linkem down {name} ends it, --name gives another name"

    def _clean(self, name: str) -> list[str]:
        # With the lock held.
        record = self._read(name)
        cleaned = [] if record is None else names.remove(record.namespaces)
        for kind in _FILES:
            self.path(name, kind).unlink(missing_ok=True)
        return cleaned


def process_start(pid: int) -> int | None:
    """When a process was started, in clock ticks since boot (proc(5)); None if there is none of that number."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[19])


def _is_file(fd: int, path: Path) -> bool:
    """Whether the open file still is the one of that path."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), path.lstat())
    return False
