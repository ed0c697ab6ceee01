"""qmail-local as a program: what a .qmail file may be, and what strangers may put into an address."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import BIN

Done = subprocess.CompletedProcess[bytes]
TEXT = b"Subject: t\n\nhello\n"


class Person:
    """A user's home, and mail for it."""

    def __init__(self, home: Path, tmp_path: Path) -> None:
        self.system, self.home = home, tmp_path / "joe"
        self.home.mkdir()
        self.home.chmod(0o755)

    def says(self, text: bytes, name: str = ".qmail", mode: int = 0o600) -> None:
        (self.home / name).write_bytes(text)
        (self.home / name).chmod(mode)

    def gets(
        self, local: bytes = b"joe", ext: bytes | None = None, *, sender: bytes = b"s@a", host: bytes = b"h",
        text: bytes = TEXT, options: tuple[bytes, ...] = (), **environ: str,
    ) -> Done:  # fmt: skip
        """One delivery."""
        message = self.home.parent / "message"
        message.write_bytes(text)
        dash = b"" if ext is None else b"-"
        words = [*options, b"--", b"joe", os.fsencode(self.home), local, dash, ext or b"", host, sender, b"./Mailbox"]
        environment = {"PATH": "/usr/bin:/bin", "QMAIL_HOME": str(self.system), **environ}
        with open(message, "rb") as file:
            return subprocess.run(
                [os.fsencode(BIN / "qmail-local"), *words], stdin=file, capture_output=True, env=environment, timeout=60
            )


@pytest.fixture
def joe(home: Path, tmp_path: Path) -> Person:
    return Person(home, tmp_path)


def test_fault_086_what_is_no_file_is_no_dotqmail(joe: Person) -> None:
    os.mkfifo(joe.home / ".qmail")
    assert joe.gets().stdout == b"did 1+0+0\n"
    (joe.home / ".qmail").unlink()
    (joe.home / ".qmail").mkdir()
    assert joe.gets().stdout == b"did 1+0+0\n"
    (joe.home / ".qmail").rmdir()
    (joe.home / ".qmail").symlink_to("nowhere")
    assert joe.gets().stdout == b"did 1+0+0\n"
    (joe.home / ".qmail").unlink()
    (joe.home / ".qmail").symlink_to(".qmail")
    done = joe.gets()
    assert (done.returncode, done.stderr) == (111, b"Unable to open .qmail: symbolic link loop. (#4.3.0)\n")


def test_fault_086_ten_megabytes_of_comments_are_followed(joe: Person) -> None:
    joe.says(b"# nothing to see here\n" * 500_000 + b"./Mailbox")
    assert joe.gets().stdout == b"did 1+0+0\n"


def test_fault_086_a_nul_ends_its_line(joe: Person) -> None:
    joe.says(b"|echo a\0; echo b\n")
    assert joe.gets().stdout == b"a\ndid 0+0+1\n"


@pytest.mark.parametrize(
    ("mode", "code", "words"),
    [
        (0o757, 111, b"Uh-oh: home directory is writable. (#4.7.0)\n"),
        (0o1755, 111, b"Home directory is sticky: user is editing his .qmail file. (#4.2.1)\n"),
        (0o775, 0, b""),
    ],
)
def test_fault_087_a_home_that_is_not_fit_defers(joe: Person, mode: int, code: int, words: bytes) -> None:
    joe.home.chmod(mode)
    done = joe.gets()
    assert (done.returncode, done.stderr) == (code, words)


def test_fault_087_a_missing_home_defers(joe: Person) -> None:
    joe.home.rmdir()
    done = joe.gets()
    text = b"Unable to switch to " + os.fsencode(joe.home) + b": file does not exist. (#4.3.0)\n"
    assert (done.returncode, done.stderr) == (111, text)


def test_a_sticky_home_only_warns_who_asks_what_would_be_done(joe: Person) -> None:
    joe.home.chmod(0o1755)
    joe.says(b"./Mailbox\n./Maildir/\n|prog\n&a@b\n#\n")
    done = joe.gets(options=(b"-n",))
    assert done.stdout == b"mbox ./Mailbox\nmaildir ./Maildir/\nprogram prog\nforward a@b\ndid 2+1+1\n"
    assert (done.returncode, done.stderr) == (0, b"Warning: home directory is sticky.\n")


