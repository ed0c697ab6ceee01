"""Asking about recipients from a loop: what is remembered, and for how long."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmail.host.localsocket import Listener
from qmail.host.loop import Loop
from qmail.protocols import recipients
from qmail.protocols.recipients import STANDING, TAKEN, UNKNOWN
from qmail.stores import asking
from qmail.stores.asking import Asker


class Answerer:
    """The other side: says what it was told to, and counts."""

    def __init__(self, path: Path) -> None:
        self.loop = Loop()
        self.listener = Listener(os.fsencode(path), 0o600)
        self.asker = Asker(self.loop, os.fsencode(path))
        self.verdict = STANDING
        self.asked: list[bytes] = []
        self.descriptor = -1

    def ask(self, recipient: bytes, sender: bytes = b"s@x") -> bytes:
        """What the asker is told."""
        told: list[bytes] = []
        self.asker.ask(recipients.text(recipient, sender, b""), told.append)
        if not told:
            if self.descriptor < 0:
                peer = self.listener.accept()
                assert peer is not None
                self.descriptor = peer.descriptor
            for tag, text in recipients.Questions().feed(os.read(self.descriptor, 65536)):
                self.asked.append(text.partition(b"\0")[0])
                os.write(self.descriptor, recipients.answer(tag, self.verdict))
            self.loop.round(5)
        return told[0]


@pytest.fixture
def answerer(tmp_path: Path) -> Iterator[Answerer]:
    one = Answerer(tmp_path / "socket")
    yield one
    one.listener.close()
    if one.descriptor >= 0:
        os.close(one.descriptor)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(asking, "monotonic", lambda: now[0])
    return now


def test_a_recipient_who_is_there_for_everybody_is_asked_for_again_after_a_second(
    answerer: Answerer, clock: list[float]
) -> None:
    assert [answerer.ask(b"joe@x"), answerer.ask(b"joe@x", b"another@y")] == [TAKEN] * 2
    clock[0] += 0.99
    assert answerer.ask(b"joe@x") == TAKEN
    assert answerer.asked == [b"joe@x"]
    clock[0] += 0.02
    answerer.verdict = UNKNOWN
    assert answerer.ask(b"joe@x") == UNKNOWN
    assert answerer.ask(b"joe@x") == UNKNOWN
    assert answerer.asked == [b"joe@x"] * 3


def test_what_is_said_of_one_sender_is_not_remembered(answerer: Answerer, clock: list[float]) -> None:
    answerer.verdict = TAKEN
    assert [answerer.ask(b"joe@x"), answerer.ask(b"joe@x")] == [TAKEN] * 2
    assert len(answerer.asked) == 2


def test_only_so_many_are_remembered(answerer: Answerer, clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MOST_STANDING", 3)
    for name in (b"a@x", b"b@x", b"c@x", b"d@x", b"d@x"):
        assert answerer.ask(name) == TAKEN
    assert len(answerer.asked) == 4
    assert answerer.ask(b"a@x") == TAKEN
    assert len(answerer.asked) == 5
