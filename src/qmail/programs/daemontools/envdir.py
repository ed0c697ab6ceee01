"""envdir: run a program with variables taken from the files of a directory.

One file for each variable is easier to change by a script than a line in a run
script is, and a secret in a file shows up in no list of processes.

Usage: envdir DIRECTORY PROGRAM [ARGUMENT...]

    mkdir env; echo 30 > env/DATABYTES
    envdir ./env qmail-smtpd

The file DIRECTORY/NAME sets the variable NAME to its first line. An empty file
takes the variable NAME away. Everything else in the environment stays.

Behaviour:
Blanks and tabs at the end of the line are removed, and a NUL in it becomes a
newline. A file whose first line is empty sets the variable to nothing. Files
whose names begin with a dot are left out. A link that leads nowhere takes its
variable away, as an empty file does. A subdirectory is an error, and so is a
file of more than 1 MiB. Where a file's name has `=` in it, the name of the
variable ends there.

PROGRAM is searched in the PATH that envdir itself was given, not in one from
DIRECTORY. It takes the place of envdir.

Environment: PATH, to find PROGRAM.
Runs as: anybody who may read DIRECTORY.
Exit codes: 111 usage, or DIRECTORY or a file in it cannot be read, or PROGRAM
    cannot be run; else those of PROGRAM.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import TEMPORARY, Temporary, Usage
from qmail.host import execute, fds
from qmail.host.reasons import reason

USAGE = b"envdir: usage: envdir dir child"
LARGEST = 1 << 20  # bytes of a file; the kernel takes no variable of more than 128 KiB


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 3:
        raise Usage(USAGE, code=TEMPORARY)
    try:
        execute.replace(argv[2:], _changed(environ, argv[1]), search=environ)
    except OSError as error:
        raise Temporary(b"unable to run " + argv[2] + b": " + reason(error)) from None


def _changed(environ: dict[bytes, bytes], directory: bytes) -> dict[bytes, bytes]:
    changed = dict(environ)
    step = b"switch to directory "
    try:
        os.stat(directory)
        os.stat(directory + b"/.")  # may it be entered?
        step = b"read directory "
        names = os.listdir(directory)
    except OSError as error:
        raise Temporary(b"unable to " + step + directory + b": " + reason(error)) from None
    for name in names:
        if not name.startswith(b"."):
            text = _text(directory, name)
            value = text.partition(b"\n")[0].rstrip(b" \t").replace(b"\0", b"\n")
            # A name may have a = in it: what follows that is part of the value.
            variable, _, value = (name + b"=" + value).partition(b"=")
            changed.pop(variable, None)
            if text and variable:
                changed[variable] = value
    return changed


def _text(directory: bytes, name: bytes) -> bytes:
    path = directory + b"/" + name
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            text = fds.read_all(descriptor, LARGEST)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise Temporary(b"unable to read " + path + b": " + reason(error)) from None
    if text is None:
        raise Temporary(b"unable to read " + path + b": file too big")
    return text
