"""Single-letter options as getopt(3) reads them, with the words ucspi-tcp and daemontools complain in.

Letters may be joined (`-vRl0`), an argument may stand in the same word or the next one, `--` ends the
options, and so does the first word that is none (`-` alone included).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Wrong(ValueError):
    """An option that does not exist, or that lacks its argument. `text`: `illegal option -- Z`.

    `before`: the options in front of it, as (letter, argument) pairs.
    """

    def __init__(self, text: bytes, before: Sequence[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(text)
        self.text, self.before = text, before


def options(words: Sequence[bytes], letters: bytes) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    """Split the words behind a program's name into (letter, argument) pairs and what follows the options.

    `letters`: the options that exist, those with an argument followed by a colon (`b"vc:x:"`), by two where it
    may be left out, and can only stand in the same word. The argument of one without is empty. Raises Wrong.
    """
    found: list[tuple[bytes, bytes]] = []
    at = 0
    while at < len(words) and len(words[at]) > 1 and words[at].startswith(b"-"):
        word, at = words[at], at + 1
        if word == b"--":
            break
        place = 1
        while place < len(word):
            letter = word[place : place + 1]
            place += 1
            where = letters.find(letter)
            if where < 0 or letter == b":":
                raise Wrong(b"illegal option -- " + letter, found)
            argument = b""
            if letters[where + 1 : where + 2] == b":":
                if place == len(word) and letters[where + 2 : where + 3] != b":":
                    if at == len(words):
                        raise Wrong(b"option requires an argument -- " + letter, found)
                    argument, at = words[at], at + 1
                else:
                    argument = word[place:]
                place = len(word)
            found.append((letter, argument))
    return found, list(words[at:])
