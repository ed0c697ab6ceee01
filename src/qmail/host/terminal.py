"""Asking a person at a terminal for something that nobody else may see."""

from __future__ import annotations

import os
import termios

from qmail.host import fds

_ECHO = 3  # the place of the local modes in what tcgetattr returns


def secret(prompt: bytes, most: int) -> bytes:
    """One line that is typed unseen at the terminal on descriptor 0; see `line`. Raises OSError."""
    before = termios.tcgetattr(0)
    unseen = [*before[:_ECHO], before[_ECHO] & ~(termios.ECHO | termios.ECHONL), *before[_ECHO + 1 :]]
    termios.tcsetattr(0, termios.TCSAFLUSH, unseen)  # what was typed before the question is no answer
    try:
        fds.write_all(2, prompt)
        return line(0, most)
    finally:
        termios.tcsetattr(0, termios.TCSAFLUSH, before)
        fds.write_all(2, b"\n")


def line(descriptor: int, most: int) -> bytes:
    """One line without its end; nothing where it has a NUL or more than `most` bytes."""
    said = b""
    while not said.endswith(b"\n") and len(said) <= most and (byte := os.read(descriptor, 1)):
        said += byte
    said = said.removesuffix(b"\n").removesuffix(b"\r")
    return b"" if len(said) > most or b"\0" in said else said
