"""qmail-remote and policies of MTA-STS: mail by qmail-rspawn's warm processes, which make qmail-stsd start.

All of it is in a network of its own, where the ports 25 and 443 are ours. What was counted is looked at in the end.
"""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

from conftest import BIN, TOP, needs_root, wait_until
from nameserver import NameServer
from policyhost import PolicyHost, answer
from securing import Authority, certificate
from sender import Sender
from starttls import Server

IN_TLS, PLAIN, NOT = "TLSv1.3", "plain", ""  # how the message went
GOOD, STRAY, BARE = "198.51.100.1", "198.51.100.2", "198.51.100.3"
UNNAMED = "ZI found mx.%s.example but the policy (MTA-STS) of the domain does not name it. (#4.7.5)\n"
UNTRUSTED = f"ZConnected to {STRAY} but TLS could not be agreed on: nobody whom this system trusts has signed"
UNTOLD = f"ZConnected to {GOOD} but TLS could not be agreed on: its certificate is not the one that its TLSA records"
ENFORCE, TESTING, NONE = "enforce", "testing", "none"

# Domains of example.: mode of the policy, exchangers and what the policy calls them; what is reported, how the message
# went, and how the sessions are counted.
CASES: dict[str, tuple[str, list[str], str, str, str, list[str]]] = {
    "good": (ENFORCE, [GOOD], "mx.good.example", f"K{GOOD}", IN_TLS, ["sts"]),
    "star": (ENFORCE, [GOOD], "*.star.example", f"K{GOOD}", IN_TLS, ["sts"]),
    "unnamed": (ENFORCE, [GOOD], "*.mx.unnamed.example", UNNAMED % "unnamed", NOT, ["sts certificate-host-mismatch"]),
    "untrusted": (ENFORCE, [STRAY], "*.untrusted.example", UNTRUSTED, NOT, ["sts certificate-not-trusted"]),
    "notls": (ENFORCE, [BARE], "*.notls.example", f"ZConnected to {BARE} but it does not offer TLS", NOT, [
        "sts starttls-not-supported",
    ]),
    "second": (ENFORCE, [STRAY, BARE, GOOD], "*.second.example", f"K{GOOD}", IN_TLS, [
        "sts certificate-not-trusted", "sts starttls-not-supported", "sts",
    ]),
    "tried": (TESTING, [GOOD], "*.tried.example", f"K{GOOD}", IN_TLS, ["sts"]),
    "trial": (TESTING, [STRAY], "*.trial.example", f"K{STRAY}", IN_TLS, ["sts certificate-not-trusted"]),
    "trialnot": (TESTING, [BARE], "*.trialnot.example", f"K{BARE}", PLAIN, ["sts starttls-not-supported"]),
    "trialmx": (TESTING, [GOOD], "other.example", f"K{GOOD}", IN_TLS, ["sts certificate-host-mismatch"]),
    "off": (NONE, [STRAY], "*.off.example", f"K{STRAY}", IN_TLS, ["no-policy-found"]),
    "nothing": ("", [BARE], "", f"K{BARE}", PLAIN, ["no-policy-found starttls-not-supported"]),
    "lost": ("gone", [STRAY], "", f"K{STRAY}", IN_TLS, ["sts sts-policy-fetch-error"]),
    "spared": (ENFORCE, [STRAY], "other.example", f"K{STRAY}", IN_TLS, ["no-policy-found"]),
    # Where there are TLSA records that DNSSEC vouches for, these decide, and not the policy (RFC 8461 2).
    "told": (ENFORCE, [STRAY], "other.example", f"K{STRAY}", IN_TLS, ["tlsa"]),
    "wrong": (ENFORCE, [GOOD], "*.wrong.example", UNTOLD, NOT, ["tlsa tlsa-invalid"]),
    "routed": (ENFORCE, [STRAY], "other.example", f"K{BARE}", PLAIN, []),
}  # fmt: skip


SIGNED = ("told", "wrong")  # DNSSEC vouches for these


@needs_root
def test_fault_041_mail_goes_as_the_policy_of_its_domain_will_have_it_and_is_counted() -> None:
    done = subprocess.run(["unshare", "-n", sys.executable, __file__], capture_output=True, timeout=110)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    warning = b"qmail-stsd: warning: the policy of lost.example cannot be had: the server answers 404"
    assert set(done.stderr.splitlines()) == {warning}  # by each qmail-stsd that was started


