"""Options of the ezmlm programs: capital letters take back what small ones say, and nothing else is special."""

from __future__ import annotations

import qmail
from qmail.formats.options import Wrong, options
from qmail.formats.verdict import Ending, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def read(argv: Sequence[bytes], letters: bytes, usage: bytes, least: int = 1) -> tuple[dict[bytes, bytes], list[bytes]]:
    """What each small letter was last said to be, and the arguments, of which there must be so many.

    Entries are b"" for `-x`, the argument of `-x ARGUMENT`, and none for what was not said or taken back. Capital
    letters have entries too, where they came last, and letters that were said twice one as `xx`.
    Raises Usage, and Ending for -v and -V, which show the version.
    """
    name, _, _ = usage.partition(b":")
    try:
        found, arguments = options(argv[1:], letters + b"vV")
    except Wrong as wrong:
        raise Usage(name + b": " + wrong.text + b"\n" + usage) from None
    said: dict[bytes, bytes] = {}
    for letter, value in found:
        if letter in b"vV":
            raise Ending(name + b": pyqmail " + qmail.__version__.encode(), code=0, plain=True)
        said.pop(letter.swapcase(), None)
        if letter in said:
            said[letter * 2] = value
        said[letter] = value
    if len(arguments) < least:
        raise Usage(usage)
    return said, arguments
