"""What else comes over the network: QMTP, QMQP, POP3, DNS, and what stands in front of a conversation."""

from __future__ import annotations

import re
from collections.abc import Callable

import dns.message
import dns.name

from fuzz.laws import Choices, Group, agreed, outcome
from qmail.formats.netstring import Broken, Ended, Input, TooLong, netstring
from qmail.protocols import dnsquery, dnswire, ident, pop3, proxy, qmtp, recipients
from qmail.rules import spf

GROUP = Group()


def _source(pieces: list[bytes]) -> Input:
    rest = list(pieces)
    return Input(lambda: rest.pop(0) if rest else b"")


@GROUP.target(b"5:hello,", b"0:,", b"1:", b",", b":", b"9999999999:", b"12:", b"\n", b"\r\n", b"007:abcdefg,", b"-1:")
def netstrings(data: bytes) -> None:
    """One netstring after the other; and what was written is read again."""

    def read(pieces: list[bytes]) -> object:
        source, found = _source(pieces), []
        try:
            while len(found) < 1000:
                found.append(source.text(100))
        except (Broken, Ended, TooLong) as error:
            found.append(type(error))
        return found

    agreed(read, data)
    assert _source([netstring(data)]).text(len(data)) == data


@GROUP.target(
    b"6:\nhello,", b"5:\r\nab\n,", b"3:a@b,", b"8:3:c@d,0:,,", b"0:,", b"1:x,", b"99:", b"3:\0ab,", b"\r", b"\n",
)  # fmt: skip
def qmtp_packages(data: bytes) -> None:
    """What qmail-qmtpd reads: message, sender, recipients."""

    def read(pieces: list[bytes]) -> object:
        source, found = _source(pieces), []
        try:
            while True:
                text = b"".join(qmtp.lines(source, source.length()))
                source.comma()
                sender = qmtp.address(source)
                source.begin()
                recipients = list(qmtp.texts(source))
                source.finish()
                found.append((text, sender, recipients))
                assert all(each is None or len(each) <= qmtp.LONGEST_ADDRESS for each in (sender, *recipients))
        except (Broken, Ended, TooLong) as error:
            return found, type(error)

    agreed(read, data)


@GROUP.target(b"22:", b"5:hello,", b"3:a@b,", b"3:c@d,", b",", b"0:,", b"21:5:hello,3:a@b,3:c@d,,", b"9:")
def qmqp_package(data: bytes) -> None:
    """What qmail-qmqpd reads: all of it within one netstring."""

    def read(pieces: list[bytes]) -> object:
        source = _source(pieces)
        try:
            source.begin()
            text = b"".join(source.pieces(source.length()))
            source.comma()
            sender, recipients = qmtp.address(source), list(qmtp.texts(source))
            source.finish()
            return text, sender, recipients
        except (Broken, Ended, TooLong) as error:
            return type(error)

    agreed(read, data)


DROP_SIZES, DROP_NAMES = (0, 7, 100), (b"1.a", b"2.b", b"3.c")


@GROUP.target(
    b"STAT\r\n", b"LIST", b"UIDL", b"RETR", b"TOP 1 2\r\n", b"DELE", b"RSET\r\n", b"LAST\r\n", b"NOOP\n", b"QUIT\r\n",
    b" 1\r\n", b" 2\r\n", b" 9\n", b" 0\r\n", b" -1\r\n", b" 99999999999999999999\r\n", b"\0", b"\r", b"\n", b" ",
    b"x",
)  # fmt: skip
def pop3_commands(data: bytes) -> None:
    """Whatever a client says, each line has one answer, and nothing but DELE deletes."""

    def read(pieces: list[bytes]) -> object:
        lines, drop, answers, dele = pop3.Lines(), pop3.Drop(DROP_SIZES, DROP_NAMES), [], 0
        for piece in pieces:
            for verb, argument in map(pop3.command, lines.feed(piece)):
                dele += verb == b"dele"
                try:
                    answer = drop.answer(verb, argument)
                    if verb in (b"retr", b"top"):
                        answer = b"%d %r" % (drop.place(argument), pop3.lines_wanted(argument))
                except pop3.Refused as refused:
                    answer = refused.answer
                answers.append(answer)
        assert len(drop.deleted) <= dele and drop.deleted <= {0, 1, 2}
        return answers, sorted(drop.deleted)

    answers, _ = agreed(read, data)
    assert len(answers) == data.count(b"\n")
    for answer in answers:
        assert answer is None or answer[:1] in b"+-0123456789"


