"""Programs run to their end for what they say by their exit codes (qmail-command(8)).

They get default signals and our descriptors, or other input. What keeps one from running, or ends it by
a signal, is temporary.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import SUCCESS, Temporary, agrees
from qmail.host import execute, fds, program
from qmail.host.reasons import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn


def ask(argv: Sequence[bytes], environ: Mapping[bytes, bytes]) -> bool:
    """Does a program agree, on our own descriptors: exit 0 yes, 111 not now (raised), anything else no?

    One that does not exist does not agree. Raises Temporary.
    """
    return agrees(_ended(_started(argv, environ)))


def run(argv: Sequence[bytes], environ: Mapping[bytes, bytes], *, unable: int) -> int:
    """The exit code of a program on our own descriptors; `unable` where it cannot be exec'd. Raises Temporary."""
    code = _ended(_started(argv, environ, unable))
    if code is None:
        raise Temporary(b"child crashed")
    return code


def feed(
    name: bytes,
    argv: Sequence[bytes],
    environ: Mapping[bytes, bytes],
    head: bytes,
    *,
    whole: bool = False,
    unable: int | None = None,
) -> int:
    """Run a program whose input is `head`, and then ours; its exit code.

    `name`: who says so where it cannot be exec'd, which exits `unable`, or what execute.exec_failure finds.
    `whole`: it has to read all of its input. Raises Temporary.
    """
    try:
        reader, writer = os.pipe()
        pid = os.fork()
    except OSError as error:
        raise Temporary(b"unable to fork: " + reason(error)) from error
    if not pid:
        _become(name, argv, environ, reader, unable)
    os.close(reader)
    failed = None
    try:
        fds.write_all(writer, head)
        for chunk in fds.chunks(0):
            fds.write_all(writer, chunk)
    except OSError as error:
        failed = error
    os.close(writer)
    code = _ended(pid)
    if code is None:
        raise Temporary(b"child crashed")
    # A program that says itself what went wrong need not have read everything.
    if failed is not None and code == SUCCESS and (whole or not isinstance(failed, BrokenPipeError)):
        raise Temporary(b"unable to copy input: " + reason(failed))
    return code


def _become(
    name: bytes, argv: Sequence[bytes], environ: Mapping[bytes, bytes], reader: int, unable: int | None
) -> NoReturn:
    try:
        fds.move(reader, 0)
        execute.replace(argv, environ)
    except OSError as error:
        program.say(2, program.fatal(name, b"unable to run " + argv[0] + b": " + reason(error)))
        os._exit(execute.exec_failure(error) if unable is None else unable)
    except BaseException:
        os._exit(111)


def _started(argv: Sequence[bytes], environ: Mapping[bytes, bytes], unable: int | None = None) -> int:
    try:
        return execute.spawn(argv, environ, {}, unable=unable)
    except OSError as error:
        raise Temporary(b"unable to fork: " + reason(error)) from error


def _ended(pid: int) -> int | None:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else None
