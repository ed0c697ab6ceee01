"""Log lines, word for word as qmail-log(5) has them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import logline


def test_the_lines_read_as_the_manual_says() -> None:
    assert logline.status(1, 10, 2, 20, False) == b"status: local 1/10 remote 2/20\n"
    assert logline.status(0, 10, 0, 20, True) == b"status: local 0/10 remote 0/20 exitasap\n"
    assert logline.new(7) == b"new msg 7\n"
    assert logline.info(7, 250, b"a b%\xff\n@x", 12, 34) == b"info msg 7: bytes 250 from <a_b__/@x> qp 12 uid 34\n"
    assert logline.starting(1, 7, 0, b"a\nb\xff c%@h") == b"starting delivery 1: msg 7 to local a/b__c_@h\n"
    assert logline.starting(2, 7, 1, b"good c%\t@away") == b"starting delivery 2: msg 7 to remote good_c__@away\n"
    assert logline.success(1, b"a%b c\td\xffe\n\nf\n") == b"delivery 1: success: a_b_c_d_e//f/\n"
    assert logline.failure(1, b"no such luck\n") == b"delivery 1: failure: no_such_luck/\n"
    assert logline.deferral(1, b"") == b"delivery 1: deferral: \n"
    assert logline.mangled(3) == b"delivery 3: report mangled, will defer\n"
    assert logline.bounce(7, 8) == b"bounce msg 7 qp 8\n"
    assert logline.triple(7) == b"triple bounce: discarding bounce/7\n"
    assert logline.end(7) == b"end msg 7\n"
    assert logline.warning(b"unable to stat x") == b"warning: unable to stat x\n"
    assert logline.alert(b"out of memory") == b"alert: out of memory\n"


@given(st.binary())
def test_no_text_from_outside_makes_a_second_line_or_a_blank(text: bytes) -> None:
    line = logline.success(1, text)
    assert line.count(b"\n") == 1
    assert all(33 <= byte <= 126 for byte in line[len(b"delivery 1: success: ") : -1])
