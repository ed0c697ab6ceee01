"""protocols.smtpparameters: what may stand behind the addresses of MAIL and RCPT, and what is said to the rest."""

from __future__ import annotations

import pytest

from qmail.protocols import smtpreply as reply
from qmail.protocols.smtpparameters import MAIL, RCPT, Terms, read

PLAIN = Terms(100, frozenset(), secured=False)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ([b"SIZE=0100", b"body=8bitmime"], {b"SIZE": b"0100", b"BODY": b"8bitmime"}),
        ([b"SIZE=101"], reply.TOO_LARGE),
        ([b"SIZE"], reply.VALUE),
        ([b"SIZE="], reply.VALUE),
        ([b"SIZE=1", b"size=1"], reply.VALUE),
        ([b"SIZE=\xb2"], reply.VALUE),
        ([b"BODY"], reply.VALUE),
        ([b"BODY=BINARYMIME"], reply.VALUE),
        ([b"=x"], reply.PARAMETER),
        ([b"X", b"SIZE=9"], reply.PARAMETER),
    ],
)
def test_each_parameter_of_mail_is_read_by_its_own_rule(words: list[bytes], answer: dict[bytes, bytes] | bytes) -> None:
    assert read(words, MAIL, PLAIN) == answer


def test_a_parameter_is_known_only_where_its_extension_is_announced() -> None:
    readers = {b"COLOUR": (b"PAINT", lambda value, _terms: b"" if value == b"red" else reply.VALUE)}
    assert read([b"colour=red"], readers, PLAIN) == reply.PARAMETER
    painted = Terms(0, frozenset((b"PAINT",)), secured=False)
    assert read([b"colour=red"], readers, painted) == {b"COLOUR": b"red"}
    assert read([b"colour=blue"], readers, painted) == read([b"colour"], readers, painted) == reply.VALUE


def test_a_parameter_of_one_command_is_none_of_the_other() -> None:
    assert read([b"SIZE=1"], RCPT, PLAIN) == reply.PARAMETER
