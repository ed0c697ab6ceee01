"""qmail-inject as a program: options, environment, control files, the queue's answers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Run
from keeping import Keeper

Inject = Callable[..., "tuple[int, bytes, bytes]"]
DATED = re.compile(rb"Date: \d\d? [A-Z][a-z][a-z] \d{4} \d\d:\d\d:\d\d -0000\n")
IDENTIFIED = re.compile(rb"Message-ID: <\d{14}\.\d+\.qmail@id\.example>\n")


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(tmp_path)


@pytest.fixture
def inject(home: Path, program: Run, keeper: Keeper) -> Inject:
    for name, host in (("defaulthost", "dh"), ("defaultdomain", "dd"), ("plusdomain", "pp"), ("idhost", "id")):
        (home / "control" / name).write_text(f"{host}.example\n")
    (home / "control/me").write_text("host.example.org\n")

    def run(*arguments: str, text: bytes = b"", **environment: str) -> tuple[int, bytes, bytes]:
        env = {"QMAIL_HOME": str(home), "QMAILQUEUE": str(keeper.path), "USER": "joe", **environment}
        done = program("qmail-inject", *arguments, stdin=text, env=env)
        return done.returncode, done.stdout, done.stderr

    return run


def test_a_message_is_queued_with_a_whole_header(inject: Inject, keeper: Keeper) -> None:
    assert inject(text=b"To: ann, bob@h\nSubject: x\n\nbody") == (0, b"", b"")
    ((message, envelope),) = keeper.kept
    assert envelope == b"Fjoe@dh.example\0Tbob@h.dd.example\0Tann@dh.example\0\0"
    assert DATED.match(message)
    assert IDENTIFIED.search(message)
    assert message.endswith(b"\nFrom: joe@dh.example\nTo: ann@dh.example, bob@h.dd.example\nSubject: x\n\nbody\n")


def test_a_message_is_shown(inject: Inject, keeper: Keeper) -> None:
    code, shown, _ = inject("-n", "-f", "a b@c", text=b"To: x+\n\n\0\xff\r\n")
    assert code == 0
    assert shown.startswith(b'Return-Path: <"a b"@c.dd.example>\nDate: ')
    assert shown.endswith(b"\nTo: x+@dh.example\n\n\0\xff\r\n")
    assert keeper.kept == []


@pytest.mark.parametrize(
    ("options", "recipients"),
    [
        ([], [b"h"]),
        (["x"], [b"x"]),
        (["-a"], []),
        (["-a", "x"], [b"x"]),
        (["-h", "x"], [b"h"]),
        (["-H", "x"], [b"x", b"h"]),
        (["-A", "x", "-a"], [b"x", b"-a"]),
        (["-a", "-h", "x"], [b"h"]),
    ],
)
def test_options_say_who_gets_it(inject: Inject, keeper: Keeper, options: list[str], recipients: list[bytes]) -> None:
    assert inject(*options, text=b"To: h\n")[0] == 0
    ((_, envelope),) = keeper.kept
    assert envelope == b"Fjoe@dh.example\0" + b"".join(b"T%b@dh.example\0" % one for one in recipients) + b"\0"


@pytest.mark.parametrize(
    ("environment", "author", "sender"),
    [
        ({}, b"joe@dh.example", b"joe@dh.example"),
        ({"QMAILUSER": "q", "MAILUSER": "m"}, b"q@dh.example", b"q@dh.example"),
        ({"USER": ".x"}, b'".x"@dh.example', b".x@dh.example"),
        ({"NAME": "J O"}, b'"J O" <joe@dh.example>', b"joe@dh.example"),
        ({"NAME": "J O", "QMAILINJECT": "c"}, b"joe@dh.example (J O)", b"joe@dh.example"),
        ({"QMAILHOST": "x+", "MAILHOST": "y"}, b"joe@x.pp.example", b"joe@x.pp.example"),
        ({"MAILHOST": "[192.0.2.1]"}, b"joe@[192.0.2.1]", b"joe@[192.0.2.1]"),
        ({"QMAILSUSER": "su", "QMAILSHOST": "sh"}, b"joe@dh.example", b"su@sh.dd.example"),
        ({"QMAILINJECT": "r"}, b"joe@dh.example", b"joe-@dh.example-@[]"),
        ({"QMAILDEFAULTHOST": "q.q"}, b"joe@q.q", b"joe@q.q"),
        pytest.param({"NAME": "x\nBcc: y"}, b'"x Bcc: y" <joe@dh.example>', b"joe@dh.example", id="fault_069"),
    ],
)
def test_the_environment_names_the_author(
    inject: Inject, keeper: Keeper, environment: dict[str, str], author: bytes, sender: bytes
) -> None:
    assert inject(text=b"To: a\n", **environment)[0] == 0
    ((message, envelope),) = keeper.kept
    assert b"\nFrom: " + author + b"\n" in message
    assert envelope.startswith(b"F" + sender + b"\0")


def test_one_bounce_address_a_message(inject: Inject, keeper: Keeper) -> None:
    inject(text=b"To: a\n", QMAILINJECT="m")
    assert re.match(rb"Fjoe-\d+\.\d+@dh\.example\0T", keeper.kept[0][1])


def test_fields_are_ignored_on_demand(inject: Inject, keeper: Keeper) -> None:
    text = b"From: (x\nMessage-ID: y\nReturn-Path: z\nTo: a\n"
    assert inject(text=text, QMAILINJECT="fis")[0] == 0
    ((message, envelope),) = keeper.kept
    assert b"\nFrom: joe@dh.example\n" in message
    assert IDENTIFIED.search(message)
    assert envelope.startswith(b"Fjoe@dh.example\0")


@pytest.mark.parametrize(
    "text",
    [
        b"To: a, b@h, c@x+ (d (e) f), <@r:g@h.>\nSubject: x \n\ty\n\nbody\n",
        b'From x y\nFrom: (me) "q\\"r" <j>\nTO :g: a, b;,,\nX:\n\n',
        b"Return-Path: <s@t>\nBcc: z\nTo: " + b"a@b, " * 50 + b"\nErrors-To: e+\n",
        b"Resent-To: a b c\nTo: (\nCc: <a\n\xff\xff: no field\n",
        b"To: \\a\\ b\\\n\t[x] <a@[10.0.0.1]>\rx\nno field",
        b"",
    ],
)
def test_what_it_has_made_passes_unchanged(inject: Inject, text: bytes) -> None:
    code, once, _ = inject("-n", text=text)
    assert code == 0
    assert inject("-n", text=once) == (0, once, b"")


def test_mailing_lists_come_from_a_file(inject: Inject, keeper: Keeper, tmp_path: Path) -> None:
    (tmp_path / "lists").write_text("# mine\nList@dh.example  \n")
    inject(text=b"To: list, b\n", QMAILMFTFILE=str(tmp_path / "lists"))
    assert b"\nMail-Followup-To: list@dh.example,\n  b@dh.example\n" in keeper.kept[0][0]


@pytest.mark.parametrize(
    ("arguments", "text", "code", "words"),
    [
        (["-z"], b"", 100, b"qmail-inject: illegal option -- z\n"),
        (["-f"], b"", 100, b"qmail-inject: option requires an argument -- f\n"),
        (["a@("], b"", 100, b"qmail-inject: fatal: unable to parse address: a@(\n"),
        ([], b"From: (a\n b\n", 100, b"qmail-inject: fatal: unable to parse this line:\nFrom: (a\n b\n"),
    ],
)
def test_what_cannot_be_understood_is_refused(
    inject: Inject, keeper: Keeper, arguments: list[str], text: bytes, code: int, words: bytes
) -> None:
    assert inject(*arguments, text=text) == (code, b"", words)
    assert keeper.kept == []


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"QMAILHOST": "b>"}, b'Return-Path: "joe"@b>\n'),
        ({"QMAILHOST": "b>", "QMAILSHOST": "b"}, b"From: joe@b>\n"),
        ({"QMAILHOST": "b>", "QMAILSUSER": "sue", "NAME": "J"}, b'Return-Path: "sue"@b>\n'),
    ],
)
def test_a_host_that_makes_no_address_is_refused(
    inject: Inject, keeper: Keeper, variables: dict[str, str], line: bytes
) -> None:
    said = inject("a", text=b"\n", USER="joe", **variables)
    assert said == (100, b"", b"qmail-inject: fatal: unable to parse this line:\n" + line)
    assert keeper.kept == []


def test_an_unreadable_control_file_is_no_default(inject: Inject, home: Path) -> None:
    (home / "control/me").unlink()
    (home / "control/me").mkdir()
    (home / "control/idhost").unlink()
    assert inject("-n", text=b"To: a\n") == (111, b"", b"qmail-inject: fatal: read error\n")


@pytest.mark.parametrize(
    ("code", "words", "exits", "says"),
    [
        (11, "", 100, b"envelope address too long for qq (#5.1.3)"),
        (53, "", 111, b"qq write error or disk full (#4.3.0)"),
        (82, "Dgo away (#5.7.1)", 100, b"go away (#5.7.1)"),
        (82, "Zlater", 111, b"later"),
    ],
)
def test_the_queues_answer_is_passed_on(
    inject: Inject, tmp_path: Path, code: int, words: str, exits: int, says: bytes
) -> None:
    (tmp_path / "other").mkdir()
    other = Keeper(tmp_path / "other", code, words)
    done = inject(text=b"To: a\n", QMAILQUEUE=str(other.path))
    assert done == (exits, b"", b"qmail-inject: fatal: " + says + b"\n")


def test_a_large_body_streams(inject: Inject, keeper: Keeper) -> None:
    body = bytes(range(256)) * 40_000
    assert inject("x", text=b"Subject: y\n\n" + body)[0] == 0
    assert keeper.kept[0][0].endswith(b"\n\n" + body + b"\n")


def test_fault_070_a_header_line_of_100_megabytes_is_refused_soon(inject: Inject, keeper: Keeper) -> None:
    begin = time.monotonic()
    code, _, words = inject("x", text=b"Subject: " + b"y" * 100_000_000)
    assert (code, words.count(b"\n")) == (100, 1)
    assert time.monotonic() - begin < 15
    assert keeper.kept == []


def test_a_thousand_nested_comments_are_no_trouble(inject: Inject, keeper: Keeper) -> None:
    assert inject(text=b"To: a " + b"(" * 1000 + b"x" + b")" * 1000 + b"\n")[0] == 0
    assert b"\nTo: a@dh.example (x)\n" in keeper.kept[0][0]
