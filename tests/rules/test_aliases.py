"""What /etc/aliases and :include: files ask for (newaliases(1), newinclude(1))."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import forwardtable, maillist
from qmail.rules.aliases import Unsupported, members, records
from qmail.rules.rewriting import Hosts, Unparsable

HOSTS = Hosts(b"here", b"dom.example", b"plus.example")


def compiled(text: bytes) -> dict[bytes, list[bytes]]:
    found = {}
    for key, data in records(text, HOSTS):
        found[key] = [data] if key.startswith(b"?") else forwardtable.commands_in(data)
    return found


@pytest.mark.parametrize(
    ("text", "target", "commands"),
    [
        (b"Root: alice, bill@b.example", b"root@", [b"&alice@here.dom.example", b"&bill@b.example"]),
        (b"a@B.C : x@foo+, y@bar", b"a@b.c", [b"&x@foo.plus.example", b"&y@bar.dom.example"]),
        (b"(everybody)@v.dom: joe (Joe)", b"@v.dom", [b"&joe@here.dom.example"]),
        (b"a\n :\n\n\tb@c.d,\n\n e@f.g\n", b"a@", [b"&b@c.d", b"&e@f.g"]),
        (b"a b c@d.e", b"a@", [b"&b@here.dom.example", b"&c@d.e"]),
        (b'"a b"@c.d: <"x y"@z.z>', b"a b@c.d", [b"&x y@z.z"]),
        (b'weather: "|server -x \\"a\\""', b"weather@", [b'!server -x "a"']),
        (b'a: "|x"@y.z, "/f"@y.z', b"a@", [b"&|x@y.z", b"&/f@y.z"]),
        (b"l: :include:/etc/list, b@c.d", b"l@", [b"/etc/list.bin", b"&b@c.d"]),
        (b'l: ":include:/e/l", :Include: "/a b", : include : ./r.x', b"l@", [b"/e/l.bin", b"/a b.bin", b"./r.x.bin"]),
        (b"l: :include:rel", b"l@", [b"./rel.bin"]),
        (b"a: b@c.d\r\n", b"a@", [b"&b@c.d"]),
    ],
)
def test_an_instruction_has_a_target_and_commands(text: bytes, target: bytes, commands: list[bytes]) -> None:
    assert compiled(b"# c: d\n e: f\n" + text) == {b":" + target: commands}


def test_owners_are_found_whatever_their_case_and_place() -> None:
    assert compiled(b"Owner-L: o@x.y\nl: a@b.c\nowner-m@h.h: p@q.r\n") == {
        b"?l@": [b"Owner-L@here.dom.example"], b":owner-l@": [b"&o@x.y"], b":l@": [b"&a@b.c"],
        b"?m@h.h": [b"owner-m@h.h"], b":owner-m@h.h": [b"&p@q.r"],
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        b"a", b"a:", b": b", b"a@: b", b"@: b", b'a: "b', b"a: (b", b"a: )", b"|x: b", b"/x: b", b'":include:/x": b',
        b"a: /file", b"a: |", b'a: |"x y"', b"a: :include:", b'a: ""', b"a: b\0", b"a: " + b"x" * 801,
        b"a: b@c\n/x y\n", b"a: <b", b"a: b@c\nd\n",
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused(text: bytes) -> None:
    with pytest.raises((Unparsable, Unsupported, forwardtable.Malformed)):
        compiled(text)


def test_an_include_file_has_any_number_of_addresses_a_line() -> None:
    lines = [b"# c", b"", b"a@b.c, d (e), Joe <f@g>", b" :include:/h, :include:i", b'"|x"@y.z']
    assert list(members(lines, HOSTS)) == [
        b"&a@b.c", b"&d@here.dom.example", b"&f@g.dom.example", b"/h.bin", b"./i.bin", b"&|x@y.z",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line", [b"|x", b'"|x y"', b"/file", b":include:", b"(", b"x" * 801, b":include:" + b"x" * 5000]
)
def test_an_include_file_has_no_files_and_no_programs(line: bytes) -> None:
    with pytest.raises((Unparsable, Unsupported, forwardtable.Malformed, maillist.Malformed)):
        list(members([line], HOSTS))


@given(st.lists(st.sampled_from(list(b'ab@.,:;<>()[]"\\|/# \t\n\r\0\xff'))).map(bytes))
def test_any_text_is_compiled_or_refused(text: bytes) -> None:
    try:
        made = list(records(text, HOSTS))
    except (Unparsable, Unsupported, forwardtable.Malformed):
        made = []
    for key, data in made:
        assert key[:1] == b"?" or all(command[:1] in b"&!/." for command in forwardtable.commands_in(data))
    try:
        for entry in members(text.split(b"\n"), HOSTS):
            assert entry[:1] in b"&/." and b"\0" not in entry
    except (Unparsable, Unsupported, forwardtable.Malformed, maillist.Malformed):
        pass
