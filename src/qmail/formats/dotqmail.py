"""The text of a .qmail file as a sequence of instructions (dot-qmail(5))."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

BLANK_FIRST = b"Uh-oh: first line of .qmail file is blank. (#4.2.1)"
FILE_REFUSED = b"Uh-oh: .qmail has file delivery but has x bit set. (#4.7.0)"
PROGRAM_REFUSED = b"Uh-oh: .qmail has prog delivery but has x bit set. (#4.7.0)"

MBOX, MAILDIR, PROGRAM, FORWARD, REFUSED = "mbox", "maildir", "program", "forward", "refused"


class Instruction:
    """One line. `kind` is one of the five above, `value` the file, the command, the address, or why it is refused.

    A refusal is a value, since the instructions before it must still be followed.
    """

    __slots__ = ("kind", "value")

    def __init__(self, kind: str, value: bytes) -> None:
        self.kind, self.value = kind, value


def instructions(text: bytes, *, forward_only: bool) -> Iterator[Instruction]:
    """Read a .qmail file, one instruction a line; comments and blank lines are none.

    `forward_only`: the file is executable, or a line `+list` makes it so for the lines behind it. A NUL ends its line.
    """
    at, size = 0, len(text.removesuffix(b"\n"))
    while at <= size:
        begin, end = at, text.find(b"\n", at, size)
        at = (size if end < 0 else end) + 1
        line = text[begin : at - 1].rstrip(b" \t")
        shown = line.partition(b"\0")[0]
        first = shown[:1]
        if not first:
            if begin == 0:
                yield Instruction(REFUSED, BLANK_FIRST)
                return
        elif first == b"#":
            pass
        elif first in (b".", b"/"):
            if forward_only:
                yield Instruction(REFUSED, FILE_REFUSED)
                return
            yield Instruction(MAILDIR if line.endswith(b"/") else MBOX, shown)
        elif first == b"|":
            if forward_only:
                yield Instruction(REFUSED, PROGRAM_REFUSED)
                return
            yield Instruction(PROGRAM, shown[1:])
        elif first == b"+":
            forward_only = forward_only or shown == b"+list"
        else:
            yield Instruction(FORWARD, shown[1:] if first == b"&" else shown)
