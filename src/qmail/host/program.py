"""The frame around every program: from `main` to an exit code.

A program is one function, `main(argv, environ) -> exit code`, over descriptors 0, 1, 2 ...
It ends by returning, or by raising `Temporary` or `Permanent`. Anything else that escapes is a
bug or a machine in trouble, and is temporary, so that mail is tried again and never lost.
"""

from __future__ import annotations

import os
import sys

from qmail.formats.verdict import TEMPORARY, Ending
from qmail.host import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    Main = Callable[[list[bytes], dict[bytes, bytes]], int]


COERCED = (b"C.UTF-8", b"C.utf8", b"UTF-8")


def run(main: Main) -> NoReturn:
    """Run `main` as this process and exit with its code. `--help` alone prints the program's manual text."""
    argv = [os.fsencode(word) for word in sys.argv]
    if argv[1:] == [b"--help"]:
        say(1, _manual(main))
        os._exit(0)
    signals.defaults()
    os._exit(ended(argv[0], lambda: main(argv, _environment())))


def ended(name: bytes, body: Callable[[], int]) -> int:
    """The exit code of `body`, with its last words on descriptor 2, one line, under `name`."""
    try:
        return body()
    except BaseException as error:
        code, words = last_words(name, error)
        say(2, words)
        return code


def last_words(name: bytes, error: BaseException) -> tuple[int, bytes]:
    """The exit code of a program that ends with this error, and its last line (empty for silence)."""
    if isinstance(error, Ending):
        return error.code, error.text and (line(error.text) if error.plain else fatal(name, error.text))
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else TEMPORARY, b""
    return TEMPORARY, fatal(name, _unforeseen(error))


def fatal(name: bytes, text: bytes) -> bytes:
    """The line `NAME: fatal: TEXT`, with the program's base name."""
    return line(os.path.basename(name) + b": fatal: " + text)


def line(text: bytes) -> bytes:
    """`text` as exactly one line: a newline inside, as in a hostile file name, becomes a blank."""
    return text.rstrip(b"\n").replace(b"\n", b" ") + b"\n"


def say(descriptor: int, text: bytes) -> None:
    """Write to a descriptor that may be closed or full; what cannot be said changes no exit code."""
    try:
        while text:
            text = text[os.write(descriptor, text) :]
    except OSError:
        pass


def _environment() -> dict[bytes, bytes]:
    """The environment as it was given to us. The interpreter sets LC_CTYPE where the locale is C (PEP 538)."""
    environ = dict(os.environb)
    if environ.get(b"LC_CTYPE") in COERCED:
        try:
            with open("/proc/self/environ", "rb", buffering=0) as file:
                given = b"\0" + file.read()
        except OSError:
            return environ
        place = given.find(b"\0LC_CTYPE=")
        if place < 0:
            del environ[b"LC_CTYPE"]
        else:
            environ[b"LC_CTYPE"] = given[place + 10 :].partition(b"\0")[0]
    return environ


def _manual(main: Main) -> bytes:
    text = sys.modules[main.__module__].__doc__ or ""
    return text.strip().encode() + b"\n"


def _unforeseen(error: BaseException) -> bytes:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f" at {os.path.basename(frame.tb_frame.f_code.co_filename)}:{frame.tb_lineno}" if frame else ""
    return os.fsencode(f"unforeseen {type(error).__name__}: {error}{where} (#4.3.0)")
