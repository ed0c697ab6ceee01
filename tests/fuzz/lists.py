"""What mailing lists read: commands by mail, cookies, indexes, notices of failure, parts of messages, texts."""

from __future__ import annotations

import re

from fuzz.laws import Choices, Group, agreed, outcome
from fuzz.mail import FIELDS, WORDS, header_of
from qmail.formats import encodedwords, listcookie, listindex, listtext, mimetype, qsbmf, subscriber
from qmail.formats.bounce import Bounce, paragraph
from qmail.formats.header_fields import name
from qmail.formats.listaddress import dashed, mailto, number, spelled
from qmail.formats.mimeparts import Parts
from qmail.rules import listget, listheader, listreject, listrequest, listweed

GROUP = Group()
KEY = b"a key of the list"
VERBS = (
    b"subscribe", b"unsubscribe", b"query", b"help", b"get", b"get.1_9", b"index", b"thread", b"dig", b"list",
    b"allow-", b"deny-", b"sc.", b"uc.", b"tc.", b"1700000000.", b"aojdgendlilnpclenipc", b"-joe=example.org", b"=",
    b"-", b".", b"digest-", b"99999999999999999999", b"_", b"m", b"\0", b"\xff",
)  # fmt: skip


@GROUP.target(*VERBS)
def list_requests(data: bytes) -> None:
    """What stands behind `LIST-`: one of the known commands, about somebody, and never for more than may be sent."""
    asked = listrequest.request(data, b"sender@example.net")
    assert asked.command in {*listrequest.COMMANDS.values(), b"confirm"}
    assert (asked.command == b"confirm") == (asked.cookie is not None)
    assert asked.cookie is None or not asked.cookie.good(KEY, asked.cookie.seconds, listrequest.LIFETIME)
    wanted = listget.wanted(data)
    if wanted is not None:
        for newest, digested in ((0, 0), (7, 3), (123_456, 99_999)):
            first, last = listget.messages(wanted, newest, digested)
            assert first >= 1 and last - first < listget.MOST
            assert len(listget.indexes(wanted, newest)) <= listget.MOST_INDEXES
    assert number(data)[0] is None or number(data)[0] < 10**18
    assert re.fullmatch(rb"<mailto:[!-;=?-~]*>", mailto(data))


@GROUP.target(*VERBS)
def list_cookies(data: bytes) -> None:
    """A cookie is good for whom, what and when it was made, and nothing else is."""
    choices = Choices(data)
    purpose, address = (
        (b"sc", b"uc", b"tc")[choices.number(2)],
        choices.text() + b"@" + choices.text().replace(b"=", b""),
    )
    seconds = choices.large() % 10**17
    made = listcookie.make(KEY, purpose, seconds, address)
    again = listcookie.parse(made.text)
    if b"=" not in address.rpartition(b"@")[2]:
        assert spelled(dashed(address)) == address
    assert again is not None and again.good(KEY, seconds + 5, 10)
    assert not again.good(KEY, seconds + 11, 10) and not again.good(KEY, seconds - 1, 10)
    assert not again.good(b"another key", seconds, 10)
    changed = bytearray(made.text)
    changed[choices.number() % len(changed)] ^= 1 << choices.number(6)
    forged = listcookie.parse(bytes(changed))
    assert forged is None or bytes(changed).lower() == made.text.lower() or not forged.good(KEY, seconds, 10)
    listcookie.parse(choices.rest())


@GROUP.target(
    b"\0", b"Re: ", b"AW:", b"[list] ", b"[list #5]", b"#", b"=?utf-8?B?w6Q=?=", b"\n", b"a", b"5", b"(x)", b"<a@b>",
    b":",
)  # fmt: skip
def list_index(data: bytes) -> None:
    """An entry of the index is two lines, which say the same when they are read; reply marks go, all of them."""
    choices = Choices(data)
    prefix, subject, author, date = choices.text(), choices.text(), choices.text(), choices.text()
    bare, _ = listindex.stripped(subject, prefix)
    assert listindex.stripped(bare, prefix) == (bare, False)
    listindex.has_prefix(subject, prefix)
    made = listindex.entry(7, subject, author, date, prefix)
    text = made.text()
    assert text.count(b"\n") == 2
    (again,) = listindex.entries(text)
    assert (again.number, again.subject_hash, again.author_hash) == (7, made.subject_hash, made.author_hash)
    assert again.text().count(b"\n") == 2
    list(listindex.entries(choices.rest()))


