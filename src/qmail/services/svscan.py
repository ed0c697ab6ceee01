"""svscan whose supervises are forks of itself: no interpreter starts, and most of the memory is shared."""

from __future__ import annotations

import gc
import os

from qmail.host import execute, fds, program, signals, title
from qmail.programs.daemontools import supervise, svscan
from qmail.stores import home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

__doc__ = svscan.__doc__  # what --help prints


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run svscan. Where the `supervise` in PATH is not the one that stands beside us, that one is run instead."""
    beside = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(argv[0])), b"supervise"))

    def become(words: list[bytes], environment: Mapping[bytes, bytes]) -> NoReturn:
        found = next((path for path in execute.candidates(words[0], environment) if os.access(path, os.X_OK)), b"")
        if os.path.realpath(found) != beside or not home.is_own(found, b"supervise"):
            execute.replace(words, environment)
        signals.restore()
        title.forget()
        fds.close_private()
        os._exit(program.ended(words[0], lambda: supervise.main(words, dict(environment))))

    gc.collect()
    gc.freeze()
    return svscan.main(argv, environ, become)
