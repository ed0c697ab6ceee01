"""What stands in messages, mailboxes and the files of users: headers, addresses, .qmail, .forward, mbox, names."""

from __future__ import annotations

import re
import time

from fuzz.laws import Choices, Group, agreed, outcome
from qmail.formats import address, carriage, dotqmail, logline, maildirname, mbox, received, tracelines
from qmail.formats.header_fields import Header, name
from qmail.formats.header_tokens import Malformed, tokens, written
from qmail.protocols import smtpclient, smtpdata
from qmail.rules import dotfiles, dotforward
from qmail.rules.injection import Injection, mailbox
from qmail.rules.rewriting import Hosts, Unparsable, rewrite

GROUP = Group()
HOSTS = Hosts(b"dh.example", b"dd.example", b"pp.example")
WORDS = (
    b"a", b"@", b".", b",", b":", b";", b"<", b">", b"(", b")", b'"', b"[", b"]", b"\\", b" ", b"\n ", b"+", b"\xff",
    b"a@b", b'"q r"', b"(c(d)e)", b"[1.2.3.4]", b"<@r,@s:a@b>", b"N M <n@m>", b"g: a, b;", b"x@y.z+", b"\r", b"\0",
)  # fmt: skip
FIELDS = (
    b"To: ", b"\nCc: ", b"\nBcc: ", b"\nFrom: ", b"\nSender: ", b"\nReply-To: ", b"\nReturn-Path: ", b"\nResent-To: ",
    b"\nSubject: ", b"\nX: ", b"\nContent-Length: 3", b"\nDate: now", b"\nMessage-ID: <x>", b"\nFrom x\n", b"\n\n",
    b"\nMail-Followup-To: ", b"\nApparently-To: ", b"\nTO :", b"\nResent-Bcc: ", b"\nErrors-To: ",
)  # fmt: skip
REWRITTEN = frozenset((
    b"to", b"cc", b"bcc", b"apparently-to", b"from", b"sender", b"reply-to", b"return-receipt-to", b"errors-to",
    b"return-path", b"resent-to", b"resent-cc", b"resent-bcc", b"resent-from", b"resent-sender", b"resent-reply-to",
))  # fmt: skip
TAKEN_OUT = frozenset((b"bcc", b"resent-bcc", b"return-path", b"content-length"))


def header_of(pieces: list[bytes]) -> Header:
    """A header read to its end; `body` is what is behind it."""
    header = Header()
    for piece in pieces:
        header.feed(piece)
    header.end()
    return header


def injected(fields: list[bytes], hosts: Hosts = HOSTS) -> tuple[bytes, Injection]:
    """What qmail-inject makes of these fields. Raises Unparsable."""
    message = Injection(hosts)
    for field in fields:
        message.take(field)
    return message.header(b"DATE", b"<ID>", mailbox(b"joe", None), frozenset([b"list@l.example"])), message


@GROUP.target(*FIELDS, *WORDS, before=b"To: a@b")
def header_rewriting(data: bytes) -> None:
    """A whole message through qmail-inject's rules, twice."""

    def read(pieces: list[bytes]) -> object:
        header = header_of(pieces)
        return header.fields, header.body

    fields, body = agreed(read, data)
    _same(data, fields, body)
    try:
        head, first = injected(fields)
    except Unparsable as error:
        assert error.text in fields
        return
    again = header_of([head + (body or b"\n")])
    assert again.body == (body or b"\n")
    _kept(fields, again.fields)
    head_again, second = injected(again.fields)
    assert head_again == head
    if not {name(field).lower() for field in fields} & (TAKEN_OUT | {b"apparently-to"}):
        assert [one for one in second.recipients if one] == [one for one in first.recipients if one]
    for recipient in first.recipients:
        assert not recipient or recipient.endswith(b"@[]") or b"@" in recipient


def _same(data: bytes, fields: list[bytes], body: bytes) -> None:
    """Fields and body are the message; what may have been added is the name of an mbox line, and two line ends."""
    assert all(field.endswith(b"\n") for field in fields)
    at = 0
    for field in fields:
        if not data.startswith(field.removesuffix(b"\n"), at):
            field = field.removeprefix(b"MBOX-Line: ")
        assert data[at : at + len(field)] in (field, field[:-1])
        at += len(field)
    assert data[at:] in (body, body[1:], body[:-1], body[1:-1])


def _kept(before: list[bytes], after: list[bytes]) -> None:
    """Fields that are neither rewritten nor taken out are the same bytes, in the same order."""
    same = [field for field in before if name(field).lower() not in REWRITTEN | TAKEN_OUT]
    assert [field for field in after if name(field).lower() not in REWRITTEN][-len(same) :] == same or not same


@GROUP.target(*WORDS, before=b"a@b")
def header_words(data: bytes) -> None:
    """The words of a field: read, written, and read again."""
    words = outcome(lambda: tokens(data), Malformed)
    if isinstance(words, list):
        again = written(words)
        assert tokens(again) == words
        listed = outcome(lambda: rewrite(words, HOSTS.completed), Malformed)
        if isinstance(listed, list):
            once = tokens(written(listed))
            assert written(rewrite(once, HOSTS.completed)) == written(once)


