"""qmail-remote and mail exchangers, in a network of its own where port 25 is ours."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

from conftest import BIN, TOP, needs_root
from nameserver import NameServer
from scripted import Peer, taking

ZONE = {
    ("two.example", "MX"): ["20 far.example.", "10 near.example."],
    ("near.example", "A"): ["198.51.100.1"],
    ("far.example", "A"): ["198.51.100.2"],
    ("down.example", "MX"): ["10 dead.example.", "20 far.example."],
    ("dead.example", "A"): ["198.51.100.3"],
    ("dual.example", "MX"): ["10 both.example."],
    ("both.example", "AAAA"): ["2001:db8::1"],
    ("both.example", "A"): ["198.51.100.2"],
    ("six.example", "AAAA"): ["2001:db8::2"],
    ("bare.example", "A"): ["198.51.100.1"],
    ("alias.example", "CNAME"): ["two.example."],
    ("null.example", "MX"): ["0 ."],
    ("empty.example", "TXT"): ['"nothing here"'],
    ("lost.example", "MX"): ["10 nowhere.example."],
    ("half.example", "MX"): ["10 broken.example.", "20 far.example."],
    ("unsure.example", "MX"): ["10 broken.example."],
    ("us.example", "MX"): ["10 us1.example."],
    ("us1.example", "A"): ["127.0.0.1"],
    ("zero.example", "A"): ["0.0.0.0"],
    ("backup.example", "MX"): ["10 near.example.", "20 us1.example.", "30 far.example."],
    ("behind.example", "MX"): ["20 us1.example.", "30 far.example."],
    ("crowd.example", "MX"): [f"{i} nowhere{i}.example." for i in range(1, 1000)] + ["0 near.example."],
    ("loop.example", "CNAME"): ["loop.example."],
}  # fmt: skip
CODES = {"broken.example": 2, "servfail.example": 2, "refused.example": 5}
NEAR, FAR, SIX = "K198.51.100.1", "K198.51.100.2", "K2001:db8::2"
CASES = {
    "two.example": NEAR,
    "TWO.Example": NEAR,
    "down.example": FAR,
    "dual.example": FAR,
    "six.example": SIX,
    "bare.example": NEAR,
    "alias.example": NEAR,
    "[198.51.100.2]": FAR,
    "[IPv6:2001:db8::2]": SIX,
    "null.example": "DSorry, null.example says that it takes no mail. (#5.1.10)",
    "empty.example": "DSorry, I couldn't find any host named empty.example. (#5.1.2)",
    "gone.example": "DSorry, I couldn't find any host named gone.example. (#5.1.2)",
    "lost.example": "DSorry, I couldn't find a mail exchanger or IP address. (#5.4.4)",
    "half.example": FAR,
    "unsure.example": "ZSorry, I couldn't find any host by that name. (#4.1.2)",
    "servfail.example": "ZSorry, I couldn't find any host by that name. (#4.1.2)",
    "refused.example": "ZSorry, I couldn't find any host by that name. (#4.1.2)",
    "loop.example": "ZSorry, I couldn't find any host by that name. (#4.1.2)",
    "us.example": "DSorry. Although I'm listed as a best-preference MX",
    "zero.example": "DSorry. Although I'm listed as a best-preference MX",
    "backup.example": NEAR,
    "behind.example": "DSorry. Although I'm listed as a best-preference MX",
    "crowd.example": NEAR,
    "a..b": "DSorry, I couldn't find any host named a..b. (#5.1.2)",
    "": "DSorry, I couldn't find any host named . (#5.1.2)",
}  # fmt: skip


@needs_root
def test_fault_084_every_list_of_exchangers_has_one_outcome() -> None:
    done = subprocess.run(["unshare", "-n", sys.executable, __file__], capture_output=True, timeout=110)
    assert (done.returncode, done.stderr) == (0, b""), done.stdout.decode()


def outcomes(home: Path, environ: dict[str, str]) -> dict[str, str]:
    """What qmail-remote makes of each host."""
    found = {}
    for host in CASES:
        done = subprocess.run(
            [str(BIN / "qmail-remote"), host, "s@client.example", "r@h"], input=b"Subject: t\n\n", capture_output=True,
            env={"QMAIL_HOME": str(home), "PATH": "/usr/bin:/bin", **environ},
        )  # fmt: skip
        found[host] = (done.stdout.split(b"\0")[-2] if done.stdout else done.stderr).decode()
    return found


def main() -> int:
    """Inside the network: each host has its outcome, with and without qmail-dns."""
    from qmail.stores.installation import create

    for command in (
        "ip link set lo up",
        "ip route add local 198.51.100.0/24 dev lo",
        "ip -6 route add local 2001:db8::/64 dev lo",
    ):
        subprocess.run(command.split(), check=True)
    home = Path(tempfile.mkdtemp()) / "home"
    create(os.fsencode(home))
    (home / "control/me").write_text("client.example\n")
    wrong = 0
    with (
        NameServer(ZONE, codes=CODES) as server,
        Peer(taking(), address="198.51.100.1", port=25),
        Peer(taking(), address="198.51.100.2", port=25),
        Peer(taking(), address="2001:db8::2", port=25),
    ):
        for resident in (False, True):
            environ = server.environ
            if resident:
                service = subprocess.Popen(
                    [str(BIN / "qmail-dns")], env={"QMAIL_HOME": str(home), "PATH": "/usr/bin:/bin", **environ}
                )
                while not (home / "qr/dns").is_socket():
                    pass
                environ = {}
            for host, outcome in outcomes(home, environ).items():
                if not outcome.startswith(CASES[host]):
                    wrong += 1
                    print(f"{host!r} (qmail-dns: {resident}): {outcome!r}, not {CASES[host]!r}")
            if resident:
                service.terminate()
                service.wait()
    subprocess.run(["rm", "-rf", str(home.parent)], check=True)
    return wrong


if __name__ == "__main__":
    sys.path.insert(0, str(TOP / "src"))
    sys.exit(main())
