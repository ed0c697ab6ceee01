"""qmail-remote and DANE: a zone that Knot signs, an Unbound that validates, servers with certificates of all kinds.

All of it is in a network of its own, where port 25 is ours; mail goes by qmail-rspawn's warm processes.
"""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

from conftest import BIN, TOP, needs_root
from securing import Authority, certificate
from sender import Sender
from signedzones import SignedZones
from starttls import Server

WRONG = "3 1 1 " + "00" * 32
IN_TLS, PLAIN, NOT = "TLSv1.3", "plain", ""  # how the message went
TAKEN = "K198.51.100."
NO_TLS = "ZConnected to 198.51.100.7 but it does not offer TLS, which mail to it must have. (#4.7.5)\nRemote host said:"
NOT_AGREED = "ZConnected to 198.51.100.%d but TLS could not be agreed on"
INVALID = NOT_AGREED % 1 + ": its certificate is not the one that its TLSA records tell. (#4.7.5)\n"
UNASKED = "ZI found %s.example but its TLSA records could not be looked up, and mail must not go to it without them."
WITHOUT = "ZI found mx.empty.example but it has no TLSA records that DNSSEC vouches for, which mail to it must have."

# Domains of example.: what is reported, and how the message went.
CASES = {
    # Usage 3: neither names nor dates of the certificate matter.
    "ee": (TAKEN, IN_TLS),
    "wrong": (INVALID, NOT),
    "notls": (NO_TLS, NOT),
    "breaks": (NOT_AGREED % 8 + ". (#4.7.5)\n", NOT),
    # Usage 2: who has signed it; then they matter.
    "ta": (TAKEN, IN_TLS),
    "tadomain": (TAKEN, IN_TLS),
    "tarenamed": (TAKEN, IN_TLS),
    "tacross": (TAKEN, IN_TLS),
    "taother": (NOT_AGREED % 4 + ": its certificate is for another host. (#4.7.5)\n", NOT),
    "taold": (NOT_AGREED % 5 + ": its certificate has expired. (#4.7.5)\n", NOT),
    "tastray": (NOT_AGREED % 6 + ": nobody whom this system trusts has signed its certificate. (#4.7.5)\n", NOT),
    # An exchanger that fails is passed by.
    "second": (TAKEN + "1 ", IN_TLS),
    # Names that are aliases.
    "alias": (TAKEN, IN_TLS),
    "halfalias": ("ZConnected to 198.51.100.7 but it does not offer TLS", NOT),
    # A domain without exchangers is its own.
    "bare": (INVALID, NOT),
    # Where DNSSEC does not vouch for the exchanger or its addresses, records count for nothing.
    "plain": (TAKEN, IN_TLS),
    "far": (TAKEN, PLAIN),
    "farther": (TAKEN, PLAIN),
    # Routes, with ports of their own.
    "routed": (INVALID, NOT),
    "ported": (TAKEN, IN_TLS),
    # What control/tlspolicy says.
    "spared": (TAKEN, IN_TLS),
    "proven": (TAKEN, IN_TLS),
    "must": (TAKEN, IN_TLS),
    "musthave": (WITHOUT, NOT),
    # Records that cannot be used.
    "servfail": (UNASKED % "mx.servfail", NOT),
    "bogus": (UNASKED % "mx.bogus", NOT),
    "empty": (TAKEN, PLAIN),
    "pkix": (TAKEN, IN_TLS),
    "pkixplain": (NO_TLS, NOT),
}


# Where the name server is elsewhere, what it vouches for is believed only as the administrator says.
UNBELIEVED = {"wrong": (TAKEN, IN_TLS), "empty": (TAKEN, PLAIN)}
BELIEVED = {"wrong": (INVALID, NOT), "empty": (TAKEN, PLAIN)}
# What Postfix thinks of servers whose records tell certificates; it verifies them by OpenSSL's own DANE.
VERIFIED = {"ee": True, "alias": True, "wrong": False}
VERIFIED |= {
    "ta": True,
    "tadomain": True,
    "tarenamed": True,
    "tacross": True,
    "taother": False,
    "taold": False,
    "tastray": False,
}
# What qmail-tlspolicy says of exchangers.
NEEDS = {
    "ee": "mx.ee.example: by TLS, with a certificate that its TLSA records tell (TLSA: 3 1 1)",
    "ta": "mx.ta.example: by TLS, with a certificate that its TLSA records tell (TLSA: 2 0 1)",
    "pkix": "mx.pkix.example: by TLS, whoever the server is (TLSA records)",
    "bogus": "mx.bogus.example: nothing goes there: its TLSA records could not be looked up, and mail must not go to "
    "it without them",
    "musthave": "mx.empty.example: nothing goes there: it has no TLSA records that DNSSEC vouches for, which mail to "
    "it must have",
    "spared": "mx.wrong.example: the same (nobody else is asked)",
    "empty": "mx.empty.example: the same (no TLSA records)",
    "far": "mx.plain.example: the same (DNSSEC does not vouch for its addresses)",
    "plain": "mx.wrong.example: the same (DNSSEC does not vouch for the exchangers of the domain)",
}
ASKED = {
    "mx.ee.example",
    "mx.wrong.example",
    "mx.pkix.example",
    "mx.ported.example",
    "bare.example",
}  # names of servers, told to them


