"""The launcher of programs on a terminal, as a script."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from linkem_py.control import programs


def launched(*command: str, locale: str, env: dict[str, str]) -> tuple[str, str]:
    """What the program wrote on its terminal, and the launcher's report."""
    master, slave = os.openpty()
    with (
        os.fdopen(master, "rb", buffering=0) as terminal,
        subprocess.Popen(
            [sys.executable, "-I", "-S", str(programs._LAUNCHER), "2", locale, *command],
            stdin=slave, stdout=slave, stderr=subprocess.PIPE, start_new_session=True, env=env,
        ) as process,
    ):  # fmt: skip
        os.close(slave)
        said = b""
        try:
            while data := terminal.read(1000):
                said += data
        except OSError:
            pass  # nobody has the terminal open any more
        assert process.stderr is not None
        return said.decode(), process.stderr.read().decode()


@pytest.mark.parametrize("locale", ["", "C", "POSIX", "C.UTF-8"])
def test_the_program_has_the_locale_that_it_was_given(locale: str) -> None:
    env = {"PATH": os.defpath} | ({"LC_CTYPE": locale} if locale else {})
    said, _ = launched("sh", "-c", 'echo "[$LC_CTYPE]"', locale=locale, env=env)
    assert said.strip() == f"[{locale}]"


def test_why_there_is_no_program_is_reported(tmp_path: Path) -> None:
    assert launched(str(tmp_path / "none"), locale="", env={}) == ("", "2")
