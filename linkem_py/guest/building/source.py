"""Where a kernel's source comes from: the distribution's package, a tarball, or a tree that is there."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from linkem_py.guest.building import needs
from linkem_py.guest.building.errors import BuildError
from linkem_py.guest.kernels import version_key

PACKAGE = "package"  # in words: whichever is the newest

_PACKAGE_NAME = re.compile(r"linux-source-[0-9][0-9.]*")
_INSTALLED = Path("/usr/src")
_APT_TIMEOUT_S = 120.0
_DOWNLOAD_TIMEOUT_S = 1800.0

_NAME_A_TREE = "or name a kernel tree or tarball (https://www.kernel.org has them): --source linux-6.12.tar.xz"

# Most of a kernel's source is for hardware. Its Kconfig files are read nevertheless, and stay.
_UNUSED = (
    "Documentation/*/*",
    *(f"drivers/{name}/*.[chS]" for name in (
        "accel", "gpu", "media", "infiniband", "staging", "scsi", "iio", "clk", "pinctrl", "video", "usb", "comedi",
        "crypto", "net/ethernet", "net/wireless", "mtd", "s390", "soc", "platform",
    )),
    *(f"arch/{name}/*.[chSd]*" for name in (
        "alpha", "arc", "arm", "arm64", "csky", "hexagon", "loongarch", "m68k", "microblaze", "mips", "nios2",
        "openrisc", "parisc", "powerpc", "riscv", "s390", "sh", "sparc", "xtensa",
    )),
    "sound/*.[ch]",
    "fs/xfs/*.[ch]",
    "tools/testing/*",
    "tools/perf/*",
)  # fmt: skip


@attrs.frozen
class Source:
    """A source that was found, but not yet touched.

    Attributes
    ----------
    name : for people
    version : of the kernel, if known before unpacking, else empty
    path : a tree or a tarball; None for a package that has to be downloaded
    """

    name: str
    version: str = ""
    path: Path | None = None

    @property
    def tools(self) -> tuple[str, ...]:
        """What unpacking takes, as `needs.check` has it."""
        if self.path is None:
            return (".xz",)
        return () if self.path.is_dir() else (self.path.suffix,)


def find_source(asked: str = PACKAGE) -> Source:
    """What `asked` means: ``package``, the name of a package, a tarball or a folder.

    Raises
    ------
    BuildError : there is no such thing, or it is not a kernel's source
    """
    if asked == PACKAGE or _PACKAGE_NAME.fullmatch(asked):
        return _packaged(None if asked == PACKAGE else asked)
    path = Path(asked).expanduser().absolute()
    if path.is_dir():
        _check_tree(path)
        return Source(str(path), "", path)
    if not path.is_file():
        raise BuildError(f"there is no kernel source at {path}")
    if path.suffix != ".tar" and path.suffix not in needs.UNPACKERS:
        raise BuildError(f"{path} is no kernel source: it takes a tarball (.tar.xz) or a folder")
    return Source(str(path), "", path)


def obtain(source: Source, work: Path, tell: Callable[[str], object]) -> Path:
    """The tree of a source: itself, or unpacked in `work`. Raises `BuildError`."""
    if source.path is not None and source.path.is_dir():
        return source.path
    tarball = source.path
    if tarball is None:
        tell(f"fetching {source.name}")
        tarball = _downloaded(source.name.partition(" ")[0], work)
    tell(f"unpacking {tarball.name}")
    tree = work / "source"
    tree.mkdir()
    excluded = [f"--exclude=*/{pattern}" for pattern in _UNUSED]
    _run(["tar", "-xf", str(tarball), "-C", str(tree), "--strip-components=1", *excluded], f"unpacking {tarball}")
    if tarball != source.path:
        tarball.unlink()
    _check_tree(tree, source.name)
    return tree


def kernel_version(tree: Path) -> str:
    """The version of a tree, as its Makefile has it: ``6.12.117``, ``6.13.0-rc2``."""
    head = tree.joinpath("Makefile").read_text(encoding="utf-8", errors="replace")[:2000]
    found = dict(re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *= *(.*)$", head, re.MULTILINE))
    try:
        return f"{found['VERSION']}.{found['PATCHLEVEL']}.{found['SUBLEVEL']}{found['EXTRAVERSION'].strip()}"
    except KeyError:
        raise BuildError(f"{tree} is not the source of a kernel: its Makefile tells no version") from None


def _check_tree(tree: Path, name: str = "") -> None:
    name = name or str(tree)
    if not (tree / "Makefile").is_file() or not (tree / "arch/um/Makefile").is_file():
        raise BuildError(f"{name} is not the source of a kernel with user mode: arch/um/Makefile is missing")
    if (tree / ".config").exists() or (tree / "include/config").exists():
        raise BuildError(
            f"{name} has been configured and built in: run make ARCH=um mrproper there, or name a clean tree"
        )
    kernel_version(tree)


# --- packages --------------------------------------------------------------------------------------


def _packaged(name: str | None) -> Source:
    """The newest package, or that of this name: as installed, else as apt has it."""
    found = [source for source in (*_installed(), *_in_apt(name)) if name in (None, source.name.partition(" ")[0])]
    if found:
        # Of two of one series (6.12) the installed one comes first: it costs no download.
        return max(found, key=lambda source: version_key(source.name.partition(" ")[0]))
    if shutil.which("apt-cache") is None:
        raise BuildError(
            f"this distribution has no package with a kernel's source that is known here: {_NAME_A_TREE[3:]}"
        )
    what = f"no package {name}" if name else "no package linux-source-*"
    raise BuildError(f"apt knows {what}: run apt-get update, {_NAME_A_TREE}")


def _installed() -> Iterator[Source]:
    for path in sorted(_INSTALLED.glob("linux-source-*.tar.*")):
        name = _PACKAGE_NAME.match(path.name.partition(".tar")[0])
        if name:
            yield Source(name[0].rstrip("."), "", path)


def _in_apt(name: str | None) -> Iterator[Source]:
    if shutil.which("apt-cache") is None:
        return
    listed = _run(["apt-cache", "search", "--names-only", "^linux-source-[0-9]"], "apt-cache", _APT_TIMEOUT_S)
    for line in listed.splitlines():
        package = line.partition(" ")[0]
        if _PACKAGE_NAME.fullmatch(package) and name in (None, package):
            shown = _run(["apt-cache", "show", "--no-all-versions", package], "apt-cache", _APT_TIMEOUT_S)
            version = re.search(r"^Version: (\S+)$", shown, re.MULTILINE)
            if version:
                yield Source(f"{package} ({version[1]})", _upstream(version[1]))


def _upstream(version: str) -> str:
    """A kernel's version in that of its package: 6.12.117 of 6.12.117-1~deb12u1; empty if it is of another kind."""
    number = version.partition(":")[2] or version
    found = re.match(r"(\d+\.\d+\.\d+)-", number)
    return found[1] if found else ""