def zone(stray: Path) -> dict[tuple[str, str], list[str]]:
    """The names that are asked for. `stray`: the certificate that TLSA records tell."""
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(stray.read_text().partition("-----BEGIN PRIVATE")[0])).hexdigest()
    found = {(f"_25._tcp.mx.{name}.example", "TLSA"): [f"3 0 1 {digest}"] for name in SIGNED}
    for name, (mode, addresses, *_) in CASES.items():
        hosts = [f"mx{i or ''}.{name}.example" for i in range(len(addresses))]
        found[f"{name}.example", "MX"] = [f"{i} {host}." for i, host in enumerate(hosts)]
        found |= {(host, "A"): [address] for host, address in zip(hosts, addresses, strict=True)}
        if mode:
            found[f"_mta-sts.{name}.example", "TXT"] = ['"v=STSv1; id=1;"']
            found[f"mta-sts.{name}.example", "A"] = ["198.51.100.9"]
    return found


def web(authority: Authority, place: Path) -> PolicyHost:
    """The server of all policies."""
    names = [f"mta-sts.{name}.example" for name in CASES]
    host = PolicyHost(authority.certify(place / "web.pem", *names), address="198.51.100.9", port=443)
    host.reply = answer("", status="404 Not Found")
    for name, (mode, _, pattern, *_) in CASES.items():
        if pattern:
            text = f"version: STSv1\nmode: {mode}\nmx: {pattern}\nmax_age: 86400\n"
            host.replies[f"mta-sts.{name}.example".encode()] = answer(text)
    return host


def home(place: Path, authority: Authority) -> Path:
    """The system."""
    from qmail.stores.installation import create

    path = place / "home"
    create(os.fsencode(path))
    (path / "bin").rmdir()
    (path / "bin").symlink_to(BIN)
    (path / "control/me").write_text("client.example\n")
    (path / "control/tlspolicy").write_text("spared.example:may\n")
    (path / "control/smtproutes").write_text(f"routed.example:[{BARE}]\n")
    (path / "control/tlstrust.pem").write_bytes(authority.trust.read_bytes())
    return path


def counts(path: Path) -> Iterator[tuple[str, str]]:
    """Each kind of session with a domain: the domain, and kind and failure."""
    from qmail.formats import tlscount

    for file in (path / "tlsrpt").iterdir():
        for line, count in tlscount.counts(file.read_bytes()).items():
            session = tlscount.session(line)
            assert count == 1 or session.result, "a connection that is kept is one session"
            assert not session.result or session.exchanger
            yield session.domain.decode().partition(".")[0], b" ".join([session.kind, session.result]).decode().strip()


def main() -> int:
    """Inside the network: every domain has its outcome."""
    for command in ("ip link set lo up", "ip route add local 198.51.100.0/24 dev lo"):
        subprocess.run(command.split(), check=True)
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    wrong = []
    with ExitStack() as stack:
        authority = Authority(place / "authority")
        good = authority.certify(place / "good.pem", *(f"mx{i}.{n}.example" for n in CASES for i in ("", "1", "2")))
        certificate(place / "stray.pem", "mx.stray.example")
        servers = [
            Server(good, address=GOOD, port=25), Server(place / "stray.pem", address=STRAY, port=25),
            Server(good, offers=False, address=BARE, port=25),
        ]  # fmt: skip
        for server in servers:
            stack.callback(server.close)
        vouched = tuple(f"{name}.example" for name in SIGNED)
        names = stack.enter_context(NameServer(zone(place / "stray.pem"), signed=vouched))
        stack.enter_context(web(authority, place))
        system = home(place, authority)
        sender = Sender(system, **names.environ)
        for number, (name, (_, _, _, told, how, _)) in enumerate(CASES.items(), 1):
            for turn in (1, 2):
                sender.order((number, sender.message(number), b"s@a", f"r@{name}.example".encode()))
                report = sender.reports(1)[number].decode()
                went = {way for each in servers for way, line in each.got if f"RCPT TO:<r@{name}.".encode() in line}
                if not report.startswith(told) or went != ({how} - {NOT}):
                    wrong.append(f"{name} ({turn}): {report!r} {went}")
        kept = sorted(path.name for path in (system / "sts").iterdir())
        if kept != sorted(f"{name}.example" for name, case in CASES.items() if case[2] and name not in SPARED):
            wrong.append(f"kept: {kept}")
        sender.end()
        day = system / "tlsrpt"
        wait_until(lambda: any(path.name[:1].isdigit() for path in day.iterdir()))
        found: dict[str, list[str]] = {name: [] for name in CASES}
        for name, kind in counts(system):
            found[name].append(kind)
        for name, (*_, wanted) in CASES.items():
            if sorted(found[name]) != sorted(wanted):
                wrong.append(f"{name}: counted {found[name]}, not {wanted}")
        wrong += waived(system, servers, names.environ)
    print("\n".join(wrong))
    subprocess.run(["rm", "-rf", str(place)], check=True)
    return len(wrong)


