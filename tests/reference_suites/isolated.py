"""Run a suite as nobody, in a network of its own: `unshare -n isolated.py DIRECTORY SUITE PATH`.

The network is loopback alone, with a name server on 127.0.0.1 that knows the names which the suites
ask for. The suite's output goes to standard output, also what there was of it when its time was over.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from nameserver import NameServer

ZONE = {
    ("localhost", "A"): ["127.0.0.1"],
    ("1.0.0.127.in-addr.arpa", "PTR"): ["localhost."],
    ("2.0.0.127.rbl.maps.vix.com", "A"): ["127.0.0.2"],
    ("2.0.0.127.rbl.maps.vix.com", "TXT"): ['"Blackholed"'],
}
SECONDS = 60


def main(directory: str, suite: str, path: str) -> int:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    nobody = pwd.getpwnam("nobody")
    with NameServer(ZONE, port=53):
        return subprocess.run(
            ["sh", suite],
            cwd=directory,
            env={"PATH": path, "DNSCACHEIP": "127.0.0.1"},
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
            check=False,
        ).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