@GROUP.target(
    *FIELDS, *WORDS, b"\nMailing-List: x", b"\nReceived: by x; now", b"\nPrecedence: bulk", b"\nList-Id: x",
    b"subscribe",
)  # fmt: skip
def list_header(data: bytes) -> None:
    """A header that goes through a list: fields stay fields, whatever they hold; what is taken out is out."""
    fields = header_of([data]).fields
    settings = listheader.Settings()
    settings.fields, settings.delivered_to = [b"Mailing-List: y\n"], b"Delivered-To: l@h\n"
    settings.removed, settings.prefix, settings.number = frozenset([b"x"]), b"[l #]", 5
    settings.author = b"l@h" if len(data) % 2 else b""
    listheader.refusal(fields, settings)
    made = listheader.edited(fields, settings)
    for field in (*made.sent, *made.archived):
        assert field.endswith(b"\n") and name(field)
        assert all(line[:1] in (b" ", b"\t") for line in field[:-1].split(b"\n")[1:])
    assert not {name(field).lower() for field in made.sent} & {b"x"}
    assert sum(name(field).lower() == b"from" for field in made.sent) <= max(1, 0 if settings.author else len(fields))
    wishes = listreject.Wishes()
    wishes.address, wishes.no_starts = b"l@h", True
    for fault in (listreject.fault(fields, wishes), listreject.fault(fields, listreject.Wishes())):
        assert fault is None or b"\n" not in fault
    listreject.is_automatic(fields)
    assert all(each >= 0 for each in listreject.limits(data))
    listweed.is_useless(fields, [data])


@GROUP.target(
    b"\0", b"Hi. This is the", b"<a@b>:\n", b"\n\n", b"--- Below", b"Action: failed\n", b"content-", b"--x\n", b"\n",
    b"a@b",
)  # fmt: skip
def list_notices(data: bytes) -> None:
    """Notices of failure: whom ours are about is found in them; others are read or are none."""
    assert len(qsbmf.failures(data)) <= qsbmf.MOST
    choices = Choices(data)
    recipients = [choices.text().replace(b"\n", b"_") for _ in range(choices.number(5))]
    notice = Bounce(choices.text(), b"postmaster@h")
    body = notice.head(b"DATE", b"MAILER-DAEMON", b"h").partition(b"\n\n")[2]
    body += b"".join(paragraph(each, choices.text()) for each in recipients) + notice.middle() + choices.rest()
    assert [each for each, _ in qsbmf.failures(body)] == recipients


@GROUP.target(
    b"--b\n", b"--b--\n", b"--b \r\n", b"Content-Type: text/html\n", b"\n", b"\n\n", b"x", b"--bb\n",
    b"Content-Type: a;\n b\n",
)  # fmt: skip
def mime_parts(data: bytes) -> None:
    """Parts of a message: however it is cut; where all are wanted nothing changes, where none is they are gone."""

    def read(pieces: list[bytes], wanted: bool | None = None) -> object:
        parts = Parts(b"b", lambda kind: kind == b"text/plain" if wanted is None else wanted)
        found = [one for piece in pieces for one in parts.feed(piece)] + parts.end()
        return b"".join(filter(None, found)), found.count(None), parts.passed

    agreed(read, data)
    assert read([data], True)[0] == data
    assert read([data], False)[2] == 0


@GROUP.target(
    b"multipart/mixed", b"; boundary=", b'"a b"', b"(c)", b"text/plain", b"/", b"=", b";", b'"', b"\\", b"*", b"\xff",
)  # fmt: skip
def mime_type(data: bytes) -> None:
    """The contents of a Content-Type field."""
    found = mimetype.content_type(data)
    assert found.name == found.name.lower()
    assert found.boundary is None or found.name.startswith(b"multipart/")


@GROUP.target(
    b"=?utf-8?B?", b"=?iso-8859-1?Q?", b"w6Q=", b"=E4", b"?=", b" ", b"\n ", b"_", b"=?gb", b"?", b"=?koi8-r*de?b?",
    b"a",
)  # fmt: skip
def encoded_words(data: bytes) -> None:
    """Encoded words: decoded or left; and what was encoded comes back, in lines of plain ASCII."""
    assert len(encodedwords.decoded(data)) <= 8 * len(data) + 8
    text = data.decode("utf-8", "replace").encode()
    wire = encodedwords.encoded(text)
    assert wire.isascii()
    assert text.isascii() or encodedwords.decoded(wire) == text


@GROUP.target(b"<#A#>", b"<#x#>", b"!A\n", b"!R\n", b"<=a=>\n", b"<==>\n", b"<#", b"#>", b"\n", b"\r", b"text")
def list_texts(data: bytes) -> None:
    """Texts with tags: what is not a tag stays, and a value is not looked into again."""
    tags = {b"A": b"<#x#>", b"x": b"!A"}
    found = listtext.filled(data, tags, b"a")
    assert len(found) <= 5 * len(data) + 5
    if not re.search(rb"<#|<=|!", data):
        assert found == data


@GROUP.target(b"\0", b"Ta@b\0", b"T", b"a@B", b"@", b"\n", b"\xff", b"x" * 400)
def list_subscribers(data: bytes) -> None:
    """Files of subscribers: addresses or none of ours; an address is looked for where it would be put."""
    found = outcome(lambda: subscriber.addresses(data), ValueError)
    if isinstance(found, list):
        assert subscriber.records(found) == data
    places = subscriber.places(data)
    assert 1 <= len(places) <= 8 and set(places) <= set(subscriber.FILES)
    assert places[0] in subscriber.places(data.lower()) and places[0] == subscriber.places(data.upper())[0]
    assert not subscriber.fit(data) or not set(data) & set(b"\n\r\0")


TARGETS = GROUP.targets
