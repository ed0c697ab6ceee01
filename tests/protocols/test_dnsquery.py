"""The talk with qmail-dns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qmail.protocols.dnsquery import KINDS, NAMELESS, TROUBLE, Answer, Answers, Broken, Questions, answer, question

kinds = st.sampled_from(sorted(KINDS))


@given(st.lists(st.tuples(st.integers(0, 65535), kinds, st.binary(max_size=300)), max_size=5), st.integers(1, 50))
def test_questions_pass_in_pieces_of_any_size(asked: list[tuple[int, bytes, bytes]], size: int) -> None:
    data = b"".join(question(*each) for each in asked)
    reader, found = Questions(), []
    for at in range(0, len(data), size):
        found += reader.feed(data[at : at + size])
    assert found == asked


@given(
    st.integers(0, 65535), st.sampled_from([b"K", NAMELESS, TROUBLE]), st.lists(st.binary(max_size=400)), st.booleans(),
    st.booleans(), st.integers(1, 50),
)  # fmt: skip
def test_answers_pass_in_pieces_of_any_size(
    tag: int, status: bytes, records: list[bytes], authentic: bool, alias: bool, size: int
) -> None:
    data = answer(tag, Answer(status, records, authentic, alias))
    reader, found = Answers(), []
    for at in range(0, len(data), size):
        found += reader.feed(data[at : at + size])
    ((known, value),) = found
    assert (known, value.status, value.records) == (tag, status, records)
    assert (value.authentic, value.alias) == (authentic, alias)


def test_records_that_do_not_fit_are_left_out() -> None:
    ((_, value),) = Answers().feed(answer(1, Answer(b"K", [bytes(60000)] * 10)))
    assert len(value.records) == 4


@given(st.binary(max_size=2000))
def test_any_bytes_are_questions_and_answers_or_an_error(data: bytes) -> None:
    for reader in (Questions(), Answers()):
        try:
            reader.feed(data)
        except Broken:
            pass