@GROUP.target(b"\0", b"\n", b".", b"\n.\n", b"..", b"\r\n", b"Subject: x\n\n", b"a")
def pop3_message(data: bytes) -> None:
    """A message on the wire is what a client makes of it again; TOP gives the header and the first lines."""
    choices = Choices(data)
    lines = choices.number(4)
    text = choices.rest()
    wire = agreed(lambda pieces: b"".join(pop3.shown(pieces)), text)
    assert wire.endswith(b"\r\n.\r\n") and wire.find(b"\r\n.\r\n") == len(wire) - 5
    said = re.sub(rb"(\A|\n)\.", rb"\1", wire[:-3])
    assert said == (text if text.endswith(b"\n") or not text else text + b"\n").replace(b"\n", b"\r\n") + b"\r\n"
    top = agreed(lambda pieces: b"".join(pop3.shown(pieces, lines)), text)
    assert top == b"".join(pop3.shown([_top(text, lines)]))


def _top(text: bytes, lines: int) -> bytes:
    """The header, the empty line, and so many lines of the body."""
    header, gap, body = text.partition(b"\n\n") if text[:1] != b"\n" else (b"", b"\n", text[1:])
    first = body.split(b"\n", lines)
    return header + gap + (b"".join(line + b"\n" for line in first[:lines]) if len(first) > lines else body)


@GROUP.target(
    b"\0\1M", b"\x85\x80", b"\0\1", b"\xc0\x0c", b"\1a\7example\0", b"\0\x0f\0\1", b"\0\1\0\1", b"\0\x1c\0\1",
    b"\0\x0c\0\1", b"\0\0\0\x3c", b"\0\4\x7f\0\0\1", b"\0\5\0\1x", b"\xc0\xff", b"\0\x10\0\1\0\0\0\1\0\2\1a",
    b"\0\6\0\1", b"\0\x34\0\1", b"\x85\xa0",
)  # fmt: skip
def dns_reply(data: bytes) -> None:
    """A name server's reply to our question, after its identity."""
    choices = Choices(data)
    kind = sorted(dnsquery.KINDS)[choices.number(len(dnsquery.KINDS) - 1)]
    asks, whole, extended, trusted = (choices.flag() for _ in range(4))
    question = dnswire.Question(kind, b"\x7f\0\0\1" if kind == dnsquery.POINTERS else b"a.example")
    wire = question.wire(77, extended=extended)
    rest = choices.rest()
    if asks:
        # A reply that repeats the question as it was, with flags and counts of its own.
        counts = bytes(each for byte in rest[2:5].ljust(3, b"\0") for each in (0, byte % 8))
        asked = wire[12 : wire.index(b"\0", 12) + 5]
        rest = rest[:2] + b"\0\1" + counts + asked + rest[5:]
    errors = (dnswire.Elsewhere, dnswire.Truncated, dnswire.Plainer, dnswire.Failed)
    found = outcome(lambda: question.answer(wire[:2] + rest, whole=whole, trusted=trusted), *errors)
    if isinstance(found, tuple):
        answer, seconds = found
        assert 0 <= seconds <= dnswire.LONGEST_TTL
        assert len(answer.records) <= dnswire.MOST_RECORDS
        # What is said of it to our programs is read by them as it is.
        ((tag, again),) = dnsquery.Answers().feed(dnsquery.answer(5, answer))
        assert (tag, again.status, list(again.records)) == (5, answer.status, list(answer.records))
        assert (again.authentic, again.alias) == (answer.authentic, answer.alias)
        assert trusted or not answer.authentic
    elif found is None:
        question.wire(78, extended=extended)


class _Texts:
    """A DNS in which every name has these texts, and addresses and names that lead to each other."""

    def __init__(self, known: list[bytes]) -> None:
        self.known = known

    def texts(self, name: bytes) -> list[bytes]:
        return self.known

    def addresses(self, name: bytes) -> list[bytes]:
        return [b"\x7f\0\0\1", bytes(15) + b"\1"] if name else []

    def exchangers(self, name: bytes) -> list[bytes]:
        return [b"mx.example"] * (len(name) % 13)

    def names(self, address: bytes) -> list[bytes]:
        return [b"mx.example"] * 3


@GROUP.target(
    b"v=spf1 ", b" a", b" mx", b" ptr", b" ip4:127.0.0.1", b" ip6:::1", b"/24", b"//64", b" include:", b" redirect=",
    b" exists:", b" exp=", b"%{i}", b" -", b" ~", b"?", b"all", b"example", b"\0", b"\xff",
)  # fmt: skip
def spf_record(data: bytes) -> None:
    """An SPF record, or two, that may include itself: one of the results, or not to be known."""
    for address in (b"\x7f\0\0\1", bytes(15) + b"\2"):
        found = outcome(lambda address=address: spf.outcome(_Texts(data.split(b"\0")), b"d", address), spf.Unsure)  # type: ignore[misc]
        results = (spf.NONE, spf.PASS, spf.FAIL, spf.SOFTFAIL, spf.NEUTRAL, spf.BROKEN)
        assert not isinstance(found, tuple) or found[0] in results


