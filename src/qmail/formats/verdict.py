"""How a program ends: the small closed vocabulary of failures (qmail-command(8)).

An expected outcome is a value. What ends a program is `Temporary` or `Permanent`;
`host.program.run` turns it into an exit code, and whatever nobody foresaw is temporary.
"""

from __future__ import annotations

SUCCESS = 0
STOP = 99  # success, and later .qmail lines are not followed
PERMANENT = 100
TEMPORARY = 111
FOR_GOOD = frozenset((100, 64, 65, 70, 76, 77, 78, 112))  # exit codes of a .qmail line's program that are permanent


class Ending(Exception):
    """A program ends. `text` is one line for descriptor 2, or empty for silence.

    `plain`: the text is shown as it is, else behind `NAME: fatal: `.
    `code`: the exit code where a program's manual names another than 100 or 111.
    """

    def __init__(self, text: bytes = b"", *, code: int = TEMPORARY, plain: bool = False) -> None:
        super().__init__(text)
        self.text, self.code, self.plain = text, code, plain


class Temporary(Ending):
    """Not now: trying again later may help. Exit code 111 unless told otherwise."""


class Permanent(Ending):
    """Never like this: somebody has to change something. Exit code 100 unless told otherwise."""

    def __init__(self, text: bytes = b"", *, code: int = PERMANENT, plain: bool = False) -> None:
        super().__init__(text, code=code, plain=plain)


class Usage(Permanent):
    """The arguments are wrong; the text is the usage line, shown as it is."""

    def __init__(self, text: bytes, *, code: int = PERMANENT) -> None:
        super().__init__(text, code=code, plain=True)


def agrees(code: int | None) -> bool:
    """What a program that was asked says by its exit code: 0 yes, 111 not now, anything else no.

    None is a program that a signal ended. Raises Temporary.
    """
    if code is None:
        raise Temporary(b"child crashed")
    if code == TEMPORARY:
        raise Temporary(b"temporary child error")
    return code == SUCCESS
