"""What the README shows is what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from linkem_py.model.impairment import FIELDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.kernel("netem", "gact", "skbedit", "u32_mark")
def test_the_first_example_runs_as_it_stands() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", blocks("python")[0]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "5 packets transmitted" in done.stdout
    assert "b'hello\\n'" in done.stdout
    assert "delay_ms=80" in done.stdout


def test_every_command_shown_is_one_that_the_command_line_takes() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("linkem ")]
    assert len(lines) >= 5
    for line in lines:
        name = line.split()[1]
        done = subprocess.run(
            [sys.executable, "-m", "linkem_py.cli.main", name, "--help"],
            capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}: {done.stderr}"
        for option in re.findall(r"--[a-z]+", line.partition(" -- ")[0]):
            assert option in done.stdout, line


def test_every_field_of_a_link_is_named() -> None:
    listed = README[README.index("## What a link can do") :]
    unnamed = [name for name in FIELDS if name not in listed and not name.endswith("_correlation_pct")]
    assert not unnamed


def test_files_and_pictures_that_are_linked_are_there() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    missing = [target for target in targets if "://" not in target and not (ROOT / target).exists()]
    assert not missing
