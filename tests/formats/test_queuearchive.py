"""Envelopes in archives: any message of any queue comes back as it was; a text that nobody wrote is corrupt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import queuearchive
from qmail.formats.queuearchive import Corrupt, Envelope

ADDRESS = st.binary(max_size=60).map(lambda text: text.replace(b"\0", b""))
NUMBER = st.integers(0, 10**17)
RECORDS = st.dictionaries(st.sampled_from([b"local", b"remote"]), st.lists(st.tuples(st.booleans(), ADDRESS)))


def picture(envelope: Envelope) -> tuple[object, ...]:
    """Everything it says."""
    return tuple(getattr(envelope, name) for name in Envelope.__slots__)


@given(NUMBER, ADDRESS, NUMBER, st.lists(ADDRESS), RECORDS, NUMBER)
def test_an_envelope_comes_back(
    number: int,
    sender: bytes,
    birth: int,
    fresh: list[bytes],
    records: dict[bytes, list[tuple[bool, bytes]]],
    due: int,
) -> None:
    envelope = Envelope(number, sender, birth)
    envelope.uid, envelope.qp = 12, 34
    envelope.asked = [b"mail HDRS Q+2B1 =", b"rcpt SUCCESS,DELAY = a b\xff@c"] if number % 2 else []
    if records:
        envelope.records, envelope.due = records, dict.fromkeys(records, due)
    else:
        envelope.fresh = fresh
    text = queuearchive.text(envelope)
    assert text.isascii()
    assert picture(queuearchive.parse(text)) == picture(envelope)


GOOD = b"format 1\nnumber 7\nbirth 8\nuid 0\nqp 0\nsender a@b\n"


@pytest.mark.parametrize(
    "text",
    [
        b"", b"format 1\n", GOOD.replace(b"1", b"2", 1), GOOD[:-1], GOOD + b"\n", GOOD + b"sender a@b\n",
        GOOD + b"asked mail%20=\n",
        GOOD + b"fresh a b\n", GOOD + b"fresh a%2\n", GOOD + b"fresh a%41\n", GOOD + b"fresh a%00\n",
        GOOD + b"fresh \xff\n", GOOD + b"local a\n", GOOD + b"local-due x\n", GOOD + b"local-later 1\n",
        GOOD + b"local-due 1\nlocal a\nfresh b\n", GOOD + b"else 1\n", GOOD.replace(b"birth 8", b"birth -8"),
        GOOD.replace(b"sender a@b\n", b""), GOOD + b"fresh a%2f\n",
    ],
)  # fmt: skip
def test_what_nobody_wrote_is_corrupt(text: bytes) -> None:
    queuearchive.parse(GOOD)
    with pytest.raises(Corrupt):
        queuearchive.parse(text)


@given(st.binary(max_size=200), st.booleans())
def test_anything_is_read_or_corrupt(text: bytes, behind: bool) -> None:
    for parse in (queuearchive.parse, queuearchive.parse_sums):
        try:
            parse(GOOD + text if behind else text)
        except Corrupt:
            pass


def test_sums_come_back_in_the_form_of_sha256sum() -> None:
    digests = {part: b"%064d" % at for at, part in enumerate(queuearchive.PARTS[:3])}
    text = queuearchive.sums(12, digests)
    assert text.startswith(b"0" * 64 + b"  12/envelope\n")
    assert queuearchive.parse_sums(text) == digests