def _downloaded(package: str, work: Path) -> Path:
    """The tarball in a package, which is not installed."""
    room = work / "package"
    room.mkdir()
    if shutil.which("dpkg-deb") is None:
        raise BuildError(f"dpkg-deb is missing, which unpacks {package}: install dpkg")
    # As root, apt fetches as a user of its own if that user can write here.
    _run(["apt-get", "-qq", "download", package], f"fetching {package}", _DOWNLOAD_TIMEOUT_S, cwd=room)
    archive = next(room.glob("*.deb"), None)
    if archive is None:
        raise BuildError(f"apt-get download {package} fetched nothing")
    _run(["dpkg-deb", "-x", str(archive), str(room)], f"unpacking {package}")
    archive.unlink()
    tarballs = sorted(room.glob("usr/src/**/linux-source-*.tar.*"), key=lambda path: path.stat().st_size)
    if not tarballs:
        raise BuildError(f"the package {package} has no tarball of a kernel's source in /usr/src")
    return tarballs[-1]


def _run(command: list[str], what: str, timeout_s: float | None = None, cwd: Path | None = None) -> str:
    """What a program prints. Raises `BuildError` with its last words."""
    from linkem_py.guest.building.compile import last_words, owned

    try:
        with owned(command, cwd=cwd, env={"LC_ALL": "C"}) as process:
            out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise BuildError(f"{what} did not end within {timeout_s:.0f} s") from None
    except OSError as error:
        raise BuildError(f"{what} failed: {error}") from error
    if process.returncode:
        raise BuildError(f"{what} failed: {last_words(err or out)}")
    return out
