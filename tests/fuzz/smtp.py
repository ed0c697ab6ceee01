"""SMTP from both sides: what clients say to qmail-smtpd, and what servers answer qmail-remote."""

from __future__ import annotations

import re

from fuzz.laws import Choices, Group, agreed
from qmail.formats.address import mailbox
from qmail.formats.received import Origin
from qmail.protocols import (
    replyreader,
    smtpchunks,
    smtpclient,
    smtpdata,
    smtpevents,
    smtpextensions,
    smtpmeasure,
    smtpparameters,
    smtppath,
    smtpreply,
    smtpxclient,
)  # fmt: skip
from qmail.protocols import smtpserver as smtp
from qmail.protocols.recipients import TAKEN, TROUBLE, UNKNOWN, UNTOLD
from qmail.protocols.smtpsite import Client, Site
from qmail.rules.relay import Door

GROUP = Group()
ORIGIN = Origin(b"client.example.net", b"192.0.2.7", None, b"mx.example.org")
TRACE = b"Received: from client.example.net"
REPLY = re.compile(rb"(?:\d{3}-[ -~]*\r\n)*\d{3} [ -~]*\r\n")
VERDICTS = (TAKEN, UNKNOWN, TROUBLE, UNTOLD)
SENT = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@example.org>\r\nDATA\r\n..x\r\n.\r\n"
EXTENSIONS = smtpextensions.known(smtpextensions.KNOWN)
MOST_SAID = 6000  # bytes of a record of qmail-remote's


class Talk:
    """An SMTP session (smtptalk, smtpcommands, a smtpenvelope, a smtppeer) fed piece by piece, with an eye on it."""

    def __init__(self, limit: int, relay: bytes | None, *, extended: bool = False) -> None:
        door = Door([b"example.org", b".example.net"], [b"bad@evil.example", b"@worse.example"])
        site = Site(b"mx.example.org", door, limit, extensions=EXTENSIONS if extended else frozenset())
        self.session = smtp.Session(site, Client(ORIGIN, relay))
        self.limit, self.relay = limit, relay
        self.fed = b""
        self.replies = [self.session.greeting]
        self.messages: list[tuple[bytes, bytes, list[bytes]]] = []
        self._message = b""
        self._begun = 0

    def play(self, pieces: list[bytes]) -> object:
        """All of it, then the end of input; what came of it."""
        lines, exact = 0, all(len(piece) == 1 for piece in pieces)
        for piece in [*pieces, b""]:
            self.fed += piece
            self.session.receive(piece)
            while (event := self.session.turn()) not in (smtpevents.WAIT, smtpevents.OVER):
                self._act(event, exact)
            # A greeting, and no more answers than lines: DATA has two, its own and that of the message's last line.
            said = self.session.replies()
            answers = REPLY.findall(said)
            assert b"".join(answers) == said
            self.replies += answers
            lines += piece.count(b"\n")
            assert len(self.replies) <= 1 + lines
            if event == smtpevents.OVER:
                break
        assert self.session.turn() == smtpevents.OVER
        return self.replies, self.messages, self.session.code

    def _act(self, event: int, exact: bool) -> None:
        session = self.session
        if event == smtpevents.BEGIN:
            session.begin(0)
            self._message, self._begun = session.content, len(self.fed)
            assert session.envelope.recipients
        elif event == smtpevents.ASK:
            session.answered(VERDICTS[sum(session.envelope.asked) % len(VERDICTS)])
        elif event in (smtpevents.CONTENT, smtpevents.COMMIT):
            self._message += session.content
            if event == smtpevents.COMMIT:
                self._commit(exact)
        else:
            assert event in (smtpevents.TURN, smtpevents.ABANDON)

    def _commit(self, exact: bool) -> None:
        session = self.session
        trace, _, text = self._message.partition(b"1 Jan 1970 00:00:00 -0000\n")
        assert trace.startswith(TRACE) and trace.count(b"\n") == 1
        if exact:
            # Nothing but CR LF . CR LF ends a message, or the last byte of its last chunk; and it says what was sent.
            command = self.fed.rfind(b"\n", 0, self._begun - 1) + 1
            chunked = self.fed[command : self._begun].lower().startswith(b"bdat")
            assert text == (unchunked(self.fed[command:]) if chunked else unstuffed(self.fed[self._begun :]))
        assert not self.limit or len(text) <= self.limit
        for address in (session.envelope.sender, *session.envelope.recipients):
            assert b"\0" not in address and b"\n" not in address
            assert len(address) <= smtppath.LONGEST + len(self.relay or b"")
        if self.relay is None:
            assert session.envelope.sender.lower() != b"bad@evil.example"
            assert not session.envelope.sender.lower().endswith(b"@worse.example")
            hosts = [recipient.lower().rpartition(b"@") for recipient in session.envelope.recipients]
            assert all(host == b"example.org" or host.endswith(b".example.net") for _, at, host in hosts if at)
        self.messages.append((text, session.envelope.sender, session.envelope.recipients))
        session.accepted(7, 1000)