@needs_root
def test_fault_045_mail_goes_as_tlsa_records_will_have_it_and_those_of_no_use_weaken_nothing() -> None:
    done = subprocess.run(["unshare", "-n", "-m", sys.executable, __file__], capture_output=True, timeout=110)
    assert (done.returncode, done.stderr) == (0, b""), done.stdout.decode()


def key_digest(file: Path) -> str:
    """A record that tells the public key of a certificate, as openssl finds it."""
    shown = subprocess.run(["openssl", "x509", "-in", file, "-noout", "-pubkey"], check=True, capture_output=True)
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "der"], input=shown.stdout, check=True, capture_output=True
    )
    return "3 1 1 " + hashlib.sha256(der.stdout).hexdigest()


def host(name: str, number: int, *records: str, port: int = 25) -> list[str]:
    """A domain of its own with one exchanger."""
    lines = [f"{name} MX 10 mx.{name}", f"mx.{name} A 198.51.100.{number}"]
    return lines + [f"_{port}._tcp.mx.{name} TLSA {record}" for record in records]


def signer_digest(shown: bytes) -> str:
    """A record that tells this certificate (PEM) as the one that has signed others."""
    return "2 0 1 " + hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown.decode())).hexdigest()


def zones(own: str, signer: str, cross: str) -> dict[str, list[str] | None]:
    """The names that are asked for. `own`, `signer`, `cross`: records of usage 3 and 2."""
    lame = "00" * 32
    signed = [
        "ns A 127.0.0.1", *host("ee", 1, own), *host("wrong", 1, WRONG), *host("notls", 7, own),
        *host("breaks", 8, own), *host("ta", 2, signer), *host("tadomain", 3, signer), *host("taother", 4, signer),
        *host("tacross", 9, cross),
        *host("taold", 5, signer), *host("tastray", 6, signer),
        "second MX 10 mx.notls", "second MX 20 mx.wrong", "second MX 30 mx.ee",
        "alias MX 10 www.alias", "www.alias CNAME mx.ee", f"_25._tcp.www.alias TLSA {WRONG}",
        "halfalias MX 10 www.halfalias", "www.halfalias CNAME mx.plain", f"_25._tcp.www.halfalias TLSA {own}",
        "tarenamed CNAME tadomain",
        "bare A 198.51.100.1", f"_25._tcp.bare TLSA {WRONG}", "plain NS ns", "far MX 10 mx.plain",
        "farther MX 10 lame.plain",
        "mx.ported A 198.51.100.1", f"_25._tcp.mx.ported TLSA {WRONG}", f"_2525._tcp.mx.ported TLSA {own}",
        "spared MX 10 mx.wrong", "proven MX 10 mx.ee", "must MX 10 mx.ee", "musthave MX 10 mx.empty",
        *host("servfail", 1), "_tcp.mx.servfail NS ns",
        *host("bogus", 1), "_tcp.mx.bogus NS ns", f"_tcp.mx.bogus DS 12345 13 2 {lame}",
        *host("empty", 7), *host("pkix", 1, f"0 0 1 {lame}", f"1 1 1 {lame}"), *host("pkixplain", 7, f"1 1 1 {lame}"),
    ]  # fmt: skip
    return {
        "example.": signed,
        "plain.example.": [
            "@ MX 10 mx.wrong.example.",
            "mx A 198.51.100.7",
            f"_25._tcp.mx TLSA {WRONG}",
            "lame A 198.51.100.7",
            "_tcp.lame NS ns.example.",
        ],
        "_tcp.lame.plain.example.": None,
        "_tcp.mx.servfail.example.": None,
        "_tcp.mx.bogus.example.": [f"_25 TLSA {own}"],
    }


def servers(place: Path, stack: ExitStack) -> tuple[list[Server], str, str, str]:
    """Servers at 198.51.100.1 and up, and the records for the first one and for those who have signed the others."""
    authority = Authority(place / "authority")
    elsewhere = authority.certify(place / "one.pem", "other.test", years=("2020", "2021"))
    certificate(place / "stray.pem", "mx.tastray.example")
    files = [
        elsewhere, authority.certify(place / "two.pem", "mx.ta.example"),
        authority.certify(place / "three.pem", "tadomain.example"), authority.certify(place / "four.pem", "other.test"),
        authority.certify(place / "five.pem", "mx.taold.example", years=("2020", "2021")), place / "stray.pem",
    ]  # fmt: skip
    for file in files[1:]:
        file.write_bytes(file.read_bytes() + authority.trust.read_bytes())
    made = [Server(file, address=f"198.51.100.{i}", port=25) for i, file in enumerate(files, 1)]
    cross = authority.cross_signed()
    crossed = authority.certify(place / "nine.pem", "mx.tacross.example")
    crossed.write_bytes(crossed.read_bytes() + cross)
    made += [
        Server(elsewhere, offers=False, address="198.51.100.7", port=25),
        Server(elsewhere, breaks=True, address="198.51.100.8", port=25),
        Server(crossed, address="198.51.100.9", port=25),
        Server(elsewhere, address="198.51.100.1", port=2525),
    ]
    for server in made:
        stack.callback(server.close)
    return made, key_digest(elsewhere), signer_digest(authority.trust.read_bytes()), signer_digest(cross)