# Of a message that says so, neither a policy nor TLSA records are in the way (RFC 8689); a line of ours is.
WAIVED = {
    "untrusted": (f"K{STRAY}", IN_TLS),
    "notls": (f"K{BARE}", PLAIN),
    "wrong": (f"K{GOOD}", IN_TLS),
    "good": (f"K{GOOD}", IN_TLS),
    "trial": (f"ZConnected to {STRAY} but TLS could not", NOT),
}


# Of a message with REQUIRETLS: no server here keeps that, and of one nobody knows whether it takes mail for the domain.
REQUIRED = {
    "good": f"DConnected to {GOOD} but",
    "nothing": "DI found mx.nothing.example but neither DNSSEC nor",
    "lost": "ZI found mx.lost.example but nobody can say now",
}


def waived(system: Path, servers: list[Server], environ: dict[str, str]) -> Iterator[str]:
    """What does not go as it should of mail with `TLS-Required: No`, and of one that says the opposite as well."""
    (system / "control/tlspolicy").write_text("trial.example:verify\n")
    sender = Sender(system, wide=True, **environ)
    text = b"Subject: t\ntls-required:  NO\n\nhello\n"
    for number, (name, (told, how)) in enumerate(WAIVED.items(), 1):
        recipient = f"waived@{name}.example".encode()
        sender.order((number, sender.message(number, text), b"s@a", recipient))
        report = sender.reports(1)[number].decode()
        went = {way for each in servers for way, line in each.got if b"RCPT TO:<%b>" % recipient in line}
        if not report.startswith(told) or went != {how} - {NOT}:
            yield f"{name}, waived: {report!r} {went}"
    for number, (name, told) in enumerate(REQUIRED.items(), 17):
        recipient = f"required@{name}.example".encode()
        sender.order((number, sender.message(number), b"s@a", recipient, b"= = REQUIRETLS = ="))
        report = sender.reports(1)[number].decode()
        status = "5.7.30" if told.startswith("D") else "4.7.5"
        if not report.startswith(told) or f"REQUIRETLS support required. (#{status})" not in report:
            yield f"{name}, required: {report!r}"
    for number, (parameters, message) in enumerate(((b"= = REQUIRETLS = =", text), (b"", b"\nTLS-Required: No\n")), 7):
        sender.order((number, sender.message(number, message), b"s@a", b"kept@untrusted.example", parameters))
        report = sender.reports(1)[number].decode()
        if not report.startswith("D" + UNTRUSTED[1:] if parameters else UNTRUSTED):
            yield f"{parameters!r}: {report!r}"
    sender.end()
    (system / "control/tlspolicy").write_text("notls.example:encrypt\n")
    sender = Sender(system, wide=True, **environ)
    sender.order((1, sender.message(1, text), b"s@a", b"ours@notls.example"))
    if not (report := sender.reports(1)[1].decode()).startswith(f"ZConnected to {BARE} but it does not offer TLS"):
        yield f"waived, and demanded here: {report!r}"
    sender.end()


SPARED = {"spared", "routed"}  # nobody asks for their policies


if __name__ == "__main__":
    sys.path.insert(0, str(TOP / "src"))
    sys.exit(main())
