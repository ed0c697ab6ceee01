"""multilog's script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import logscript
from qmail.formats.logscript import Alert, Log, Select, StatusFile


def test_settings_hold_for_the_directories_that_follow() -> None:
    stamped, actions = logscript.parse([b"t", b"./a", b"s5000", b"n3", b"!gzip", b"/b", b"!", b"./c"])
    assert stamped
    logs = [(log.directory, log.size, log.number, log.processor) for log in actions if isinstance(log, Log)]
    assert logs == [(b"./a", 99999, 10, b""), (b"/b", 5000, 3, b"gzip"), (b"./c", 5000, 3, b"")]


def test_every_action_is_known_by_its_first_byte() -> None:
    _, actions = logscript.parse([b"-x*", b"+y", b"e", b"=file", b"zz", b"", b"d"])
    assert [type(action) for action in actions] == [Select, Select, Alert, StatusFile]


def test_lines_are_stamped_only_where_t_comes_first() -> None:
    assert logscript.parse([b"t"])[0]
    assert not logscript.parse([b"e", b"t"])[0]
    assert not logscript.parse([])[0]


@pytest.mark.parametrize(
    ("word", "size"),
    [(b"s", 4096), (b"sabc", 4096), (b"s4095", 4096), (b"s5000x", 5000), (b"s99999999", 16777215)],
)
def test_sizes_stay_within_their_limits(word: bytes, size: int) -> None:
    (log,) = logscript.parse([word, b"./d"])[1]
    assert isinstance(log, Log)
    assert log.size == size


@given(st.lists(st.binary(max_size=30), max_size=10))
def test_any_arguments_are_a_script(words: list[bytes]) -> None:
    for action in logscript.parse(words)[1]:
        if isinstance(action, Log):
            assert 4096 <= action.size <= 16777215
            assert action.number >= 2
