"""Everything that reads bytes from outside returns or raises its own error, and keeps what else its target asks."""

from __future__ import annotations

import os
import re
import resource
import time
import traceback

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import TOP
from fuzz.laws import Target
from fuzz.targets import CORPUS, TABLE, corpus

EXAMPLES = 80  # inputs of each target; they are the same ones every time
LONG = 4096  # bytes
VERY_LONG = 48 * 1024  # what takes the square of its time, shows
SECONDS = 3  # of CPU for one long input; the slowest needs a sixth of that
MEMORY = 256 * 1024 * 1024  # bytes that it may need


def inputs(words: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """Words of a target's language in any order, with some that are none."""
    some = st.one_of(st.sampled_from(words), st.binary(max_size=6))
    return st.lists(some, max_size=24).map(b"".join)


@pytest.mark.parametrize("name", TABLE)
def test_the_law_holds(name: str) -> None:
    target = TABLE[name]

    @settings(max_examples=EXAMPLES, derandomize=True, database=None, deadline=None)
    @given(inputs(target.words))
    def holds(data: bytes) -> None:
        target.check(data)

    holds()


@pytest.mark.parametrize("name", TABLE)
def test_what_was_found_stays_mended(name: str) -> None:
    for data in corpus(name):
        TABLE[name].check(data)


# Formats that are only written, or read from nobody but ourselves, with what they say tested where they are.
NOT_READ = {
    "bootscript", "commandenv", "controlfile", "controlkinds", "listflags", "listoptions", "listsetup", "listtexts",
    "manpage", "servicescript", "tcpenviron",
}  # fmt: skip


def test_every_format_and_protocol_that_is_read_has_a_target() -> None:
    texts = "".join(path.read_text() for path in CORPUS.parent.glob("*.py") if path.name != "test_fuzz.py")
    places = (TOP / "src/qmail/formats", TOP / "src/qmail/protocols")
    modules = {path.stem for place in places for path in place.glob("[a-z]*.py")}
    assert {name for name in modules if not re.search(rf"\b{name}\b", texts)} == NOT_READ


def test_every_corpus_belongs_to_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(TABLE)


# Of the very long ones one target in four, and with `make prove-all` each.
SOME = list(TABLE) if os.environ.get("PYQMAIL_PROVE") == "all" else list(TABLE)[::4]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "size"),
    [(name, LONG) for name in TABLE] + [pytest.param(name, VERY_LONG, marks=pytest.mark.prove) for name in SOME],
)
def test_long_inputs_need_little_time_and_memory(name: str, size: int) -> None:
    pid = os.fork()
    if not pid:
        try:
            _bounded(TABLE[name], size)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def _bounded(target: Target, size: int) -> None:
    with open("/proc/self/statm") as pages:
        ours = int(pages.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (ours + MEMORY, ours + MEMORY))
    for data in target.long(size):
        # The kernel ends what goes on for longer.
        limit = int(time.process_time()) + 1 + SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        target.check(data)
