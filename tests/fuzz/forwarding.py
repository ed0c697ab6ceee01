"""What fastforward and its compilers read: tables, lists, /etc/aliases, :include: files."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz.laws import Choices, Group, outcome
from qmail.formats import forwardtable, maillist
from qmail.rules import aliases, forwardsearch
from qmail.rules.rewriting import Hosts, Unparsable

GROUP = Group()
HOSTS = Hosts(b"dh.example", b"dd.example", b"pp.example")
WRONG = (Unparsable, aliases.Unsupported, forwardtable.Malformed, maillist.Malformed)
ADDRESSES = (
    b"a", b"b@c.d", b"@", b".", b",", b":", b";", b"<", b">", b"(", b")", b'"', b"[", b"]", b"\\", b" ", b"\n", b"\n ",
    b"|p", b'"|p q"', b"/f", b":include:", b":include:/l", b'":include:/l m"', b"owner-", b"#", b"+", b"\0", b"\xff",
)  # fmt: skip


@GROUP.target(
    b"a@h", b"@h", b"a@", b":", b",", b";", b"&", b"|p", b"!p", b"/l", b"./l", b"?o@h", b"\\", b"#", b"\n", b" ", b"\0",
    b"A", b"\xff", before=b"a@h:",
)  # fmt: skip
def forward_table(data: bytes) -> None:
    """A table is malformed, or the records it makes, shown, make the same records; and mail comes to an end in it."""
    made = outcome(lambda: list(forwardtable.records(data)), forwardtable.Malformed)
    if not isinstance(made, list):
        return
    assert list(forwardtable.records(b"".join(forwardtable.shown(*record) for record in made))) == made
    table = dict(reversed(made))
    for recipient in (b"a@h", b"b@h", b"a@x", b"a", b""):
        found = outcome(lambda to=recipient: forwardsearch.orders(to, b"s", table.get, _members), forwardsearch.Endless)
        if isinstance(found, forwardsearch.Orders):
            assert len(set(found.recipients)) == len(found.recipients)


def _members(path: bytes) -> Iterator[bytes]:
    return iter([b"&a@h", path, b"/other", b"&b@h"])


@GROUP.target(b"&a@b\0", b"/l\0", b".l\0", b"&", b"\0", b"|", b"a", b"\xff", before=b"&a\0")
def mailing_list(data: bytes) -> None:
    """A binary list is malformed, or its members are all of it, however it comes in pieces."""
    choices = Choices(data)
    size = 1 + choices.number()
    rest = choices.rest()
    pieces = [rest[at : at + size] for at in range(0, len(rest), size)]
    found = outcome(lambda: list(maillist.members(pieces)), maillist.Malformed)
    assert not isinstance(found, list) or b"".join(entry + b"\0" for entry in found) == rest


@GROUP.target(b"a@b", b"\n", b"#", b" ", b"/l", b".", b"&", b"\0", b"\r", b"\xff", before=b"a\n")
def mailing_list_source(data: bytes) -> None:
    """Lines become members that a binary list may have, or are malformed."""
    found = outcome(lambda: [*filter(None, map(maillist.member, maillist.lines([data])))], maillist.Malformed)
    if isinstance(found, list):
        assert list(maillist.members([b"".join(entry + b"\0" for entry in found)])) == found


@GROUP.target(*ADDRESSES, before=b"a: ")
def aliases_source(data: bytes) -> None:
    """/etc/aliases is refused, or makes records that can be shown, and that a table makes as well."""
    made = outcome(lambda: list(aliases.records(data, HOSTS)), *WRONG)
    if isinstance(made, list):
        assert list(forwardtable.records(b"".join(forwardtable.shown(*record) for record in made))) == made


@GROUP.target(*ADDRESSES)
def include_file(data: bytes) -> None:
    """An :include: file is refused, or makes members of a binary list, none of them a program."""
    found = outcome(lambda: list(aliases.members(maillist.lines([data]), HOSTS)), *WRONG)
    if isinstance(found, list):
        assert list(maillist.members([b"".join(entry + b"\0" for entry in found)])) == found


TARGETS = GROUP.targets
