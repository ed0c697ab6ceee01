"""rblsmtpd refuses listed clients and runs the server for all others."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator

import pytest

from conftest import BIN, Run
from nameserver import NameServer

ZONE = {
    ("2.0.0.127.bad.example", "TXT"): ['"listed"'],
    ("2.0.0.127.two.example", "TXT"): ['"one"', '"two"'],
    ("2.0.0.127.long.example", "TXT"): ['"' + "x" * 250 + '"'],
    ("2.0.0.127.odd.example", "TXT"): [r'"a\009b\200"'],
    ("2.0.0.127.good.example", "A"): ["127.0.0.2"],
    ("1." + "0." * 23 + "8.b.d.0.1.0.0.2.bad.example", "TXT"): ['"six"'],
}


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    """A name server with lists."""
    with NameServer(dict(ZONE), codes={"2.0.0.127.down.example": 2}) as server:
        yield server


def answer(program: Run, names: NameServer, *options: str, address: str = "127.0.0.2") -> str:
    """What a client hears when it says RCPT, or `passed`."""
    done = program(
        *("rblsmtpd", *options, "echo", "passed"),
        stdin=b"RCPT\r\nQUIT\r\n",
        env={"TCPREMOTEIP": address, **names.environ},
    )
    assert done.returncode == 0
    said = done.stdout.decode().splitlines()
    if said == ["passed"]:
        assert done.stderr == b""
        return "passed"
    assert [said[0], said[2]] == ["220 rblsmtpd.local", "221 rblsmtpd.local"]
    assert re.sub(r"pid \d+", "pid N", done.stderr.decode()) == f"rblsmtpd: {address} pid N: {said[1]}\n"
    return said[1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "passed"),
        ("-r none.example", "passed"),
        ("-r bad.example", "451 listed"),
        ("-b -r bad.example", "553 listed"),
        ("-r bad.example -b", "451 listed"),
        ("-b -B -r bad.example", "451 listed"),
        ("-r two.example", "451 onetwo"),
        ("-r long.example", "451 " + "x" * 200),
        ("-r odd.example", "451 a?b?"),
        ("-r none.example -r bad.example", "451 listed"),
        ("-a good.example -r bad.example", "passed"),
        ("-r bad.example -a good.example", "451 listed"),
        ("-r down.example", "passed"),
        ("-c -r down.example", "451 temporary RBL lookup error"),
        ("-cb -r down.example", "451 temporary RBL lookup error"),
        ("-b -r down.example -r bad.example", "451 listed"),
        ("-a down.example -r bad.example", "passed"),
        ("-cb -a down.example -r bad.example", "451 listed"),
    ],
)
def test_the_lists_decide_in_their_order(program: Run, names: NameServer, options: str, said: str) -> None:
    heard = answer(program, names, *options.split())
    assert sorted(heard) == sorted(said) if said == "451 onetwo" else heard == said


def test_an_ipv6_client_is_asked_for_digit_by_digit(program: Run, names: NameServer) -> None:
    assert answer(program, names, "-r", "bad.example", address="2001:db8::1") == "451 six"
    assert answer(program, names, "-r", "bad.example", address="2001:db8::2") == "passed"


def test_no_address_asks_no_list(program: Run, names: NameServer) -> None:
    before = dict(names.asked)
    assert answer(program, names, "-r", "bad.example", address="x") == "passed"
    assert names.asked == before


@pytest.mark.parametrize(
    ("text", "said"), [("go away", "451 go away"), ("-go away", "553 go away"), ("a\tb\n", "451 a?b?")]
)
def test_RBLSMTPD_decides_alone(program: Run, text: str, said: str) -> None:
    session = b"EHLO x\r\nmail from:<a>\r\nRCPT TO:<b>\r\nDATA\r\nNOOP\r\nRSET\r\nVRFY x\r\n\r\nquit\r\nMORE\r\n"
    done = program(
        "rblsmtpd", "-r", "bad.example", "true", stdin=session, env={"RBLSMTPD": text, "TCPREMOTEIP": "1.2.3.4"}
    )
    fine = "250 rblsmtpd.local"
    assert done.stdout.decode().split("\r\n") == [
        "220 rblsmtpd.local", fine, fine, said, said, fine, fine, said, said, "221 rblsmtpd.local", "",
    ]  # fmt: skip


def test_an_empty_RBLSMTPD_asks_nobody(program: Run, names: NameServer) -> None:
    env = {"RBLSMTPD": "", "TCPREMOTEIP": "127.0.0.2", **names.environ}
    assert program("rblsmtpd", "-r", "bad.example", "echo", "passed", env=env).stdout == b"passed\n"


def test_a_refused_client_that_stays_is_left_after_the_time_given() -> None:
    begun = time.monotonic()
    with subprocess.Popen(
        [BIN / "rblsmtpd", "-t1", "true"], env={"RBLSMTPD": "x"}, stdin=-1, stdout=subprocess.DEVNULL, stderr=-1
    ) as process:
        assert process.wait(10) == 0
    assert time.monotonic() - begun > 0.9


def test_t0_says_the_reason_and_hangs_up(program: Run) -> None:
    done = program("rblsmtpd", "-t0", "true", stdin=b"QUIT\r\n", env={"RBLSMTPD": "x"})
    assert done.stdout == b"451 x\r\n"


def test_a_line_without_end_is_not_kept(program: Run) -> None:
    done = program("rblsmtpd", "true", stdin=b"x" * 10_000_000, env={"RBLSMTPD": "x"})
    assert (done.returncode, done.stdout) == (0, b"220 rblsmtpd.local\r\n")
