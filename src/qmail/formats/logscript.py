"""multilog's script: one action an argument, carried out in order for every line (multilog(8)).

Arguments that are no action are ignored, as they always were.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_SIZE, LEAST_SIZE, LARGEST_SIZE = 99_999, 4_096, 16_777_215  # bytes of a log file
DEFAULT_NUMBER, LEAST_NUMBER = 10, 2  # files of a log, `current` among them
LARGEST_NUMBER = 1_000_000


class Select:
    """`+PATTERN` takes lines in, `-PATTERN` takes them out."""

    __slots__ = ("pattern", "takes")

    def __init__(self, pattern: bytes, takes: bool) -> None:
        self.pattern, self.takes = pattern, takes


class Alert:
    """`e`: print to descriptor 2."""

    __slots__ = ()


class StatusFile:
    """`=FILE`: keep the latest line there."""

    __slots__ = ("path",)

    def __init__(self, path: bytes) -> None:
        self.path = path


class Log:
    """A directory of log files, with the s, n and ! that stood before it. `processor`: empty for none."""

    __slots__ = ("directory", "number", "processor", "size")

    def __init__(self, directory: bytes, size: int, number: int, processor: bytes) -> None:
        self.directory, self.size, self.number, self.processor = directory, size, number, processor


Action = Select | Alert | StatusFile | Log


def parse(words: Sequence[bytes]) -> tuple[bool, list[Action]]:
    """(are lines stamped, the actions). `t` counts only in first place."""
    size, number, processor = DEFAULT_SIZE, DEFAULT_NUMBER, b""
    actions: list[Action] = []
    for word in words:
        letter, rest = word[:1], word[1:]
        if letter in (b"+", b"-"):
            actions.append(Select(rest, letter == b"+"))
        elif letter == b"e":
            actions.append(Alert())
        elif letter == b"=":
            actions.append(StatusFile(rest))
        elif letter == b"s":
            size = max(LEAST_SIZE, _leading_number(rest, LARGEST_SIZE))
        elif letter == b"n":
            number = max(LEAST_NUMBER, _leading_number(rest, LARGEST_NUMBER))
        elif letter == b"!":
            processor = rest
        elif letter in (b".", b"/"):
            actions.append(Log(word, size, number, processor))
    return bool(words) and words[0].startswith(b"t"), actions


def _leading_number(text: bytes, most: int) -> int:
    digits = text[: len(text) - len(text.lstrip(b"0123456789"))].lstrip(b"0")
    return most if len(digits) > len(b"%d" % most) else min(int(digits or b"0"), most)
