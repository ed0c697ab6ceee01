"""Zones that Knot serves, one of them signed by it, behind an Unbound that validates; all on this machine."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rdatatype

LIMIT = 30  # seconds for anything
SOA = "@ 300 SOA ns.example. host.example. 1 3600 900 86400 60\n@ 300 NS ns.example.\n"


class SignedZones:
    """`zones`: names to lines of their files; `example.` is signed, and trusted by Unbound, others are as they are.

    A zone that is None has no file: Knot has nothing to say of it but SERVFAIL. `listens`: where Unbound answers.
    """

    def __init__(self, place: Path, zones: Mapping[str, Sequence[str] | None], listens: Sequence[str]) -> None:
        self.place = place
        place.mkdir()
        text = KNOT.format(place=place)
        for name, lines in zones.items():
            file = place / f"{name}zone"
            if lines is not None:
                file.write_text(f"$ORIGIN {name}\n$TTL 300\n{SOA}" + "".join(line + "\n" for line in lines))
            text += f"  - domain: {name}\n    file: {file}\n" + (SIGNED if name == "example." else "")
        (place / "knot.conf").write_text(text)
        self._processes = [self._started("knotd", "-c", place / "knot.conf")]
        try:
            key = self._asked("example.", "DNSKEY", KNOT_PORT).answer[0].to_text()
            text = UNBOUND.format(place=place, key=key)
            text += "".join(f"  interface: {each}\n" for each in listens)
            text += "remote-control:\n  control-enable: no\n"
            text += "".join(f'stub-zone:\n  name: "{each}"\n  stub-addr: 127.0.0.1@{KNOT_PORT}\n' for each in zones)
            (place / "unbound.conf").write_text(text)
            self._processes.append(self._started("unbound", "-d", "-c", place / "unbound.conf"))
            address, _, port = listens[0].partition("@")
            reply = self._asked("example.", "SOA", int(port), address)
            assert reply.flags & dns.flags.AD, "Unbound does not validate"
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> SignedZones:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End both."""
        for process in self._processes:
            process.terminate()
            process.wait(LIMIT)

    def _started(self, *argv: str | Path) -> subprocess.Popen[bytes]:
        with (self.place / f"{argv[0]}.log").open("wb") as log:
            return subprocess.Popen(["/usr/sbin/" + str(argv[0]), *argv[1:]], stdout=log, stderr=log)

    def _asked(self, name: str, kind: str, port: int, address: str = "127.0.0.1") -> dns.message.Message:
        """What the server there says, as soon as it has such a record."""
        query = dns.message.make_query(name, kind)
        query.flags |= dns.flags.AD
        end = time.monotonic() + LIMIT
        while True:
            try:
                reply = dns.query.udp(query, address, port=port, timeout=1)
                if reply.answer:
                    return reply
            except (dns.exception.DNSException, OSError):
                pass
            logs = [file.read_text() for file in self.place.glob("*.log")]
            assert all(process.poll() is None for process in self._processes) and time.monotonic() < end, logs
            time.sleep(0.02)


KNOT_PORT = 5300
KNOT = """
server:
  rundir: {place}
  listen: 127.0.0.1@5300
database:
  storage: {place}
log:
  - target: stderr
    any: warning
policy:
  - id: here
    algorithm: ecdsap256sha256
    single-type-signing: on
    cds-cdnskey-publish: none
template:
  - id: default
    journal-content: none
    zonefile-load: whole
    zonefile-sync: -1
zone:
"""
SIGNED = "    dnssec-signing: on\n    dnssec-policy: here\n"
UNBOUND = """
server:
  directory: {place}
  pidfile: ""
  chroot: ""
  username: ""
  use-syslog: no
  do-ip6: no
  num-threads: 1
  do-not-query-localhost: no
  access-control: 0.0.0.0/0 allow
  trust-anchor: "{key}"
"""
