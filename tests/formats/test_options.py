"""Options are read as getopt(3) reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.options import Wrong, options

LETTERS = b"vRc:l:q::"


@pytest.mark.parametrize(
    ("words", "found", "rest"),
    [
        ([], [], []),
        ([b"host", b"-v"], [], [b"host", b"-v"]),
        ([b"-vRl0", b"h"], [(b"v", b""), (b"R", b""), (b"l", b"0")], [b"h"]),
        ([b"-l", b"-v", b"h"], [(b"l", b"-v")], [b"h"]),
        ([b"-v", b"--", b"-R"], [(b"v", b"")], [b"-R"]),
        ([b"-", b"-R"], [], [b"-", b"-R"]),
        ([b"-l", b""], [(b"l", b"")], []),
        ([b"-vq30m", b"-q", b"h"], [(b"v", b""), (b"q", b"30m"), (b"q", b"")], [b"h"]),
    ],
)
def test_words_are_split_into_options_and_the_rest(
    words: list[bytes], found: list[tuple[bytes, bytes]], rest: list[bytes]
) -> None:
    assert options(words, LETTERS) == (found, rest)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([b"-Z"], b"illegal option -- Z"),
        ([b"-v:"], b"illegal option -- :"),
        ([b"-vc"], b"option requires an argument -- c"),
    ],
)
def test_a_wrong_option_is_named(words: list[bytes], text: bytes) -> None:
    with pytest.raises(Wrong) as wrong:
        options(words, LETTERS)
    assert wrong.value.text == text


@given(st.lists(st.binary(max_size=8), max_size=8))
def test_any_words_are_split_or_refused(words: list[bytes]) -> None:
    try:
        found, rest = options(words, LETTERS)
    except Wrong:
        return
    assert words[len(words) - len(rest) :] == rest
    assert all(letter in b"vRclq" for letter, _ in found)