@GROUP.target(*WORDS, b"h.example", b"[10.0.0.1]", b"+")
def header_hosts(data: bytes) -> None:
    """Any names for the default hosts: they can be read or they are refused. Names of hosts complete addresses once."""
    choices = Choices(data)
    hosts_named = choices.flag()
    names = [choices.text() for _ in range(3)]
    if hosts_named:
        names = [(b"h", b"h.example", b"x-y.z", b"[10.0.0.1]")[len(name) % 4] for name in names]
    words = outcome(lambda: tokens(choices.rest()), Malformed)
    hosts = outcome(lambda: Hosts(*names), Unparsable)
    if isinstance(hosts, Hosts) and isinstance(words, list):
        listed = outcome(lambda: rewrite(words, hosts.completed), Malformed)
        if isinstance(listed, list) and hosts_named:
            again = tokens(written(listed))
            assert written(rewrite(again, hosts.completed)) == written(again)


@GROUP.target(b"a", b"@", b".", b'"', b"\\", b" ", b"<", b">", b"\n", b"\r", b"\xff", b"..", b"b.example")
def addresses(data: bytes) -> None:
    """An address taken apart and put together; quoted, it is one word that says the same."""
    local, domain = address.split(data)
    assert data == (local if domain is None else local + b"@" + domain)
    quoted = address.quote_local(local)
    if address.needs_quotes(local):
        assert re.fullmatch(rb'"(?:[^"\\\r\n]|\\[\s\S])*"', quoted)
        assert re.sub(rb"\\([\s\S])", rb"\1", quoted[1:-1]) == local
    else:
        assert quoted == local
    assert (address.quote(data) == b"") == (data == b"")


@GROUP.target(
    b"\0", b"&a@b\n", b"a@b\n", b"|cmd\n", b"./Mailbox\n", b"./Maildir/\n", b"/x\n", b"#\n", b"+list\n", b"+x", b"\n",
    b" ", b"\t", b"|", b"&", b"\r\n", b"\xff",
)  # fmt: skip
def dot_qmail(data: bytes) -> None:
    """A .qmail file, by another way than the product's."""
    choices = Choices(data)
    forward_only = choices.flag()
    text = choices.rest()
    found = [(each.kind, each.value) for each in dotqmail.instructions(text, forward_only=forward_only)]
    assert found == list(_instructions(text, forward_only))
    for kind, value in found:
        assert b"\n" not in value and b"\0" not in value
        assert kind in ("forward", "refused") or not forward_only
    assert len(found) <= text.count(b"\n") + 1


def _instructions(text: bytes, forward_only: bool) -> list[tuple[str, bytes]]:
    found = []
    for number, whole in enumerate(re.split(rb"\n", text[:-1] if text.endswith(b"\n") else text)):
        stripped = re.sub(rb"[ \t]+\Z", b"", whole)
        line = re.match(rb"[^\0]*", stripped)[0]
        if not line:
            if not number:
                return [("refused", dotqmail.BLANK_FIRST)]
        elif line[0] in b"./|" and forward_only:
            refusal = dotqmail.PROGRAM_REFUSED if line[0] == ord("|") else dotqmail.FILE_REFUSED
            return [*found, ("refused", refusal)]
        elif line[0] in b"./":
            found.append(("maildir" if stripped[-1] == ord("/") else "mbox", line))
        elif line[0] == ord("|"):
            found.append(("program", line[1:]))
        elif line[0] == ord("+"):
            forward_only |= line == b"+list"
        elif line[0] != ord("#"):
            found.append(("forward", line[1:] if line[0] == ord("&") else line))
    return found


@GROUP.target(b"\0", b"-", b"list-", b"default", b".", b"/", b"A", b"-owner", b"\xff", b"@", b"#@[]")
def dot_qmail_names(data: bytes) -> None:
    """Which files may answer for an extension: none of them lies elsewhere than the extension says."""
    choices = Choices(data)
    dash, ext, sender = choices.text(), choices.text(), choices.text()
    names = [name for name, _ in dotfiles.candidates(dash, ext)]
    assert len(names) <= len(ext) + 2
    for found, default in dotfiles.candidates(dash, ext):
        assert found.startswith(b".qmail" + dash)
        assert b"." not in found[6 + len(dash) :]
        assert default is None or ext.endswith(default)
    new = dotfiles.new_sender(sender, b"joe-" + ext, b"h.example", dash, ext, lambda name: bool(len(name) % 2))
    assert new == sender or new.startswith(b"joe-" + ext + b"-owner")