def home(place: Path) -> Path:
    """A home whose control files are those of the cases."""
    from qmail.stores.installation import create

    create(os.fsencode(place))
    (place / "bin").rmdir()
    (place / "bin").symlink_to(BIN)
    (place / "control/me").write_text("client.example\n")
    (place / "control/timeoutremote").write_text("10\n")
    (place / "control/smtproutes").write_text(
        "routed.example:mx.wrong.example\nported.example:mx.ported.example:2525\n"
    )
    (place / "control/tlspolicy").write_text(
        "spared.example:may\nproven.example:verify\nmust.example:dane\nmusthave.example:dane\n"
    )
    return place


def wrong(place: Path, cases: Mapping[str, tuple[str, str]], made: Sequence[Server], **environ: str) -> Iterator[str]:
    """Mail to each of these domains: what does not come as it should."""
    before = [len(server.got) for server in made]
    sender = Sender(home(place), **environ)
    for number, domain in enumerate(cases):
        sender.order((number, sender.message(number + 1), b"s@client.example", b"r@%b.example" % domain.encode()))
    reports = sender.reports(len(cases))
    assert sender.end() == 0
    said = [each for server, at in zip(made, before, strict=True) for each in server.got[at:]]
    ways = {line.decode().partition("@")[2].partition(".")[0]: way for way, line in said if line.startswith(b"RCPT")}
    for number, (domain, (begin, way)) in enumerate(cases.items()):
        report = reports[number].decode()
        if not report.startswith(begin) or ways.get(domain, NOT) != way:
            yield f"{place.name}, {domain}: {report!r} by {ways.get(domain)}, not {begin!r} by {way!r}"


def main() -> int:
    """Inside the network: the number of cases that are wrong."""
    for command in ("ip link set lo up", "ip route add local 198.51.100.0/24 dev lo"):
        subprocess.run(command.split(), check=True)
    found: list[str] = []
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place.chmod(0o755)
        made, *records = servers(place, stack)
        stack.enter_context(
            SignedZones(place / "zones", zones(*records), ["127.0.0.1@5353", "198.51.100.53@53", "127.0.0.11@53"])
        )
        found += wrong(place / "loopback", CASES, made, DNSCACHEIP="127.0.0.1@5353")
        asked = {str(name) for server in (made[0], made[-1]) for name in server.asked}
        found += [] if asked == ASKED else [f"asked for {asked}"]
        for name, address in (("elsewhere", "198.51.100.53"), ("container", "127.0.0.11")):
            found += wrong(place / name, UNBELIEVED, made, DNSCACHEIP=address)
        (place / "resolv.conf").write_text("nameserver 198.51.100.53\noptions timeout:1\n")
        subprocess.run(["mount", "--bind", place / "resolv.conf", "/etc/resolv.conf"], check=True)
        found += wrong(place / "listed", UNBELIEVED, made)
        with (place / "resolv.conf").open("a") as file:
            file.write("options edns0 trust-ad\n")
        found += wrong(place / "trusted", BELIEVED, made)
        said = subprocess.run(
            [BIN / "qmail-tlspolicy", *(f"{domain}.example" for domain in NEEDS)], capture_output=True, text=True,
            env={"QMAIL_HOME": str(place / "trusted"), "PATH": "/usr/bin:/bin"}, timeout=60,
        )  # fmt: skip
        lines = [line.strip() for line in said.stdout.splitlines() if line.startswith(" ")]
        if (said.returncode, lines) != (1, list(NEEDS.values())):
            found.append(str(said))
        for domain, verified in VERIFIED.items():
            told = subprocess.run(
                ["/usr/sbin/posttls-finger", "-c", "-l", "dane", "-L", "summary", f"{domain}.example"],
                capture_output=True, timeout=30,
            )  # fmt: skip
            assert b"TLS connection established" in told.stdout + told.stderr, told
            if (b"Verified TLS connection" in told.stdout + told.stderr) != verified:
                found.append(f"posttls-finger, {domain}: {told}")
    print("\n".join(found))
    return len(found)


if __name__ == "__main__":
    sys.path.insert(0, str(TOP / "src"))
    sys.exit(main())
