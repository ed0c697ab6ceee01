"""Deliveries into Maildirs: whole, durable, under names of their own, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qmail.host import durable
from qmail.rules.barriers import Rest
from qmail.stores import maildir
from qmail.stores.message import Message


@pytest.fixture
def place(tmp_path: Path) -> bytes:
    for name in ("tmp", "new", "cur"):
        (tmp_path / "Maildir" / name).mkdir(parents=True)
    return os.fsencode(tmp_path) + b"/Maildir/"


def message(tmp_path: Path, text: bytes) -> Message:
    path = tmp_path / f"message{len(os.listdir(tmp_path))}"
    path.write_bytes(text)
    return Message(os.open(path, os.O_RDONLY))


def texts(place: bytes, part: str = "new") -> list[bytes]:
    return sorted(path.read_bytes() for path in Path(os.fsdecode(place), part).iterdir())


def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The order of what touches the disk."""
    seen: list[str] = []
    for name in ("create", "sync", "link", "sync_directory", "remove"):
        real = getattr(durable, name)
        monkeypatch.setattr(durable, name, lambda *words, name=name, real=real: (seen.append(name), real(*words))[1])
    return seen


def test_a_message_is_synced_before_it_has_its_name_and_the_name_before_it_is_reported(
    tmp_path: Path, place: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = calls(monkeypatch)
    assert maildir.deliver(place, [(b"A: b\n", message(tmp_path, b"x" * 200_000))]) == [None]
    assert seen == ["create", "sync", "link", "sync_directory", "remove"]
    assert texts(place) == [b"A: b\n" + b"x" * 200_000]
    assert texts(place, "tmp") == []
    assert [os.stat(path).st_mode & 0o777 for path in Path(os.fsdecode(place), "new").iterdir()] == [0o600]


def test_messages_that_come_together_share_the_sync_of_new(
    tmp_path: Path, place: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = calls(monkeypatch)
    letters = [(b"", message(tmp_path, b"%d\n" % number)) for number in range(4)]
    assert maildir.deliver(place, letters) == [None] * 4
    assert seen == ["create"] * 4 + ["sync"] * 4 + ["link"] * 4 + ["sync_directory"] + ["remove"] * 4
    assert texts(place) == [b"0\n", b"1\n", b"2\n", b"3\n"]


def test_three_and_more_may_share_the_sync_of_their_files_too(
    tmp_path: Path, place: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = calls(monkeypatch)
    whole: list[int] = []
    monkeypatch.setattr(maildir, "_rest", Rest())
    monkeypatch.setattr(maildir, "_syncfs", [whole.append])
    letters = [(b"", message(tmp_path, b"x")) for _ in range(5)]
    assert maildir.deliver(place, letters[:2]) == [None] * 2
    assert not whole
    seen.clear()
    assert maildir.deliver(place, letters[2:]) == [None] * 3
    assert len(whole) == 1 and seen == ["create"] * 3 + ["link"] * 3 + ["sync_directory"] + ["remove"] * 3


@pytest.mark.parametrize("failing", ["create", "sync", "link", "sync_directory"])
def test_what_fails_leaves_nothing_behind(
    tmp_path: Path, place: bytes, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(*_words: object) -> None:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(durable, failing, fail)
    letters = [(b"", message(tmp_path, b"x")) for _ in range(2)]
    answers = maildir.deliver(place, letters)
    assert [answer.text if answer else None for answer in answers] == [maildir.FAILED] * 2
    assert texts(place) == texts(place, "tmp") == []


def test_a_failing_syncfs_fails_all(tmp_path: Path, place: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(maildir, "_rest", Rest())
    monkeypatch.setattr(maildir, "_syncfs", [fail])
    answers = maildir.deliver(place, [(b"", message(tmp_path, b"x")) for _ in range(3)])
    assert all(answers) and texts(place) == texts(place, "tmp") == []
    # For a while each file is asked for its own errors.
    assert maildir.deliver(place, [(b"", message(tmp_path, b"x")) for _ in range(3)]) == [None] * 3


def test_one_message_that_cannot_be_read_does_not_fail_the_others(tmp_path: Path, place: bytes) -> None:
    bad = message(tmp_path, b"short\n")
    bad.size = 100_000
    answers = maildir.deliver(place, [(b"", message(tmp_path, b"1\n")), (b"", bad), (b"", message(tmp_path, b"3\n"))])
    assert answers[0] is answers[2] is None
    assert answers[1] is not None and answers[1].text.startswith(b"Unable to read message")
    assert texts(place) == [b"1\n", b"3\n"] and texts(place, "tmp") == []


def test_a_maildir_that_is_none_says_so(tmp_path: Path, place: bytes) -> None:
    answer = maildir.deliver(os.fsencode(tmp_path) + b"/none/", [(b"", message(tmp_path, b"x"))])[0]
    assert answer is not None and answer.text == maildir.NO_MAILDIR
    Path(os.fsdecode(place), "tmp").rmdir()
    answer = maildir.deliver(place, [(b"", message(tmp_path, b"x"))])[0]
    assert answer is not None and answer.text == maildir.FAILED


def test_fault_089_a_thousand_deliveries_have_a_thousand_names(tmp_path: Path, place: bytes) -> None:
    one = message(tmp_path, b"x")
    for _ in range(20):
        assert maildir.deliver(place, [(b"", one)] * 50) == [None] * 50
    assert len(texts(place)) == 1000


def test_messages_wait_in_the_order_they_came(tmp_path: Path, place: bytes) -> None:
    top = Path(os.fsdecode(place))
    for part, name, when in (("new", "b", 30), ("cur", "a:2,S", 10), ("new", "c", 20), ("new", ".x", 5)):
        (top / part / name).write_text("x")
        os.utime(top / part / name, (when, when))
    assert [os.path.basename(path) for path, _ in maildir.waiting(place)] == [b"a:2,S", b"c", b"b"]