@pytest.mark.parametrize("code", [64, 65, 70, 76, 77, 78, 100, 112])
def test_fault_090_these_codes_of_a_program_bounce(joe: Person, code: int) -> None:
    joe.says(b"./Mailbox\n|exit %d\n|echo not me\n" % code)
    done = joe.gets()
    assert (done.returncode, done.stdout, done.stderr) == (100, b"", b"")
    assert (joe.home / "Mailbox").read_bytes().endswith(b"hello\n\n"), "what was done before stays"


@pytest.mark.parametrize("code", [1, 2, 71, 75, 98, 101, 111, 126, 127, 255])
def test_fault_090_all_others_defer(joe: Person, code: int) -> None:
    joe.says(b"|exit %d\n|echo not me\n" % code)
    done = joe.gets()
    assert (done.returncode, done.stdout, done.stderr) == (111, b"", b"")


def test_fault_090_a_program_need_not_read_and_may_ignore_term(joe: Person) -> None:
    joe.says(b"|trap '' TERM; kill -TERM $$; echo still here\n|cat | wc -c\n")
    assert joe.gets(text=b"x" * 300_000).stdout == b"still here\n300000\ndid 0+0+2\n"


def test_every_program_gets_the_message_from_its_start(joe: Person) -> None:
    joe.says(b"|head -1\n|cat\n")
    assert joe.gets().stdout == b"Subject: t\n" + TEXT + b"did 0+0+2\n"


HOSTILE = [
    b"|touch x", b"/etc/passwd", b"-froot", b"`touch x`", b"$(touch x)", b";touch x", b"a\nBcc: x",
    b"() { :;}; touch x", b"a b", b'"a"', b"a\\b", b"\xff\xfe", b"..", b"../../x", b"a/../../x", b"x" * 900,
]  # fmt: skip


@pytest.mark.parametrize("part", HOSTILE)
def test_fault_059_065_068_an_address_is_data_and_nothing_else(joe: Person, part: bytes) -> None:
    joe.says(b'|printf "%s|%s|%s" "$LOCAL" "$SENDER" "$EXT"\n./Mailbox\n', ".qmail-default")
    done = joe.gets(b"joe-" + part, part, sender=part + b"@a")
    assert done.stdout == b"joe-" + part + b"|" + part + b"@a|" + part + b"did 1+0+1\n"
    assert sorted(os.listdir(joe.home)) == [".qmail-default", "Mailbox"]
    head = (joe.home / "Mailbox").read_bytes().split(b"\n")
    assert [line.partition(b" ")[0] for line in head[:3]] == [b"From", b"Return-Path:", b"Delivered-To:"]
    assert head[3] == b"Subject: t"


@pytest.mark.parametrize("ext", [b"/../../etc/passwd", b"a/b", b"..", b".", b"-", b"a" * 300])
def test_fault_065_no_extension_leads_out_of_the_home(joe: Person, ext: bytes) -> None:
    done = joe.gets(b"joe-" + ext, ext)
    assert (done.returncode, done.stderr) == (100, b"Sorry, no mailbox here by that name. (#5.1.1)\n")


def test_fault_072_only_the_very_same_line_is_a_loop(joe: Person) -> None:
    for line in (b"Delivered-To: Joe@h", b"delivered-to: joe@h", b"Delivered-To:  joe@h", b"Delivered-To:\n joe@h"):
        assert joe.gets(text=line + b"\n\nx\n").returncode == 0
    done = joe.gets(text=b"A: b\nDelivered-To: joe@h\n\nx\n")
    words = b"This message is looping: it already has my Delivered-To line. (#5.4.6)\n"
    assert (done.returncode, done.stderr) == (100, words)


def test_fault_070_a_header_line_of_a_hundred_kilobytes_hides_no_loop(joe: Person) -> None:
    assert joe.gets(text=b"X: " + b"y" * 100_000 + b"\nDelivered-To: joe@h\n\n").returncode == 100
    assert joe.gets(text=b"X: " + b"y" * 65_530 + b"\nDelivered-To: joe@h\n\n").returncode == 100


