"""Which files of a message are a lawful state, and what is to be done about the others."""

from __future__ import annotations

import itertools

import pytest

from qmail.rules.queuestates import ASIDE, CUT, REMOVE, RENUMBER, File, faults

N = 7
KINDS = (b"mess", b"intd", b"todo", b"info", b"local", b"remote", b"bounce")


def files(words: str) -> dict[bytes, File]:
    """`mess todo?` : kinds; ? makes no sense, + has somebody left, ~ is old, = has a second name, ^ another inode."""
    return {
        word.rstrip("?+~=^").encode(): File(
            N + ("^" in word), links=1 + ("=" in word), old="~" in word, sense="?" not in word, left="+" in word
        )
        for word in words.split()
    }


LAWFUL = [
    "", "mess", "mess intd", "mess todo", "mess intd= todo=", "mess todo info local? remote bounce", "mess info",
    "mess info local+ remote bounce", "mess info bounce", "intd", "mess info intd",
]  # fmt: skip
UNLAWFUL = [
    ("todo", ASIDE, "todo"),
    ("todo= intd= info", ASIDE, "todo intd info"),
    ("mess todo? intd", ASIDE, "todo intd mess"),
    ("mess^ todo", RENUMBER, "mess"),
    ("info local+", ASIDE, "info local"),
    ("mess info? remote+ bounce", ASIDE, "mess info remote bounce"),
    ("mess info local?", CUT, "local"),
    ("mess^ info local", RENUMBER, "mess"),
    ("mess info intd~", REMOVE, "intd"),
    ("mess local+", ASIDE, "local mess"),
    ("local+", ASIDE, "local"),
    ("mess remote?", ASIDE, "remote mess"),
    ("mess bounce", ASIDE, "bounce mess"),
    ("local", REMOVE, "local"),
    ("mess local= remote=", REMOVE, "local remote"),
    ("mess~", REMOVE, "mess"),
    ("mess~ intd~", REMOVE, "intd mess"),
    ("intd~", REMOVE, "intd"),
]


@pytest.mark.parametrize("words", LAWFUL)
def test_a_lawful_state_is_left_alone(words: str) -> None:
    assert not list(faults(N, files(words)))


@pytest.mark.parametrize(("words", "remedy", "kinds"), UNLAWFUL)
def test_anything_else_has_its_remedy(words: str, remedy: str, kinds: str) -> None:
    (fault,) = faults(N, files(words))
    assert (fault.remedy, fault.kinds) == (remedy, tuple(kinds.encode().split()))
    assert str(N).encode() in fault.what


def test_of_an_accepted_message_nothing_is_ever_removed() -> None:
    """Whatever there is: where todo or info is, a message or a recipient goes at most to bad/."""
    for chosen in itertools.product((False, True), repeat=len(KINDS)):
        kinds = [kind for kind, there in zip(KINDS, chosen, strict=True) if there]
        for sense, old in itertools.product((False, True), repeat=2):
            found = {kind: File(N, sense=sense, old=old, left=True) for kind in kinds}
            removed = {kind for fault in faults(N, found) if fault.remedy == REMOVE for kind in fault.kinds}
            assert not removed & {b"todo", b"info", b"local", b"remote", b"bounce"}
            if b"todo" in kinds or b"info" in kinds:
                assert b"mess" not in removed
