"""What a message from a user lacks is put in front of it, and all that was there stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.rules.completing import MOST_HELD, Completion
from qmail.rules.rewriting import Hosts

NOW = 1_600_000_000
DATE, ID = b"Date: 13 Sep 2020 12:26:40 -0000\n", b"Message-ID: <20200913122640.7.1.qmail@id.example>\n"
FROM = b"From: joe@example.org\n"
COMPLETION = Completion(Hosts(b"host.example", b"domain.example", b"plus.example"), b"id.example")


def completed(*pieces: bytes, user: bytes = b"joe", sender: bytes = b"joe@example.org") -> bytes:
    completer = COMPLETION.message(user, sender, NOW, b"7.1")
    return b"".join([*map(completer.feed, pieces), completer.end()])


@pytest.mark.parametrize(
    ("text", "added"),
    [
        (b"Subject: x\n\nbody\n", DATE + ID + FROM),
        (b"date: x\nMESSAGE-id : y\nFrom: z\n\nbody\n", b""),
        (b"Date: x\n\nFrom: y\n", ID + FROM),
        (b"From: x\nMessage-ID: y\n\n", DATE),
        (b"X-Date: x\nDatex: y\n From: folded\n\n", DATE + ID + FROM),
        (b"", DATE + ID + FROM),
        (b"\nbody\n", DATE + ID + FROM),
        (b"Subject: not whole", DATE + ID + FROM),
        (b"no header\n", DATE + ID + FROM + b"\n"),
        (b"Subject: x\nno header\n", DATE + ID + FROM),
        (b"Resent-To: x\nDate: y\n\n", b"Resent-" + DATE + b"Resent-" + ID + b"Resent-" + FROM),
        (b"Resent-From: x\nResent-Date: y\nResent-Message-ID: z\n\n", b""),
        (b"Bcc: secret@example.org\nDate: x\nFrom: y\n\n", ID),
    ],
)
def test_what_is_missing_is_put_in_front(text: bytes, added: bytes) -> None:
    assert completed(text) == added + text
    assert completed(*(text[at : at + 1] for at in range(len(text)))) == added + text


@pytest.mark.parametrize(
    ("user", "sender", "author"),
    [
        (b"joe", b"joe@example.org", b"joe@example.org"),
        (b"joe", b"", b"joe@host.example"),
        (b"ann@example.org", b"", b"ann@example.org"),
        (b"joe", b"joe@host", b"joe@host.domain.example"),
        (b"joe", b"joe b,c@example.org", b'"joe b,c"@example.org'),
        (b"joe", b'"@example.org', b'"\\""@example.org'),
        (b"joe", b"joe@[192.0.2.1]", b"joe@[192.0.2.1]"),
    ],
)
def test_the_author_is_the_sender_else_the_user(user: bytes, sender: bytes, author: bytes) -> None:
    assert completed(b"Date: x\nMessage-ID: y\n\n", user=user, sender=sender).split(b"\n")[0] == b"From: " + author


LINES = st.sampled_from(
    [b"Date: x", b"FROM: a@b", b"Message-Id:<c>", b"Bcc: d", b"Resent-To: e", b" folded", b"\tfolded", b"", b"From e",
     b"no field", b"Subject: \xff\0", b"Content-Length: 9", b"Return-Path: <f>", b":", b"x" * 300]
)  # fmt: skip


@given(st.lists(st.one_of(LINES, st.binary(max_size=20)), max_size=12), st.integers(1, 30), st.booleans())
def test_everything_that_was_there_is_unchanged_however_it_comes(lines: list[bytes], size: int, whole: bool) -> None:
    text = b"\n".join(lines) + b"\n" * whole
    found = completed(text)
    assert found == completed(*(text[at : at + size] for at in range(0, len(text), size)))
    assert found.endswith(text)
    added = found[: len(found) - len(text)]
    rest = added.replace(b"Resent-", b"")
    for field in (DATE, ID, FROM):
        rest = rest.removeprefix(field)
    assert rest in (b"", b"\n")
    if rest:
        assert not text.startswith(b"\n")
    # Nothing is missing then.
    header = found.partition(b"\n\n")[0]
    assert completed(header + b"\n\n") == header + b"\n\n" or b"resent" in header.lower() or b"\0" in header


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_whatever_the_sender_is_there_is_a_message(user: bytes, sender: bytes) -> None:
    text = b"Subject: x\n\nbody\n"
    found = completed(text, user=user or b"u", sender=sender)
    assert found.endswith(text) and found.startswith(DATE + ID)
    assert found.count(b"\nSubject") == 1


def test_no_more_than_the_limit_is_held_and_what_lacks_nothing_may_be_longer() -> None:
    completer = COMPLETION.message(b"joe", b"joe@example.org", NOW, b"1")
    line = b"X-Filler: " + b"x" * 1000 + b"\n"
    fed = 0
    while not completer.too_large:
        assert completer.feed(line) == b""
        fed += len(line)
    assert MOST_HELD < fed <= MOST_HELD + len(line)
    assert completer.feed(b"\nbody\n") == b"" and completer.end() == b""
    completer = COMPLETION.message(b"joe", b"joe@example.org", NOW, b"1")
    start = b"From: x\nDate: y\nMessage-ID: z\nTo: you\n"
    assert completer.feed(start) == start
    assert all(completer.feed(line) == line for _ in range(1000))
    assert not completer.too_large