@GROUP.target(b"a", b".", b"\\101", b"\\", b"\\056", b"-", b"_", b"A", b"\xff", b"a" * 64, b"example", b"\\999")
def dns_names(data: bytes) -> None:
    """Names to ask for; and names out of replies, which can be asked for again."""
    outcome(lambda: dnswire.Question(dnsquery.ADDRESSES4, data), dnswire.Impossible)
    labels = [label[:63] for label in data[:200].split(b".") if label]
    if labels:
        name = dns.name.Name([*labels, b""])
        shown = dnswire.shown(name)
        asked = dns.message.from_wire(dnswire.Question(dnsquery.ADDRESSES4, shown).wire(1, extended=False))
        assert asked.question[0].name == name


@GROUP.target(b"\0\4\0\1Ma", b"\0\3\0\0004", b"\0\0\0\5\0\1KA", b"\0\0\0\x08\0\1K-\0\2ab", b"\xff", b"\0", b"Z-", b"X-")
def dns_service(data: bytes) -> None:
    """The talk with qmail-dns, both ways."""

    def questions(pieces: list[bytes]) -> object:
        reader, found = dnsquery.Questions(), []
        return outcome(lambda: [found.extend(reader.feed(piece)) for piece in pieces] and found, dnsquery.Broken)

    def answers(pieces: list[bytes]) -> object:
        reader, found = dnsquery.Answers(), []

        def read() -> object:
            for piece in pieces:
                found.extend(
                    (tag, it.status, list(it.records), it.authentic, it.alias) for tag, it in reader.feed(piece)
                )
            return found

        return outcome(read, dnsquery.Broken)

    agreed(questions, data)
    agreed(answers, data)


@GROUP.target(
    b"\0\5\0\0\0\1a",
    b"\0\4\0\0\0\2",
    b"\x20\4",
    b"\x20\5",
    b"\0\3",
    b"\0\0\0\1K",
    b"\0\0\0\2D",
    b"-",
    b"Z",
    b"\0",
    b"\0TCPREMOTEIP=1",
    b"\0PATH=x",
)
def recipients_service(data: bytes) -> None:
    """The talk with qmail-rcptd, both ways."""

    def feeding(reader: recipients.Questions | recipients.Answers) -> Callable[[list[bytes]], object]:
        def read(pieces: list[bytes]) -> object:
            return outcome(lambda: [each for piece in pieces for each in reader.feed(piece)], recipients.Broken)

        return read

    for kind in (recipients.Questions, recipients.Answers):
        agreed(lambda pieces, kind=kind: feeding(kind())(pieces), data)
    recipient, sender, variables = recipients.parts(data)
    assert b"\0" not in recipient + sender and set(variables) <= set(recipients.VARIABLES)
    again = recipients.parts(recipients.text(recipient, sender, recipients.surroundings(variables)))
    assert again == (recipient, sender, variables)
    address = data[: recipients.LONGEST]
    assert recipients.Questions().feed(recipients.question(7, address)) == [(7, address)]


@GROUP.target(
    b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b"1.2.3.4 ", b"::1 ", b"25 ", b"65536", b"\r\n",
    b"\r\n\r\n\0\r\nQUIT\n", b"\x21\x11\0\x0c", b"\x21\x21\0\x24", b"\x20\0\0\0", b"\x7f\0\0\1", b"\0\x19",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n",
)  # fmt: skip
def proxy_header(data: bytes) -> None:
    """The line or block of a proxy: never takes a byte of what follows it."""

    def read(pieces: list[bytes]) -> object:
        header, taken, seen, rest = proxy.Header(), 0, b"", list(pieces)
        while not header.done and rest:
            seen += rest.pop(0)  # what was not taken is looked at again, as the socket shows it
            size = header.feed(seen)
            assert 0 <= size <= len(seen)
            taken, seen = taken + size, seen[size:]
        return header.done, header.ends, taken if header.done else None

    agreed(lambda pieces: outcome(lambda: read(pieces), proxy.Malformed), data)


@GROUP.target(b"1 , 2 : USERID : UNIX : me", b":", b"\r\n", b" ", b"\0", b"\xff", b"ERROR")
def ident_reply(data: bytes) -> None:
    """What an ident server says of its user."""
    user = ident.user(data)
    if user is not None:
        assert len(user) <= ident.LONGEST_USER
        assert not set(user) & set(b"\0\r\n")
    assert user is not None or (b"\n" not in data and len(data) < ident.LONGEST_REPLY)


TARGETS = GROUP.targets
