"""Clients: two thirds of what they do is right, one third is not."""

from __future__ import annotations

import os
import random
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from soak.cast import BOUNCES, RECIPIENTS
from soak.letters import ACCEPTED, BROKEN, REFUSED, Book, Letter, Texts
from soak.system import HOST, PORT, System

PATIENCE = 60.0
BAD = 0.3
INJECTOR = 4200  # the uid of people who send mail


class Refused(Exception):
    """The server said no, or went away."""


class Talk:
    """An SMTP session. Raises Refused, OSError."""

    def __init__(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", PORT), PATIENCE)
        self._stream = self.socket.makefile("rb")
        self.expect(b"220")

    def say(self, text: bytes) -> None:
        """Send a line."""
        self.socket.sendall(text + b"\r\n")

    def reply(self) -> bytes:
        """One reply, its last line."""
        while True:
            line = self._stream.readline(4096)
            if not line.endswith(b"\n"):
                raise Refused("hung up")
            if line[3:4] != b"-":
                return line

    def expect(self, code: bytes) -> None:
        """This one."""
        line = self.reply()
        if not line.startswith(code):
            raise Refused(line.decode("latin-1"))

    def ask(self, text: bytes, code: bytes = b"250") -> None:
        """A command, and its reply."""
        self.say(text)
        self.expect(code)

    def refused(self, text: bytes) -> bool:
        """Is this command refused, as it must be?"""
        self.say(text)
        return self.reply()[:1] in b"45"

    def envelope(self, letter: Letter) -> None:
        """MAIL and RCPT, one by one."""
        self.ask(b"MAIL FROM:<%s>" % letter.sender.encode())
        for recipient in letter.recipients:
            self.ask(b"RCPT TO:<%s>" % recipient.encode())

    def close(self, *, reset: bool = False) -> None:
        """Hang up."""
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._stream.close()
        self.socket.close()


def wire(text: bytes) -> bytes:
    """A message as DATA has it."""
    lines = text.split(b"\n")
    return b"\r\n".join(b"." + line if line[:1] == b"." else line for line in lines[:-1]) + b"\r\n"


class Client:
    """One of them, in a thread of its own until `stop` is set."""

    def __init__(
        self, number: int, system: System, book: Book, texts: Texts, stop: threading.Event, crowded: threading.Event
    ) -> None:
        self._number, self._system, self._book, self._texts, self._stop = number, system, book, texts, stop
        self._crowded = crowded  # no more mail for now
        self._chance = random.Random(texts.seed * 1000 + number)
        self._sent = 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        good = self._inject if self._number % 10 == 9 else self._smtp
        pause = 1.0 if self._number % 10 == 9 else 0.1
        try:
            while not self._stop.wait(self._chance.expovariate(1 / pause)):
                try:
                    if self._chance.random() < BAD:
                        self._badly()
                    elif not self._crowded.is_set():
                        good()
                except (Refused, OSError):
                    self._book.count("talks cut short")
                    self._stop.wait(0.2)
        except Exception as error:
            self._book.problem(f"client {self._number} ended: {error!r}")
            raise

    def _letter(self, *, exact: bool = True) -> Letter:
        self._sent += 1
        name = f"c{self._number}n{self._sent}"
        weights = [weight for weight, _ in RECIPIENTS.values()]
        count = self._chance.choices((1, 2, 5, 12), (80, 12, 6, 2))[0]
        recipients = sorted(set(self._chance.choices(list(RECIPIENTS), weights, k=count)))
        sender = "" if self._chance.random() < 0.05 else f"{BOUNCES}-{name}@{HOST}"
        letter = Letter(name, sender, recipients, exact=exact)
        self._book.offer(letter)
        return letter

    # ---- as it should be

    def _smtp(self) -> None:
        with session() as talk:
            for _ in range(self._chance.choices((1, 2, 6), (70, 20, 10))[0]):
                letter = self._letter()
                if self._chance.random() < 0.3:
                    self._pipelined(talk, letter)
                else:
                    talk.envelope(letter)
                talk.ask(b"DATA", b"354")
                text = wire(self._texts.whole(letter.name)) + b".\r\n"
                for piece in self._pieces(text):
                    talk.socket.sendall(piece)
                self._answer(letter, talk.reply())
            talk.say(b"QUIT")

    def _pipelined(self, talk: Talk, letter: Letter) -> None:
        lines = [b"MAIL FROM:<%s>" % letter.sender.encode()]
        lines += [b"RCPT TO:<%s>" % recipient.encode() for recipient in letter.recipients]
        talk.say(b"\r\n".join(lines))
        for _ in lines:
            talk.expect(b"250")

    def _pieces(self, text: bytes) -> list[bytes]:
        """In one piece, or cut anywhere."""
        if self._chance.random() < 0.7:
            return [text]
        cut = self._chance.randrange(len(text))
        return [text[:cut], text[cut:]]

    def _answer(self, letter: Letter, reply: bytes) -> None:
        letter.reply = reply
        self._book.answer(letter, ACCEPTED if reply[:1] == b"2" else REFUSED)

    def _inject(self) -> None:
        """A person's program; sometimes it dies half-way."""
        with_header = self._chance.random() < 0.5
        letter = self._letter(exact=not with_header)
        text = self._texts.whole(letter.name)
        program = "qmail-inject" if with_header else "qmail-queue"
        words = [f"{self._system.home}/bin/{program}"]
        if with_header:
            words += ["-f", letter.sender, *letter.recipients]
        envelope = b"F%s\0" % letter.sender.encode() + b"".join(b"T%s\0" % to.encode() for to in letter.recipients)
        code = self._program(words, text, envelope + b"\0", dies=self._chance.random() < 0.1)
        if code >= 0:
            self._answer(letter, b"4" if code else b"2")

    def _program(self, words: list[str], text: bytes, envelope: bytes, *, dies: bool) -> int:
        # Descriptor 1 is the envelope's for qmail-queue; qmail-inject says nothing there.
        reader, writer = os.pipe()
        with self._system.spawning:
            process = subprocess.Popen(
                words, env=self._system.environment, stdin=subprocess.PIPE, stdout=reader, stderr=subprocess.DEVNULL,
                user=INJECTOR, group=INJECTOR, extra_groups=[], cwd="/",
            )  # fmt: skip
            self._system.ours[process.pid] = process
        os.close(reader)
        try:
            assert process.stdin is not None
            process.stdin.write(text)
            if dies:
                time.sleep(self._chance.random() * 0.1)
                process.kill()
            process.stdin.close()
            os.write(writer, envelope)
        except OSError:
            pass
        finally:
            os.close(writer)
            code = process.wait(PATIENCE)
            with self._system.spawning:
                del self._system.ours[process.pid]
        return code

    # ---- as it should not be

    def _badly(self) -> None:
        act = self._chance.choice(BADLY)
        self._book.count("bad: " + act.__name__.strip("_"))
        act(self)

    def _half(self, talk: Talk) -> Letter:
        """A letter of which no end is to come."""
        letter = self._letter()
        letter.status = BROKEN
        talk.ask(b"HELO here")
        talk.envelope(letter)
        talk.ask(b"DATA", b"354")
        return letter

    def _expect_refusal(self, talk: Talk, line: bytes) -> None:
        if not talk.refused(line):
            self._book.problem(f"not refused: {line[:60]!r}")

    def _binary(self) -> None:
        with session() as talk:
            talk.socket.sendall(self._chance.randbytes(self._chance.randrange(1, 5000)) + b"\r\n")
            talk.reply()

    def _browser(self) -> None:
        with session() as talk:
            talk.socket.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@b>\r\n")
            talk.expect(b"502")

    def _tls(self) -> None:
        with session() as talk:
            talk.socket.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + self._chance.randbytes(100) + b"\n")
            talk.reply()

    def _out_of_order(self) -> None:
        with session() as talk:
            for line in (b"RCPT TO:<joe0@soak.test>", b"DATA", b"MAIL FROM:<a@b> SIZE=-1", b"EXPN joe0"):
                self._expect_refusal(talk, line)

    def _relay(self) -> None:
        with session() as talk:
            talk.ask(b"MAIL FROM:<a@b>")
            for address in (b"x@elsewhere.test", b"x%elsewhere.test@other.test", b"@soak.test:x@elsewhere.test"):
                self._expect_refusal(talk, b"RCPT TO:<%s>" % address)

    def _long_line(self) -> None:
        with session() as talk:
            self._expect_refusal(talk, b"MAIL FROM:<" + b"a" * 100_000 + b">")

    def _many_commands(self) -> None:
        with session() as talk:
            talk.say(b"\r\n".join([b"NOOP"] * 300 + [b"XYZZY"] * 20))
            for _ in range(320):
                talk.reply()

    def _cut_in_data(self) -> None:
        with session(reset=self._chance.random() < 0.5) as talk:
            text = wire(self._texts.whole(self._half(talk).name))
            talk.socket.sendall(text[: self._chance.randrange(len(text))])

    def _dot_alone(self) -> None:
        """An end that is none, and a second letter behind it."""
        with session() as talk:
            first = self._half(talk)
            second = self._letter()
            second.status = BROKEN
            end = self._chance.choice((b"\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r\n.\n"))
            text = self._texts.head(first.name).replace(b"\n", b"\r\n") + b"x" + end
            text += b"MAIL FROM:<%s>\r\nRCPT TO:<joe0@soak.test>\r\nDATA\r\n" % second.sender.encode()
            talk.socket.sendall(text + wire(self._texts.whole(second.name)))
            talk.socket.shutdown(socket.SHUT_WR)
            while talk.reply()[:1] in b"45":
                pass
            self._book.problem(f"{first.name} and {second.name} ended in {end!r}, and were accepted")

    def _too_large(self) -> None:
        with session() as talk:
            self._half(talk)
            talk.socket.sendall(b"0123456789abcdef\r\n" * 25_000 + b".\r\n")
            if talk.reply()[:1] == b"2":
                self._book.problem("more than databytes was accepted")

    def _many_hops(self) -> None:
        with session() as talk:
            self._half(talk)
            talk.socket.sendall(b"Received: x\r\n" * 101 + b"\r\n.\r\n")
            if talk.reply()[:1] == b"2":
                self._book.problem("101 hops were accepted")

    def _slow(self) -> None:
        with session() as talk:
            for _ in range(self._chance.randrange(1, 8)):
                talk.socket.sendall(b"N")
                if self._stop.wait(0.5):
                    return

    def _crowd(self) -> None:
        talks = []
        try:
            for _ in range(10):
                talks.append(socket.create_connection(("127.0.0.1", PORT), PATIENCE))
        finally:
            for one in talks:
                one.close()


BADLY: list[Callable[[Client], None]] = [
    Client._binary, Client._browser, Client._tls, Client._out_of_order, Client._relay, Client._long_line,
    Client._many_commands, Client._cut_in_data, Client._cut_in_data, Client._dot_alone, Client._too_large,
    Client._many_hops, Client._slow, Client._crowd,
]  # fmt: skip


@contextmanager
def session(*, reset: bool = False) -> Iterator[Talk]:
    """A session that is closed in the end."""
    talk = Talk()
    try:
        yield talk
    finally:
        talk.close(reset=reset)