def test_fault_088_an_mbox_that_is_a_link_to_what_is_not_ours_is_no_mbox(joe: Person) -> None:
    (joe.home / "Mailbox").symlink_to("/proc/version")
    done = joe.gets()
    assert done.returncode == 111 and b"Mailbox" in done.stderr


def test_fault_089_a_maildir_without_tmp_defers_and_other_files_in_it_do_not_matter(joe: Person) -> None:
    (joe.home / "Maildir/new").mkdir(parents=True)
    joe.says(b"./Maildir/\n")
    done = joe.gets()
    assert (done.returncode, done.stderr) == (111, b"Temporary error on maildir delivery. (#4.3.0)\n")
    (joe.home / "Maildir/tmp").mkdir()
    for number in range(100):
        (joe.home / f"Maildir/tmp/{number}.old.h").write_text("")
    assert joe.gets().stdout == b"did 1+0+0\n"


def test_fault_091_a_hundred_thousand_forwards_are_one_submission(
    joe: Person, stand_in: Callable[[], tuple[str, Path]]
) -> None:
    program, kept = stand_in()
    joe.says(b"".join(b"&user%d@example.net\n" % number for number in range(100_000)))
    done = joe.gets(QMAILQUEUE=program)
    assert done.returncode == 0 and done.stdout.startswith(b"did 0+100000+0\nqp ")
    envelope = (kept / "envelope").read_bytes()
    assert envelope.startswith(b"Fs@a\0Tuser0@example.net\0") and envelope.count(b"\0T") == 100_000
    assert (kept / "message").read_bytes() == b"Delivered-To: joe@h\n" + TEXT


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[[], tuple[str, Path]]:
    """A queue program that keeps what it gets."""

    def make() -> tuple[str, Path]:
        kept = tmp_path / "kept"
        kept.mkdir()
        program = tmp_path / "queue"
        program.write_text(f'#!/bin/sh\ncat >"{kept}/message"; cat <&1 >"{kept}/envelope"\n')
        program.chmod(0o755)
        return str(program), kept

    return make


def test_forwards_go_last_and_not_at_all_where_something_failed(
    joe: Person, stand_in: Callable[[], tuple[str, Path]]
) -> None:
    program, kept = stand_in()
    joe.says(b"&a@b\n|test ! -e %b/message\n&c@d\n|exit 99\n|exit 100\n&e@f\n" % os.fsencode(kept))
    done = joe.gets(QMAILQUEUE=program)
    assert done.stdout.startswith(b"did 0+2+2\nqp ")
    assert (kept / "envelope").read_bytes() == b"Fs@a\0Ta@b\0Tc@d\0\0"
    (kept / "envelope").unlink()
    joe.says(b"&a@b\n./none/Mailbox\n")
    assert joe.gets(QMAILQUEUE=program).returncode == 111
    assert not (kept / "envelope").exists()


@pytest.mark.parametrize("line", [b"", b"|cat\n"])
def test_a_message_that_is_no_file_cannot_be_delivered(joe: Person, line: bytes) -> None:
    joe.says(line)
    environment = {"PATH": "/usr/bin:/bin", "QMAIL_HOME": str(joe.system)}
    argv = [BIN / "qmail-local", "joe", joe.home, "joe", "", "", "h", "s@a", "./Mailbox"]
    done = subprocess.run(argv, input=b"x\n", capture_output=True, env=environment, timeout=60)
    assert (done.returncode, done.stderr) == (111, b"Unable to rewind message. (#4.3.0)\n")
    assert not (joe.home / "Mailbox").exists()


@pytest.mark.parametrize("words", [["-x", "joe"], ["joe", "home", "joe", "", "", "h", "s", "x"], ["joe"], ["-n"]])
def test_wrong_arguments_are_told(words: list[str], home: Path) -> None:
    done = subprocess.run([BIN / "qmail-local", *words], capture_output=True, timeout=60, env={"QMAIL_HOME": str(home)})
    usage = b"qmail-local: usage: qmail-local [ -nN ] user homedir local dash ext domain sender aliasempty\n"
    assert done.returncode == 100
    assert done.stderr == (b"qmail-local: illegal option -- x\n" + usage if words[0] == "-x" else usage)