class LocalTalk:
    """An LMTP session (smtplocal) fed piece by piece: as many replies to a message as recipients were taken."""

    def __init__(self) -> None:
        site = Site(b"mx.example.org", Door([b"example.org"]), 40, extensions=smtpextensions.local(EXTENSIONS))
        self.session = smtp.Session(site, Client(ORIGIN, local=True))

    def play(self, pieces: list[bytes]) -> object:
        """All of it, then the end of input; the replies."""
        session, replies = self.session, []
        for piece in [*pieces, b""]:
            session.receive(piece)
            while (event := session.turn()) not in (smtpevents.WAIT, smtpevents.OVER):
                before = session.replies()
                replies.append(before)
                if event == smtpevents.BEGIN:
                    session.begin(0)
                    assert b" with LMTP;" in session.content or b" with UTF8LMTP;" in session.content
                elif event == smtpevents.ASK:
                    session.answered(VERDICTS[sum(session.envelope.asked) % len(VERDICTS)])
                elif event == smtpevents.COMMIT:
                    session.accepted(7, 1000) if len(session.content) % 2 else session.refuse(smtpreply.NO_QUEUE)
                    answers = REPLY.findall(session.replies())
                    assert len(answers) == len(session.envelope.recipients) > 0 and len(set(answers)) == 1
                    replies += answers
            if event == smtpevents.OVER:
                break
        replies.append(session.replies())
        return b"".join(replies), session.code


@GROUP.target(
    SENT, SENT.replace(b"DATA", b"RCPT TO:<d@example.org>\r\nDATA"), b"LHLO a\r\n", b"EHLO b\r\n", b"HELO c\r\n",
    b"MAIL FROM:<>\r\n", b"RCPT TO:<c@example.org>\r\n", b"RCPT TO:<e@example.org>\r\n", b"DATA\r\n", b"x" * 50,
    b"\r\n.\r\n", b"RSET\r\n", b"BDAT 3 LAST\r\n", b"AUTH PLAIN\r\n", b"STARTTLS\r\n", b"QUIT\r\n", b"\r\n",
    b"MAIL FROM:<> SMTPUTF8\r\n",
)  # fmt: skip
def lmtp_session(data: bytes) -> None:
    """Whatever a client says by LMTP: the same answers however it is cut, and no command of SMTP's alone."""
    agreed(lambda pieces: LocalTalk().play(pieces), data)


def unstuffed(wire: bytes) -> bytes:
    """The message of the bytes between DATA's line and the end, by another way than the product's."""
    text = b"\r\n" + wire
    assert text.endswith(smtpdata.END) and text.find(smtpdata.END) == len(text) - 5
    assert re.search(rb"(?<!\r)\n", text) is None
    text = re.sub(rb"\r\n\.(?!\r)", b"\r\n", text[:-3])
    return text[2:].replace(b"\r\n", b"\n")


def unchunked(wire: bytes) -> bytes:
    """The message of the bytes from BDAT's first line to the last byte of the last chunk."""
    text = b""
    while wire:
        line, _, wire = wire.partition(b"\n")
        words = line.partition(b"\0")[0].upper().split()
        if words[:1] == [b"BDAT"]:
            size = int(words[1])
            text, wire = text + wire[:size], wire[size:]
            assert not wire or words[2:] == []
    assert re.search(rb"(?<!\r)\n", text) is None
    return text.replace(b"\r\n", b"\n") + b"\n" * (text != b"" and not text.endswith(b"\r\n"))


