"""A topology from a file or a name."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from linkem_py.cli import shipped
from linkem_py.cli.errors import LoadError, UsageError
from linkem_py.cli.parameters import parse_parameters
from linkem_py.errors import LinkemError

if TYPE_CHECKING:
    from linkem_py.model import Topology

FUNCTION = "topology"
_SHIPPED_PACKAGE = "linkem_shipped_topologies"  # a name that nobody else's module has


def load_topology(text: str, settings: Sequence[str] = ()) -> Topology:
    """The topology that `text` names, made with the parameters in `settings` (``name=value``).

    In this order: the path of a file; a module of a package `topologies`; a name of one that
    comes with linkem_py; a module that can be imported. A function other than `topology` is
    named after a colon. Raises `UsageError` and `LoadError`.
    """
    where, colon, function_name = text.rpartition(":")
    if not colon or Path(text).is_file():
        where, function_name = text, FUNCTION
    module = _module(where)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise LoadError(f"{_file(module)} defines no function {function_name}(): it must return a Topology")
    arguments = parse_parameters(where, function, settings)
    with _translated(Path(_file(module))):
        result = function(**arguments)
    return _checked(result, module, function_name)


def _checked(result: object, module: ModuleType, function_name: str) -> Topology:
    from linkem_py.model import Topology

    if not isinstance(result, Topology):
        raise LoadError(f"{_file(module)}: {function_name}() must return a Topology, not {type(result).__name__}")
    return result


def _module(where: str) -> ModuleType:
    path = Path(where)
    if path.is_file():
        return _from_file(path.resolve())
    if path.suffix == ".py" or os.sep in where:
        raise UsageError(
            f"no such file: {where}" if not path.is_dir() else f"{where} is a directory, not a Python file"
        )
    _first_on_path(Path.cwd())
    if all(part.isidentifier() for part in where.split(".")):
        for name in (f"topologies.{where}", _shipped_name(where), where):
            if name and _exists(name):
                return _imported(name)
    known = ", ".join(shipped.names()) or "none"
    raise UsageError(f"no such topology: {where}: neither a file nor a module; those that come with linkem_py: {known}")


def _from_file(path: Path) -> ModuleType:
    _first_on_path(path.parent)  # as `python FILE` does: it may import its neighbours
    name = f"linkem_topology_{path.stem}"  # of its own: the file may be called like a module that is in use
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LoadError(f"{path} is not a Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader = spec.loader
    with _translated(path):
        loader.exec_module(module)
    return module


def _imported(name: str) -> ModuleType:
    spec = importlib.util.find_spec(name)
    with _translated(Path(spec.origin) if spec and spec.origin else None):
        return importlib.import_module(name)


def _exists(name: str) -> bool:
    """Whether there is a module of that name; a package on the way to it is imported."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
    except Exception:
        return True  # it is there, and importing it will say what is wrong


def _shipped_name(where: str) -> str:
    """The name by which a shipped topology can be imported; empty if there is none of that name."""
    folder = shipped.folder()
    if folder is None or "." in where or not (folder / f"{where}.py").is_file():
        return ""
    if _SHIPPED_PACKAGE not in sys.modules:
        package = ModuleType(_SHIPPED_PACKAGE)
        package.__path__ = [str(folder)]
        sys.modules[_SHIPPED_PACKAGE] = package
    return f"{_SHIPPED_PACKAGE}.{where}"


def _first_on_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _file(module: ModuleType) -> str:
    return _short(Path(getattr(module, "__file__", None) or module.__name__))


@contextlib.contextmanager
def _translated(path: Path | None) -> Iterator[None]:
    """Turns whatever a topology's file raises into a `LoadError` that says where."""
    try:
        yield
    except (UsageError, LoadError, KeyboardInterrupt):
        raise
    except SyntaxError as error:
        line = f":{error.lineno}" if error.lineno else ""
        raise LoadError(f"{_short(Path(error.filename or str(path)))}{line}: {error.msg}") from error
    except BaseException as error:  # also SystemExit, of a script that was not meant to be imported
        raise LoadError(f"{_place(error, path)}{_words(error)}") from error


def _words(error: BaseException) -> str:
    if isinstance(error, LinkemError):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _place(error: BaseException, path: Path | None) -> str:
    """``file:line: `` of the innermost line of the topology's own file, or of the innermost of all."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if path is not None and _same(frame.filename, path)]
    frame = (own or frames)[-1]
    return f"{_short(Path(frame.filename))}:{frame.lineno}: "


def _same(filename: str, path: Path) -> bool:
    with contextlib.suppress(OSError):
        return Path(filename).samefile(path)
    return False


def _short(path: Path) -> str:
    """The path as seen from the working directory, if that is shorter."""
    relative = os.path.relpath(path) if path.is_absolute() else str(path)
    return min(relative, str(path), key=len)
