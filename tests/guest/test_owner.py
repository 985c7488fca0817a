from __future__ import annotations

import os
import subprocess

import pytest

from linkem_py.errors import GuestError
from linkem_py.guest import run_in_guest

pytestmark = pytest.mark.guest


def test_the_owner_must_be_the_process_that_started_this_one() -> None:
    with pytest.raises(GuestError, match=f"owner must be the process that started this one .{os.getppid()}.: 1"):
        run_in_guest(["true"], owner=1)


def test_an_owner_that_has_ended_already_gets_no_guest() -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    with pytest.raises(GuestError, match=f"owner {process.pid} has ended"):
        run_in_guest(["true"], owner=process.pid)
