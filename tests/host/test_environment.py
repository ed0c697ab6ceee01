"""What a program hands on of what it was given."""

from __future__ import annotations

import os
import subprocess

import pytest

from conftest import BIN


@pytest.mark.parametrize(
    "given", [{}, {"LC_CTYPE": "C"}, {"LC_CTYPE": "POSIX"}, {"LC_CTYPE": "C.UTF-8"}, {"LC_ALL": "C"}, {"LANG": "de_DE"}]
)
def test_the_environment_is_passed_on_as_it_came(given: dict[str, str]) -> None:
    """The interpreter sets LC_CTYPE for itself where the locale is C."""
    done = subprocess.run([BIN / "pgrphack", "/usr/bin/env"], env=given, capture_output=True, check=True)
    assert done.stdout == b"".join(f"{name}={value}\n".encode() for name, value in given.items())


def test_descriptors_that_exec_would_close_can_be_closed_without_it() -> None:
    from qmail.host import fds

    pid = os.fork()
    if not pid:
        private, shared = os.open("/dev/null", os.O_RDONLY), os.open("/dev/null", os.O_RDONLY)
        os.set_inheritable(shared, True)
        fds.close_private()
        os.fstat(shared)
        try:
            os.fstat(private)
        except OSError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
