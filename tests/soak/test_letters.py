"""The judge of a soak is judged: each promise that may be broken is broken once, and he says so."""

from __future__ import annotations

import pytest

from soak.letters import (
    ACCEPTED,
    BROKEN,
    DELIVERED,
    HANDED,
    LEFT,
    REFUSED,
    SILENT,
    TOLD,
    Book,
    Kill,
    Letter,
    Texts,
    Verdict,
    judge,
)  # fmt: skip

FATES = {
    "joe": {DELIVERED},
    "ann": {DELIVERED},
    "fwd@here": {DELIVERED},
    "fails": {TOLD},
    "far": {HANDED, SILENT, TOLD},
    "closed": set(),
}


def book(*recipients: str, status: str = ACCEPTED) -> Book:
    """One letter, begun at 1000 and answered at 1001."""
    book = Book()
    letter = Letter("a1", "x", list(recipients))
    letter.began, letter.answered, letter.status = 1000.0, 1001.0, status
    book.offer(letter)
    return book


def judged(book: Book, *left: str) -> Verdict:
    return judge(book, [("a1", recipient) for recipient in left], FATES)


def test_every_recipient_is_accounted_for() -> None:
    seen = book("joe", "fails", "far", "closed")
    for recipient, kind in (("joe", DELIVERED), ("fails", TOLD), ("far", HANDED)):
        seen.ended("a1", recipient, kind, 1002.0)
    verdict = judged(seen, "closed")
    assert verdict.problems == []
    assert verdict.counts == {DELIVERED: 1, TOLD: 1, HANDED: 1, LEFT: 1}


@pytest.mark.parametrize(
    ("status", "ended", "said"),
    [
        (ACCEPTED, [("joe", DELIVERED)], "is lost for ann"),
        (ACCEPTED, [("joe", DELIVERED), ("ann", TOLD)], "was bounced for ann"),
        (ACCEPTED, [("joe", DELIVERED), ("ann", DELIVERED), ("far", HANDED)], "was never sent to far"),
        (ACCEPTED, [("joe", DELIVERED), ("ann", DELIVERED), ("joe", DELIVERED)], "twice for joe without a reason"),
        (REFUSED, [("joe", DELIVERED), ("ann", DELIVERED)], "was refused and came all the same"),
        ("offered", [("joe", DELIVERED)], "to some of its recipients only"),
        (BROKEN, [("joe", DELIVERED), ("ann", DELIVERED)], "was not whole, and came"),
    ],
)
def test_a_broken_promise_is_said(status: str, ended: list[tuple[str, str]], said: str) -> None:
    seen = book("joe", "ann", status=status)
    for recipient, kind in ended:
        seen.ended("a1", recipient, kind, 1002.0)
    problems = judged(seen).problems
    assert len(problems) == 1
    assert said in problems[0]


@pytest.mark.parametrize("status", [REFUSED, "offered", BROKEN])
def test_what_was_not_accepted_may_be_nowhere(status: str) -> None:
    assert judged(book("joe", "ann", status=status)).problems == []


@pytest.mark.parametrize(
    ("kill", "copies", "fine"),
    [
        (Kill("qmail-send", "SIGKILL", 1003.0), 2, True),
        (Kill("qmail-send", "SIGKILL", 1003.0), 3, False),
        (Kill("qmail-send", "SIGTERM", 1003.0), 2, False),
        (Kill("multilog", "SIGKILL", 1003.0), 2, False),
        (Kill("qmail-queued", "SIGKILL", 1003.0), 2, False),
        (Kill("qmail-send", "SIGKILL", 1090.0), 2, False),
    ],
)
def test_only_the_end_of_a_process_that_knew_of_it_repeats_a_delivery_and_only_once(
    kill: Kill, copies: int, fine: bool
) -> None:
    seen = book("joe")
    seen.kills.append(kill)
    for number in range(copies):
        seen.ended("a1", "joe", DELIVERED, 1002.0 + 5 * number)
    assert (judged(seen).problems == []) == fine


@pytest.mark.parametrize(("copies", "fine"), [(3, True), (4, False)])
def test_one_end_may_repeat_a_forward_and_what_it_is_a_forward_of(copies: int, fine: bool) -> None:
    seen = book("fwd@here")
    seen.kills.append(Kill("qmail-send", "SIGKILL", 1003.0))
    for number in range(copies):
        seen.ended("a1", "fwd@here", DELIVERED, 1002.0 + 5 * number)
    assert (judged(seen).problems == []) == fine


def test_another_host_that_gives_no_answer_gets_it_again() -> None:
    seen = book("far")
    for when, kind in ((1002.0, SILENT), (1005.0, SILENT), (1007.0, HANDED)):
        seen.ended("a1", "far", kind, when)
    verdict = judged(seen)
    assert (verdict.problems, verdict.twice) == ([], {"no answer": 2})
    seen.ended("a1", "far", HANDED, 1009.0)
    assert len(judged(seen).problems) == 1


def test_texts_follow_from_their_names() -> None:
    texts = Texts(7)
    assert texts.whole("a1") == Texts(7).whole("a1") != texts.whole("a2")
    assert Texts(8).whole("a1") != texts.whole("a1")
    assert b"X-Soak: a1\n" in texts.whole("a1")
