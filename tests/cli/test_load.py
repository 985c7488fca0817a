from __future__ import annotations

from pathlib import Path

import pytest

from linkem_py.cli import shipped
from linkem_py.cli.errors import LoadError, UsageError
from linkem_py.cli.load import load_topology

GOOD = """\
'''Some peers.'''
from linkem_py import Topology

def topology(peers: int = 2) -> Topology:
    made = Topology("mine")
    for number in range(peers):
        made.add_peer(f"p{number}")
    return made

def three():
    return topology(3)
"""


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("text", "peers"),
    [("mine.py", 2), ("./mine.py", 2), ("mine", 2), ("mine.py:three", 3), ("mine:three", 3), ("below.other", 2)],
)
def test_a_topology_is_a_file_or_a_module(folder: Path, text: str, peers: int) -> None:
    write(folder, "mine.py", GOOD)
    write(folder, "below/other.py", GOOD)
    assert len(load_topology(text).peers) == peers


def test_an_absolute_path_may_have_any_name(folder: Path) -> None:
    write(folder, "a:b c.py", GOOD)
    assert len(load_topology(f"{folder}/a:b c.py").peers) == 2


def test_a_file_may_import_its_neighbours(folder: Path) -> None:
    write(folder, "sub/mine.py", f"import neighbour_of_mine\n{GOOD}")
    write(folder, "sub/neighbour_of_mine.py", "")
    assert len(load_topology("sub/mine.py").peers) == 2


def test_a_file_may_be_called_like_a_module_in_use(folder: Path) -> None:
    write(folder, "json.py", GOOD)
    load_topology("json.py")
    import json

    assert hasattr(json, "dumps")


def test_a_users_topologies_come_before_those_that_are_shipped(folder: Path) -> None:
    write(folder, "topologies/regions_of_mine.py", GOOD)
    assert load_topology("regions_of_mine").name == "mine"


@pytest.mark.parametrize("name", shipped.names())
def test_shipped_topologies_load_from_anywhere(folder: Path, name: str) -> None:
    assert load_topology(name).peers


def test_shipped_topologies_need_no_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    root = str(Path(shipped.__file__).parent.parent.parent)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", root)])
    monkeypatch.delitem(sys.modules, "topologies", raising=False)
    assert load_topology("pair", ["delay_ms=5"]).link("a", "b").impairment.delay_ms == 5


def test_parameters_are_passed_on(folder: Path) -> None:
    write(folder, "mine.py", GOOD)
    assert len(load_topology("mine.py", ["peers=20"]).peers) == 20


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("none.py", "x = 1", "none.py defines no function topology(): it must return a Topology"),
        ("wrong.py", "def topology(): return 5", "wrong.py: topology() must return a Topology, not int"),
        ("syntax.py", "\ndef topology(:", "syntax.py:2: invalid syntax"),
        ("imports.py", "import nosuchthing", "imports.py:1: ModuleNotFoundError: No module named 'nosuchthing'"),
        ("raises.py", "def topology():\n    return 1 / 0", "raises.py:2: ZeroDivisionError: division by zero"),
        ("leaves.py", "raise SystemExit(3)", "leaves.py:1: SystemExit: 3"),
        ("asserts.py", "assert False", "asserts.py:1: AssertionError"),
        (
            "rule.py",
            "from linkem_py import Impairment\n\ndef topology():\n    Impairment(\n        loss_pct=130)\n",
            "rule.py:4: loss_pct must be between 0 and 100: 130",
        ),
        ("text.txt", "", "text.txt is not a Python file: its name must end in .py"),
    ],
)
@pytest.mark.parametrize("by_name", [False, True])
def test_what_is_wrong_with_a_file_is_said_with_its_line(
    folder: Path, name: str, text: str, said: str, by_name: bool
) -> None:
    if by_name and name == "text.txt":
        pytest.skip("no module")
    write(folder, name, text)
    with pytest.raises(LoadError) as caught:
        load_topology(Path(name).stem if by_name else name)
    assert str(caught.value).endswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nowhere", "no such topology: nowhere: neither a file nor a module; those that come with linkem_py: bonded_"),
        ("no.where", "no such topology: no.where"),
        ("not-a-name", "no such topology: not-a-name"),
        ("no/where", "no such file: no/where"),
        ("nowhere.py", "no such file: nowhere.py"),
        ("./", "./ is a directory, not a Python file"),
    ],
)
def test_what_is_not_there_is_wrong_usage(folder: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_topology(text)
    assert str(caught.value).startswith(said)


def test_a_description_needs_no_import(folder: Path) -> None:
    write(folder, "mine.py", f"{GOOD}\nraise SystemExit")
    write(folder, "_hidden.py", GOOD)
    write(folder, "broken.py", "def")
    write(folder, "other.py", "x = 1")
    (found,) = shipped.find_shipped(folder)
    assert found.name == "mine"
    assert found.summary == "Some peers."
    assert found.as_json()["parameters"] == ({"name": "peers", "annotation": "int", "default": "2"},)


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        ("a, /, b: int = 1, *, c='x', d", ["a", "b=1", "c='x'", "d"]),
        ("", []),
        ("a=1, *rest, **more", ["a=1"]),
    ],
)
def test_a_description_has_the_parameters(folder: Path, signature: str, said: list[str]) -> None:
    write(folder, "mine.py", f"def topology({signature}): ...")
    found = shipped.describe(folder / "mine.py")
    assert found is not None
    assert [str(parameter) for parameter in found.parameters] == said