@GROUP.target(
    SENT, SENT.replace(b"c@example.org", b"c@elsewhere"), SENT.replace(b"a@b", b"x@worse"), b"\0", b"HELO a\r\n",
    b"EHLO b\r\n", b"MAIL FROM:<a@b.example>\r\n", b"MAIL FROM:<> SIZE=99\r\n", b"RCPT TO:<c@example.org>\r\n",
    b"RCPT TO:<c@elsewhere>\r\n", b"DATA\r\n", b"RSET\r\n", b"QUIT\r\n", b"NOOP\r\n", b"Subject: x\r\n\r\nhello\r\n",
    b".\r\n", b"\r\n.\r\n", b"\n.\n", b"\r.\r", b"..", b"\r", b"\n", b"Received: x\r\n",
    b"mail from:<bad@evil.example>\n", b"GET / HTTP/1.1\r\n", b" BODY=8BITMIME", b"\xff",
    b"RCPT TO:<@r:d@[127.0.0.1]>\n", SENT.replace(b"DATA\r\n..x\r\n.\r\n", b""), b"\6", b"\7",
    b"BDAT 5\r\nhi\r\nx", b"BDAT 2 LAST\n\r\n", b"BDAT 0\r\n", b"bdat 0 last\r\n",
    b"BDAT 9", b"223372036854775807", b" LAST",
)  # fmt: skip
def smtp_session(data: bytes) -> None:
    """Whatever a client says: the same answers and messages however it is cut."""
    choices = Choices(data)
    kind = choices.number(11)
    limit, relay, extended = (0, 40)[kind % 2], (None, b"", b"@relay")[kind // 2 % 3], kind >= 6
    agreed(lambda pieces: Talk(limit, relay, extended=extended).play(pieces), choices.rest())


@GROUP.target(
    b"\0", b"\1", b"\3", b" ", b"SIZE=", b"size", b"BODY=", b"8BITMIME", b"7bit", b"=", b"0", b"9" * 20, b"\xff", b"X",
)  # fmt: skip
def smtp_parameters(data: bytes) -> None:
    """What stands behind an address: values as they were said, or one reply that refuses."""
    choices = Choices(data)
    kind = choices.number(7)
    terms = smtpparameters.Terms((0, 99)[kind & 1], EXTENSIONS if kind & 2 else frozenset(), secured=bool(kind & 4))
    words = choices.rest().split()
    for readers in (smtpparameters.MAIL, smtpparameters.RCPT):
        found = smtpparameters.read(words, readers, terms)
        if isinstance(found, bytes):
            assert REPLY.fullmatch(found) and found[:1] == b"5" and found in vars(smtpreply).values()
        else:
            said = [word.partition(b"=")[0].upper() + word[word.find(b"=") :] * (b"=" in word) for word in words]
            assert said == [word if value is None else word + b"=" + value for word, value in found.items()]
            assert set(found) <= set(readers)


@GROUP.target(
    b"\r\n.\r\n", b"\r\n..", b"\r\n.", b"\r", b"\n", b".", b"x", b"\r\nReceived: y\r\n", b"\r\n\r\n", b"\n.\n",
)  # fmt: skip
def smtp_message(data: bytes) -> None:
    """What follows DATA."""

    def read(pieces: list[bytes]) -> object:
        content, text = smtpdata.Content(), b""
        for at, piece in enumerate(pieces):
            try:
                text += content.feed(piece)
            except smtpmeasure.BareLineFeed:
                return "bare LF"
            if content.over:
                rest = content.rest + b"".join(pieces[at + 1 :])
                assert text == unstuffed(data[: len(data) - len(rest)])
                return text, content.measure.size, content.measure.hops, rest
        return content.measure.hops

    agreed(read, data)


@GROUP.target(
    b"\2", b"\3", b"\r\n", b"\r", b"\n", b".\r\n", b"x", b"\r\n\r\n", b"Received: y\r\n", b"5 LAST",
    b"9223372036854775807",
)  # fmt: skip
def smtp_chunks(data: bytes) -> None:
    """Chunks of any size: the message is the same however they and what comes of them are cut (smtpmessage)."""
    said = smtpchunks.chunk(data)
    assert said is None or (0 <= said[0] < 1 << 63 and data.split()[0].isdigit())
    choices = Choices(data)
    size, step, whole = choices.number(7) + 1, choices.number(3) + 1, choices.rest()
    chunks, text = smtpchunks.Chunks(b""), b""
    for at in range(0, len(whole) + 1, size):
        piece = whole[at : at + size]
        chunks.expect(len(piece), at + size > len(whole))
        text += b"".join([chunks.feed(piece[i : i + step]) for i in range(0, len(piece) or 1, step)])
        assert chunks.left == 0
    ends = whole.replace(b"\r\n", b"")
    if b"\n" in ends:
        assert chunks.refusal == smtpreply.BARE_LF
    else:
        assert text == whole.replace(b"\r\n", b"\n") + b"\n" * (whole != b"" and not whole.endswith(b"\r\n"))
        assert chunks.measure.size == len(text) and not chunks.refusal


@GROUP.target(
    b"ADDR=", b"1.2.3.4", b"IPV6:", b"::1", b"NAME=", b"[UNAVAILABLE]", b"a.example", b"PORT=25", b"HELO=", b"LOGIN=",
    b"+2B", b"+", b"+0A", b" ", b"=", b"DESTADDR=", b"PROTO=ESMTP", b"\xff", b"x" * 256, b"\t",
)  # fmt: skip
def smtp_xclient(data: bytes) -> None:
    """What a proxy says of its client: variables that can stand in a header and an environment, or nothing."""
    found = smtpxclient.introduction(data)
    if found is not None:
        for value in (*found.variables.values(), found.hello, found.user or None):
            assert value is None or (0 < len(value) <= smtpxclient.LONGEST and not set(value) & set(range(33)))
        assert found.variables[b"TCPREMOTEINFO"] is None


@GROUP.target(
    b"FROM:<", b"TO:<", b">", b"<", b"@a,@b:", b"a@b", b'"a b"', b"\\", b'"', b" SIZE=1", b" ", b":", b"[1.2.3.4]",
    b"a" * 900, b"\xff", b"\r", before=b'FROM:<"',
)  # fmt: skip
def smtp_path(data: bytes) -> None:
    """The words behind MAIL and RCPT; and what we write there is what we read there."""
    line = data.partition(b"\0")[0].replace(b"\n", b"")
    path = smtppath.parse(line)
    if path is not None:
        assert len(path[0]) <= smtppath.LONGEST
        assert all(parameter and len(parameter.split()) == 1 for parameter in path[1])
    written = mailbox(data.replace(b"\0", b""))
    if written is not None and len(data) <= smtppath.LONGEST:
        assert not set(written) & set(b"\r\n")
        assert smtppath.parse(b"FROM:<" + written + b"> X=1") == (data.replace(b"\0", b""), [b"X=1"])


@GROUP.target(
    b"\0", b"220 hi\r\n", b"250 ok\r\n", b"250-mx\r\n250-PIPELINING\r\n250 SIZE 9\r\n", b"354 go\r\n", b"550 no\r\n",
    b"421 bye\r\n", b"452 later\n", b"250-", b"2", b"\n", b"abc d\n", b"\xff\xff\xff\xff\n", b"500 what\n",
    b"250 ok\r\n" * 3, b"\0\0\0 \n", b"25\n", before=b"\1\0" + b"220 hi\r\n",
)  # fmt: skip
def remote_replies(data: bytes) -> None:
    """Whatever a server answers, two transactions end with a report of lawful records."""
    choices = Choices(data)
    extended, count = choices.flag(), choices.number(3) + 1
    stream = choices.rest()

    def read(pieces: list[bytes]) -> object:
        talk = smtpclient.Conversation(b"192.0.2.1", b"me.example.org", extended=extended)
        replies, pieces, reports = replyreader.Reader(), list(pieces), []
        for _ in range(2):
            talk.begin(b"a@b", [b"c@d"] * count)
            reports.append((_transacted(talk, replies, pieces), talk.again, talk.polite))
            _lawful(talk.report, count, sent=reports[-1][0] > 0)
            if not talk.reusable:
                break
        return reports

    agreed(read, stream)


def _transacted(talk: smtpclient.Conversation, replies: replyreader.Reader, pieces: list[bytes]) -> int:
    """How often the message was sent; the conversation is over."""
    sent = 0
    try:
        while talk.stage != smtpclient.OVER:
            output = talk.take()
            assert not output or output.endswith(b"\r\n")
            while (reply := replies.next()) is None:
                if not pieces:
                    talk.dropped()
                    return sent
                replies.feed(pieces.pop(0))
            talk.heard(reply)
            if talk.stage == smtpclient.MESSAGE:
                talk.sending_last()
                sent += 1
    except replyreader.Broken:
        talk.dropped()
    assert sent <= 1
    return sent


def _lawful(report: bytes, recipients: int, *, sent: bool) -> None:
    *records, nothing = report.split(b"\0")
    assert nothing == b"" and records
    assert all(record[:1] in (b"r", b"h", b"s") for record in records[:-1])
    assert len(records) <= recipients + 1
    assert records[-1][:1] in (b"K", b"Z", b"D")
    assert all(len(record) <= MOST_SAID for record in records)
    if records[-1].startswith(b"K"):
        assert sent and b"r" in records[:-1]


@GROUP.target(b"220 a\r\n", b"220-", b"\r\n", b"1234567\n", b"-", b"999 \xff\n", b"\0")
def reply_lines(data: bytes) -> None:
    """Replies out of a stream."""

    def read(pieces: list[bytes]) -> object:
        reader, found = replyreader.Reader(), []
        try:
            for piece in pieces:
                reader.feed(piece)
                while (reply := reader.next()) is not None:
                    assert len(reply.text) <= replyreader.KEPT and b"\0" not in reply.text and b"\r" not in reply.text
                    assert reply.code >= 0
                    found.append((reply.code, reply.text))
        except replyreader.Broken:
            found.append((0, b"broken"))
        else:
            found.append((0, b"idle" if reader.idle else b"more"))
        return found

    agreed(read, data)


TARGETS = GROUP.targets
