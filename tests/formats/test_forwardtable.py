"""Tables of forwarding instructions become records, and records the same table again (setforward(1))."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats.forwardtable import Malformed, commands_in, record, records, shown


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", []),
        (b"# nothing", []),
        (b"Root@Yp.To: god@a, &staff@b;", [(b":root@yp.to", b"&god@a\0&staff@b\0")]),
        (b"a@: |x\\ y#no\n z, !p, /l,\n./m ,, &q;", [(b":a@", b"|x yz\0!p\0/l\0./m\0&q\0")]),
        (b"@h: ?o@h, a@b; @h: ?p@h;", [(b"?@h", b"o@h"), (b":@h", b"&a@b\0"), (b"?@h", b"p@h")]),
        (b"a\\:\\;\\,\\\n:&b\\\\;a:;", [(b":a:;,\n", b"&b\\\0")]),
        (b"a: %b;" % (b"x" * 800), [(b":a", b"&" + b"x" * 800 + b"\0")]),
        (b"a: |%b;" % (b"x" * 900), [(b":a", b"|" + b"x" * 900 + b"\0")]),
    ],
)
def test_a_table_becomes_records(text: bytes, found: list[tuple[bytes, bytes]]) -> None:
    assert list(records(text)) == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"a: b", "final instruction must end with semicolon"),
        (b"a", "final instruction must end with semicolon"),
        (b"a: b;c\\", "final instruction must end with semicolon"),
        (b"a, b: c;", "commas are not permitted before colons"),
        (b"a: b;;", "semicolons are not permitted before colons"),
        (b"a: b: c;", "double colons are not permitted"),
        (b"a\0: b;", "NUL bytes are not permitted"),
        (b"a: %b;" % (b"x" * 801), "addresses over 800 bytes are not permitted"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(text: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        list(records(text))


COMMANDS = st.lists(
    st.tuples(st.sampled_from([b"&", b"|", b"!", b"/", b"."]), st.binary(max_size=20)).map(b"".join), min_size=1
)


@given(st.lists(st.tuples(st.binary(max_size=20), COMMANDS, st.booleans()), max_size=5))
def test_what_is_shown_makes_the_same_records(table: list[tuple[bytes, list[bytes], bool]]) -> None:
    made = []
    for name, commands, owned in table:
        target = name.replace(b"\0", b"0").lower()
        if owned:
            made.append((b"?" + target, commands[0].replace(b"\0", b"0")))
        made.append(record(target, [each.replace(b"\0", b"0") for each in commands]))
    assert list(records(b"".join(shown(key, data) for key, data in made))) == made


@given(st.binary(max_size=100))
def test_any_bytes_are_a_table_or_refused(text: bytes) -> None:
    try:
        found = list(records(text))
    except Malformed:
        return
    for key, data in found:
        assert key[:1] in (b":", b"?")
        assert key[:1] == b"?" or commands_in(data)


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_any_record_is_shown_or_refused(key: bytes, data: bytes) -> None:
    try:
        assert shown(key, data).endswith(b";\n")
    except Malformed:
        pass
