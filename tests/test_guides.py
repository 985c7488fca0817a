"""The guides start from nothing: their tests run as they stand, their commands and options exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.systems.programs import needs

ROOT = Path(__file__).parents[1]
SYSTEMS, CI = ROOT / "docs" / "guide-distributed-systems.md", ROOT / "docs" / "guide-ci-without-root.md"
GUIDES = pytest.mark.parametrize("guide", [SYSTEMS, CI], ids=lambda path: path.stem)
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def blocks(guide: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", guide.read_text(), re.DOTALL)


def commands(guide: Path) -> list[str]:
    """What a reader is to type, or a runner to run, or is named in the text."""
    shown = [line for kind in ("sh", "yaml") for block in blocks(guide, kind) for line in block.splitlines()]
    shown += re.findall(r"`((?:linkem|pytest) [^`]+)`", guide.read_text())
    return [line.partition("  #")[0].strip(" -") for line in shown]


def said(*words: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=110, env=ENVIRONMENT, check=False, cwd=folder
    )


def passes(guide: Path, folder: Path) -> str:
    """What pytest says of a guide's Python, as one file in a folder of its own."""
    (folder / "test_guide.py").write_text("".join(blocks(guide, "python")))
    done = said("-m", "pytest", "-q", "-p", "no:cacheprovider", "--linkem-require", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.kernel("netem", "htb", "gact", "skbedit", "u32_mark")
@needs("etcd")
def test_the_cluster_of_the_guide_survives_what_it_shows(tmp_path: Path) -> None:
    assert "2 passed" in passes(SYSTEMS, tmp_path)


@pytest.mark.kernel("netem", "htb")
@needs("ping")
def test_the_first_test_of_the_guide_passes(tmp_path: Path) -> None:
    assert "1 passed" in passes(CI, tmp_path)


@GUIDES
def test_every_command_and_its_options_exist(guide: Path) -> None:
    names = {line.removeprefix("run: ").split()[1]: line for line in commands(guide) if "linkem " in line[:12]}
    assert "doctor" in names
    for name, line in names.items():
        helped = said("-m", "linkem_py.cli.main", name, "--help")
        assert helped.returncode == 0, line
        for option in re.findall(r"--[a-z]+", line.partition(" -- ")[0]):
            assert option in helped.stdout, line


@GUIDES
def test_every_option_of_pytest_exists(guide: Path) -> None:
    shown = set(re.findall(r"--linkem-[a-z]+", guide.read_text()))
    assert "--linkem-kernel" in shown
    helped = said("-m", "pytest", "--help").stdout
    assert not [option for option in shown if option not in helped]


def test_what_the_guide_shows_of_a_skipped_test_is_what_pytest_says() -> None:
    from linkem_py.testing.place import remedy

    assert remedy("") in CI.read_text()


@GUIDES
def test_what_is_linked_is_there(guide: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", guide.read_text())
    assert targets
    assert not [target for target in targets if not (guide.parent / target).exists()]