@GROUP.target(
    *WORDS, b"|cmd", b"/file", b":include:/f", b"\n", b"#", b"joe", b"\\joe", b'"|a b"', b"\n#x\n", before=b"a@b",
)  # fmt: skip
def dot_forward(data: bytes) -> None:
    """A .forward file."""
    errors = (Unparsable, dotforward.Unsupported)
    found = outcome(lambda: dotforward.orders(data, b"joe", b"h.example", HOSTS), *errors)
    if isinstance(found, dotforward.Orders):
        assert all(found.recipients)
        assert all(b"@" in recipient for recipient in found.recipients)


@GROUP.target(b"From ", b">", b">From ", b"\n", b"\n\n", b"Fro", b"m ", b"x", b"\r\n", b"\0")
def mbox_quoting(data: bytes) -> None:
    """A message in an mbox: no line of it begins another one, and taking the quoting away gives it back."""

    def read(pieces: list[bytes]) -> object:
        quoter = mbox.Quoter()
        return b"".join(map(quoter.feed, pieces)) + quoter.end()

    quoted = agreed(read, data)
    assert not re.search(rb"^From ", quoted, re.M)
    assert re.sub(rb"^>(>*From )", rb"\1", quoted, flags=re.M) == (data if data[-1:] in (b"\n", b"") else data + b"\n")


@GROUP.target(b"a@b", b" ", b"\t", b"\n", b"\xff", b"\0\0\0\0", b"/", b":", b":2,S")
def mailbox_names(data: bytes) -> None:
    """From_ lines are one line; names of messages stay in their directory; both whatever is put in."""
    choices = Choices(data)
    seconds, sender, host = choices.large() % 2**40, choices.text(), choices.text()
    line = mbox.from_line(sender, seconds)
    assert line.count(b"\n") == 1 and len(line.split(b" ")) >= 7
    assert re.fullmatch(rb"From [^ \n]+ [A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d \d{4,}\n", line)
    found = maildirname.fresh(seconds, 5, 6, 7, host)
    assert b"/" not in found and b":" not in found and len(found) < 200
    assert maildirname.unique(found + b":2,RS") == found
    assert b":" not in maildirname.unique(data)


@GROUP.target(
    b"\0", b"Delivered-To: a@b\n", b"\n", b"\n\n", b"Delivered-To: a", b"@b", b"x: y\n", b"elivered-To: a@b\n",
)  # fmt: skip
def delivered_to(data: bytes) -> None:
    """Does the header have this line? However the message is cut."""
    choices = Choices(data)
    line = tracelines.delivered_to((b"a@b", b"", choices.text())[choices.number(2)])
    text = choices.rest()
    found = agreed(lambda pieces: tracelines.in_header(line, pieces), text)
    end = (b"\n" + text).find(b"\n\n")
    header = (b"\n" + text)[: end + 1 if end >= 0 else len(text) + 1]
    assert found == (b"\n" + line in header)
    assert line.count(b"\n") == 1 and tracelines.return_path(data).count(b"\n") == 1


@GROUP.target(b"a", b"\n", b"\0", b"%", b"\xff", b" ", b"(", b";", b"\r\n Bcc: x")
def trace_fields(data: bytes) -> None:
    """What a stranger calls himself cannot begin a line; dates are those of the calendar."""
    choices = Choices(data)
    seconds = choices.large() % 2**38
    shown = time.strftime("%d %b %Y %H:%M:%S -0000", time.gmtime(seconds)).lstrip("0").encode()
    assert received.date(seconds) == shown
    origin = received.Origin(choices.text(), choices.text(), choices.text(), choices.text())
    line = received.line(b"SMTP", origin, choices.text(), seconds)
    assert line.count(b"\n") == 2 and line.isascii() and line.split(b"\n")[1].startswith(b"  by ")
    assert b"\n" not in logline.safe(data) and logline.safe(data).isascii() and len(logline.safe(data)) == len(data)


@GROUP.target(b"\r\n", b"\r", b"\n", b".", b"\n.", b"\r\n.\r\n", b"\r.\n", b"a", b"\0")
def line_ends(data: bytes) -> None:
    """CRs put in and taken out, however the stream is cut; and a message on its way to another host."""
    for kind in (carriage.Kept, carriage.Added, carriage.Completed, carriage.Removed):
        agreed(lambda pieces, kind=kind: _through(kind(), pieces), data)
    assert carriage.visible(data).replace(b"\n", b"").replace(b"\t", b"").isascii()
    wire = smtpclient.stuffed(data if data[-1:] in (b"\n", b"\r", b"") else data + b"\n", True) + smtpclient.DOT
    assert (b"\r\n" + wire).find(smtpdata.END) == len(wire) - 3
    # No server takes anything in it for another end: not after a CR, not after a LF.
    assert not re.search(rb"(?:^|[\r\n])\.[\r\n]", wire[:-3])
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", wire)
    content = smtpdata.Content()
    assert content.feed(wire) == re.sub(rb"\r\n?", b"\n", data if data[-1:] in (b"\n", b"\r", b"") else data + b"\n")
    assert content.over and not content.rest


def _through(reader: carriage.Kept, pieces: list[bytes]) -> bytes:
    return b"".join(map(reader.feed, pieces)) + reader.end()


TARGETS = GROUP.targets
