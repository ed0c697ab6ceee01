"""qmail-dns-records: what it prints is a zone, and a name server that has this zone is found right."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dns.rdatatype
import dns.zonefile
import pytest

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

from conftest import BIN, Run, needs_root
from nameserver import NameServer
from policyhost import PolicyHost, answer
from securing import Authority, certificate

ME, DOMAIN = "mail.here.example", "here.example"
V4, V6 = "203.0.113.5", "2001:db8::5"
POLICY = f"version: STSv1\r\nmode: enforce\r\nmx: {ME}\r\nmx: *.{DOMAIN}\r\nmax_age: 604800\r\n"
POINTER4 = "5.113.0.203.in-addr.arpa"
POINTER6 = "5" + ".0" * 23 + ".8.b.d.0.1.0.0.2.ip6.arpa"
TLSA = f"_25._tcp.{ME}"

Zone = dict[tuple[str, str], list[str]]
PORT: dict[str, str] = {}  # where policies are fetched


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("a") / "authority")


@pytest.fixture(scope="module")
def web(authority: Authority) -> Iterator[PolicyHost]:
    """Who shows the policy."""
    with PolicyHost(authority.certify(authority.trust.parent / "web.pem", f"mta-sts.{DOMAIN}")) as host:
        host.reply = answer(POLICY)
        yield host


@pytest.fixture
def place(home: Path, authority: Authority, web: PolicyHost, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with a certificate, that takes mail for a domain and serves people."""
    monkeypatch.setitem(PORT, "STSPORT", str(web.port))
    return fill(home, authority)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory, authority: Authority, web: PolicyHost) -> tuple[Path, Zone]:
    """Such a host that nobody changes, and the zone that it wants."""
    from qmail.stores.installation import create

    home = tmp_path_factory.mktemp("h") / "home"
    create(os.fsencode(home))
    fill(home, authority)
    words = [BIN / "qmail-dns-records", "--services", home / "service", "--address", V4, "--address", V6]
    done = subprocess.run(words, env={"QMAIL_HOME": str(home)}, capture_output=True, check=True)
    return home, zone_of(done.stdout.decode())


def fill(home: Path, authority: Authority) -> Path:
    """Its files."""
    (home / "control/tlstrust.pem").write_bytes(authority.trust.read_bytes())
    (home / "control/me").write_text(f"{ME}\n")
    (home / "control/locals").write_text(f"{DOMAIN}\nlocalhost\n")
    certificate(home / "control/servercert.pem", ME)
    for name, host, port in (("smtpd", "0", "smtp"), ("a", "0", "465"), ("b", "::", "587"), ("c", "127.0.0.1", "995")):
        (home / "service" / name).mkdir(parents=True)
        (home / "service" / name / "run").write_text(f"#!/bin/sh\nexec tcpserver -v {host} {port} x\n")
    return home


def records(program: Run, home: Path, *words: str, env: dict[str, str] | None = None) -> tuple[int, str, bytes]:
    done = program(
        "qmail-dns-records", "--services", str(home / "service"), "--address", V4, "--address", V6, *words,
        env={"QMAIL_HOME": str(home), **PORT, **(env or {})},
    )  # fmt: skip
    return done.returncode, done.stdout.decode(), done.stderr


def zone_of(text: str) -> Zone:
    """The records of a zone file, and those that stand in a comment for somebody else's."""
    text = "".join(line.removeprefix("; ") if " IN PTR " in line else line for line in text.splitlines(True))
    zone: Zone = {}
    for rrset in dns.zonefile.read_rrsets(text, rdclass=None, origin=".", relativize=False, default_ttl=60):
        key = rrset.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(rrset.rdtype)
        zone[key] = [record.to_text() for record in rrset]
    return zone | {(f"mta-sts.{DOMAIN}", "A"): ["127.0.0.1"]} if zone else zone


def digest(path: Path) -> str:
    """What openssl makes of the public key in a certificate, or alone."""
    command = "openssl x509 -noout -pubkey" if b"BEGIN CERT" in path.read_bytes() else "cat"
    der = subprocess.run(
        f"{command} < {path} | openssl pkey -pubin -outform DER", shell=True, check=True, capture_output=True
    ).stdout
    return hashlib.sha256(der).hexdigest()


def next_key(home: Path) -> Path:
    """A public key for the time to come."""
    path = home / "control/servercert.pem.next"
    certificate(home / "next.pem", ME)
    command = ["openssl", "x509", "-in", home / "next.pem", "-noout", "-pubkey"]
    path.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    return path


def test_what_is_printed_is_a_zone_with_everything_in_it(place: Path, program: Run) -> None:
    later = next_key(place)
    code, text, _ = records(program, place)
    zone = zone_of(text)
    policy = [line.removeprefix(";     ") + "\r\n" for line in text.splitlines() if line.startswith(";     ")]
    assert policy == ["version: STSv1\r\n", "mode: testing\r\n", f"mx: {ME}\r\n", "max_age: 604800\r\n"]
    identity = hashlib.sha256("".join(policy).encode()).hexdigest()[:20]
    assert (code, zone) == (0, {
        (ME, "A"): [V4], (ME, "AAAA"): [V6], (POINTER4, "PTR"): [f"{ME}."], (POINTER6, "PTR"): [f"{ME}."],
        (TLSA, "TLSA"): [f"3 1 1 {digest(place / 'control/servercert.pem')}", f"3 1 1 {digest(later)}"],
        (ME, "TXT"): ['"v=spf1 a -all"'],
        (DOMAIN, "MX"): [f"10 {ME}."], (DOMAIN, "TXT"): ['"v=spf1 mx ~all"'],
        (f"_dmarc.{DOMAIN}", "TXT"): [f'"v=DMARC1; p=none; rua=mailto:postmaster@{DOMAIN}"'],
        (f"_mta-sts.{DOMAIN}", "TXT"): [f'"v=STSv1; id={identity}"'], (f"mta-sts.{DOMAIN}", "A"): ["127.0.0.1"],
        (f"_smtp._tls.{DOMAIN}", "TXT"): [f'"v=TLSRPTv1; rua=mailto:postmaster@{DOMAIN}"'],
        (f"_submissions._tcp.{DOMAIN}", "SRV"): [f"0 1 465 {ME}."],
        (f"_submission._tcp.{DOMAIN}", "SRV"): [f"0 1 587 {ME}."],
    })  # fmt: skip
    assert "127" not in text and "localhost" not in text
    # Of another domain, and behind a smarthost.
    (place / "control/smtproutes").write_text(":relay.example:587\n")
    other = records(program, place, "Other.Example")[1]
    assert (
        "other.example. IN MX 10 mail.here.example.\n" in other
        and "here.example. IN MX 10 mail.here.example.\n; Mail of" not in other.replace("other.example", "x")
    )
    assert "leaves by relay.example:587: write what its owner says" in other


def test_a_name_server_with_that_zone_is_right_by_the_command_of_people(place: Path, program: Run) -> None:
    next_key(place)
    zone = zone_of(records(program, place)[1])
    with NameServer(zone, signed=("example",)) as server:
        env = {"QMAIL_HOME": str(place), **PORT, **server.environ}
        words = ["--services", str(place / "service"), "--address", V4, "--address", V6]
        done = program("qmail", "dns", "--check", *words, DOMAIN, env=env)
        text = done.stdout.decode()
        assert (done.returncode, done.stderr) == (0, b""), text
        assert {line.split()[0] for line in text.splitlines()} == {"ok"} and text.count("\n") == 12
        assert f"ok      {TLSA} TLSA: for the key in use, and the next\n" in text


OTHER, ALSO = "other.example", "also.here.example"
EXTRA: Zone = {
    (OTHER, "A"): ["198.51.100.9"],
    (ALSO, "A"): [V4],
    (ALSO, "AAAA"): [V6],
    ("spf.example", "TXT"): [f'"v=spf1 ip4:203.0.113.0/24 ip6:{V6} -all"'],
    ("loop.example", "TXT"): ['"v=spf1 include:loop.example -all"'],
    ("macro.example", "TXT"): ['"v=spf1 exists:%{i}.x.example -all"'],
}
SPF, DMARC, STS, RPT = f"{DOMAIN} TXT v=spf1", f"_dmarc.{DOMAIN}", f"_mta-sts.{DOMAIN}", f"_smtp._tls.{DOMAIN}"
SUBMISSION, SUBMISSIONS = f"_submission._tcp.{DOMAIN}", f"_submissions._tcp.{DOMAIN}"
NULL_KEY = "00" * 32
# Which records the zone has in place of the right ones; the exit code; what is said, and what to do.
Changed = tuple[str, str, list[str], int, str, str]
CHANGED: list[Changed] = [
    (ME, "AAAA", [], 1, f"missing {ME} A, AAAA: mail leaves from {V6} as well", f"add {ME}. IN AAAA {V6}"),
    (ME, "A", [V4, "198.51.100.1"], 1, f"wrong   {ME} A, AAAA: 198.51.100.1 is no address of this", "remove it"),
    (ME, "A", ["10.0.0.1"], 1, f"wrong   {ME} A, AAAA: 10.0.0.1 cannot be reached", "write the public"),
    (POINTER4, "PTR", [], 1, f"missing {V4} PTR: the address has no name", f"{POINTER4}. IN PTR {ME}."),
    (POINTER6, "PTR", ["isp.example."], 1, f"wrong   {V6} PTR: it is called isp.example", f"{POINTER6}. IN PTR {ME}."),
    (POINTER4, "PTR", [f"{ALSO}."], 0, f"ok      {V4} PTR: {ALSO}, which leads back to it", ""),
    (TLSA, "TLSA", [], 2, f"missing {TLSA} TLSA (advised): nobody can verify", f"add {TLSA}. IN TLSA 3 1 1"),
    (TLSA, "TLSA", [f"3 1 1 {NULL_KEY}"], 1, f"wrong   {TLSA} TLSA: none is for the key in use", f"add {TLSA}."),
    (TLSA, "TLSA", [f"2 1 1 {NULL_KEY}"], 111, f"unsure  {TLSA} TLSA: they name certificates", "openssl x509"),
    (DOMAIN, "MX", [f"10 {OTHER}."], 1, f"wrong   {DOMAIN} MX: it leads to {OTHER}, none of", f"IN MX 10 {ME}."),
    (DOMAIN, "MX", [f"5 {ALSO}."], 0, f"ok      {DOMAIN} MX: {ALSO}", ""),
    (DOMAIN, "MX", [f"5 {OTHER}.", f"9 {ME}."], 0, f"ok      {DOMAIN} MX: ", ""),
    (DOMAIN, "MX", ["0 ."], 1, f"wrong   {DOMAIN} MX: the domain says that it takes no mail", "in its place"),
    (DOMAIN, "MX", [], 1, f"missing {DOMAIN} MX: mail for the domain does not", f"add {DOMAIN}. IN MX 10 {ME}."),
    (DOMAIN, "TXT", ['"hello"'], 1, f"missing {SPF}: nothing says who", f'add {DOMAIN}. IN TXT "v=spf1 mx ~all"'),
    (DOMAIN, "TXT", ['"v=spf1 a:x.example -all"'], 1, f"wrong   {SPF}: fail for mail from {V6}", f"add ip6:{V6} to"),
    (DOMAIN, "TXT", [f'"v=spf1 ip6:{V6} ~all"'], 1, f"wrong   {SPF}: softfail for mail from {V4}", f"add ip4:{V4} to"),
    (DOMAIN, "TXT", ['"v=spf1 include:spf.example"'], 0, f"ok      {SPF}: v=spf1 include:spf.example", ""),
    (DOMAIN, "TXT", ['"v=spf1 include:loop.example"'], 1, f"wrong   {SPF}: it takes more than 10", "correct it"),
    (DOMAIN, "TXT", ['"v=spf1 mx"', '"v=spf1 a"'], 1, f"wrong   {SPF}: {DOMAIN} has 2 records", "correct it"),
    (DOMAIN, "TXT", ['"v=spf1 include:macro.example"'], 111, f"unsure  {SPF}", ""),
    (DMARC, "TXT", [], 2, f"missing {DMARC} TXT (advised): nothing that begins with v=DMARC1", f"add {DMARC}."),
    (STS, "TXT", ['"v=STSv1; id=1"', '"v=STSv1; id=2"'], 1, f"wrong   {STS} TXT: there are 2", "leave one"),
    (STS, "TXT", ['"v=STSv1;"'], 1, f"wrong   {STS} TXT: v=STSv1; has no id", f"write {STS}. IN TXT"),
    (
        f"mta-sts.{DOMAIN}",
        "A",
        [],
        1,
        f"wrong   {STS} TXT: the policy that it announces is not to be had",
        "show it at",
    ),
    (RPT, "TXT", [], 2, f"missing {RPT} TXT (advised)", f"add {RPT}."),
    (
        SUBMISSION,
        "SRV",
        [f"0 1 25 {ME}."],
        1,
        f"wrong   {SUBMISSION} SRV: it leads to 25 {ME}.",
        f"write {SUBMISSION}.",
    ),
    (SUBMISSIONS, "SRV", [], 2, f"missing {SUBMISSIONS} SRV (advised)", f"add {SUBMISSIONS}."),
]


def together(cases: list[Changed]) -> list[list[Changed]]:
    """As many of them at once as do not touch each other's records."""
    groups: list[dict[str, Changed]] = []
    for case in cases:
        # SPF says `mx`, and names of addresses are looked for only where the host has these.
        touched = ME if case[0] in (POINTER4, POINTER6) else case[0].removeprefix("_mta-sts.").removeprefix("mta-sts.")
        group = next((each for each in groups if touched not in each), None)
        if group is None:
            groups.append(group := {})
        group[touched] = case
    return [list(group.values()) for group in groups]


@pytest.mark.parametrize("cases", together(CHANGED), ids=len)
def test_each_record_that_is_missing_or_wrong_is_said_with_what_to_do(
    printed: tuple[Path, Zone], web: PolicyHost, program: Run, cases: list[Changed]
) -> None:
    home, zone = printed[0], printed[1] | EXTRA
    for name, kind, texts, *_ in cases:
        zone[name, kind] = texts
    with NameServer({key: texts for key, texts in zone.items() if texts}, signed=("example",)) as server:
        env = {**server.environ, "STSPORT": str(web.port)}
        code, text, error = records(program, home, "--check", env=env)
    lines = text.splitlines()
    # The worst of them.
    assert (code, error) == (min({each[3] for each in cases} - {0}, key=[1, 111, 2].index, default=0), b""), text
    explained = []
    if any(case[:2] == (DOMAIN, "MX") for case in cases):
        explained = [f"wrong   {SPF}: softfail", f"wrong   {STS} TXT: the policy (enforce) names others"]
    for *_, said, do in cases:
        (at,) = [i for i, line in enumerate(lines) if line.startswith(said)]
        assert not do or do in lines[at + 1], text
        explained.append(said)
    assert [line for line in lines if not line.startswith((" ", "ok", *explained))] == [], text


def test_a_policy_that_does_not_name_the_exchangers_is_wrong(place: Path, program: Run, web: PolicyHost) -> None:
    zone = zone_of(records(program, place)[1])
    zone[DOMAIN, "MX"].append("20 backup.example.")
    with NameServer(zone, signed=("example",)) as server:
        code, text, _ = records(program, place, "--check", env=server.environ)
        lines = text.splitlines()
        at = lines.index(f"wrong   {STS} TXT: the policy (enforce) names others, and not backup.example")
        assert code == 1 and lines[at + 1] == "    add to the text: mx: backup.example; and another id"
        web.reply = answer(POLICY.replace("enforce", "none"))
        try:
            assert f"\nok      {STS} TXT: none\n" in records(program, place, "--check", env=server.environ)[1]
        finally:
            web.reply = answer(POLICY)


def test_dane_without_dnssec_is_said(place: Path, program: Run) -> None:
    zone = zone_of(records(program, place)[1])
    with NameServer(zone) as server:
        code, text, _ = records(program, place, "--check", env=server.environ)
    assert code == 1 and f"wrong   {TLSA} TLSA: no name server vouches for them: without DNSSEC" in text
    with NameServer(zone, signed=(ME,)) as server:
        code, text, _ = records(program, place, "--check", env=server.environ)
    assert code == 2 and f"missing {DOMAIN} MX (advised): not signed (DNSSEC)" in text
    next_key(place)
    with NameServer(zone, signed=("example",)) as server:
        code, text, _ = records(program, place, "--check", env=server.environ)
    assert code == 1 and f"missing {TLSA} TLSA: there is none for the next key" in text


def test_silent_name_servers_and_wrong_words_are_told_apart(place: Path, program: Run) -> None:
    zone = zone_of(records(program, place)[1])
    with NameServer(zone, codes={f"_dmarc.{DOMAIN}": 2}, signed=("example",)) as server:
        code, text, _ = records(program, place, "--check", env=server.environ)
    assert code == 111 and f"unsure  _dmarc.{DOMAIN} TXT: no name server answers" in text
    for words in (["--address", "x"], ["--address"], ["a..b"], ["--what"]):
        assert records(program, place, *words)[0] == 100
    (place / "control/servercert.pem").write_text("nothing\n")
    code, _, said = records(program, place)
    assert code == 111 and b"servercert.pem holds no certificate" in said
    (place / "control/me").unlink()
    code, _, said = records(program, place)
    assert code == 100 and b"control/me is missing" in said
    assert program("qmail-dns-records", env={"QMAIL_HOME": str(place.parent)}).returncode == 111


@needs_root
def test_doctor_looks_at_the_dns_of_a_host_that_takes_mail_from_the_network() -> None:
    done = subprocess.run(["unshare", "-n", sys.executable, __file__], capture_output=True, timeout=110)
    assert (done.returncode, done.stderr) == (0, b""), done.stdout.decode()


def main() -> int:
    """Inside a network of its own, where lo has the host's addresses: what doctor says of two name servers."""
    from qmail.stores.installation import create

    for command in ("ip link set lo up", f"ip addr add {V4}/32 dev lo", f"ip -6 addr add {V6}/128 dev lo"):
        subprocess.run(command.split(), check=True)
    home = Path(tempfile.mkdtemp()) / "home"
    home.parent.chmod(0o755)
    create(os.fsencode(home))
    (home / "control/me").write_text(f"{ME}\n")
    (home / "control/locals").write_text(f"{DOMAIN}\n")
    certificate(home / "control/servercert.pem", ME)
    (home / "service/smtpd").mkdir(parents=True)
    run = home / "service/smtpd/run"
    run.write_text("#!/bin/sh\nexec tcpserver 0 25 qmail-smtpd\n")
    environ = {"QMAIL_HOME": str(home), "PATH": "/usr/bin:/bin"}
    words = ["--services", str(home / "service")]

    def said(program: str, server: NameServer | None = None) -> str:
        more = server.environ if server else {}
        return subprocess.run([BIN / program, *words], env={**environ, **more}, capture_output=True).stdout.decode()

    zone = zone_of(said("qmail-dns-records"))
    assert zone[ME, "A"] == [V4] and zone[ME, "AAAA"] == [V6]
    del zone[f"_dmarc.{DOMAIN}", "TXT"], zone[STS, "TXT"]  # advised
    with NameServer(zone, signed=("example",)) as server:
        assert " in the DNS: " not in said("qmail-doctor", server)
        assert "no name server answers" not in said("qmail-doctor", server)
        server.codes[ME] = 2
        assert said("qmail-doctor", server).count("no name server answers") == 1
        server.codes.clear()
        zone[DOMAIN, "MX"], zone[POINTER4, "PTR"] = [f"10 {OTHER}."], [f"{OTHER}."]
        certificate(home / "control/servercert.pem", ME)
        text = said("qmail-doctor", server)
        assert f"{DOMAIN} MX in the DNS: it leads to {OTHER}, none of them this host\n    add {DOMAIN}. IN MX" in text
        assert f"{V4} PTR in the DNS: it is called {OTHER}, which does not lead back to it\n    ask who" in text
        assert f"{TLSA} TLSA in the DNS: none is for the key in use" in text
        assert f"{DOMAIN} TXT v=spf1 in the DNS: softfail for mail from {V6}" in text, "it says `mx`"
        assert text.count(" in the DNS: ") == 4
        run.write_text("#!/bin/sh\nexec tcpserver 127.0.0.1 25 qmail-smtpd\n")
        assert " in the DNS: " not in said("qmail-doctor", server)
        # A host of a network of its own.
        run.write_text("#!/bin/sh\nexec tcpserver 0 25 qmail-smtpd\n")
        subprocess.run(["ip", "address", "flush", "scope", "global", "dev", "lo"], check=True)
        zone[ME, "A"], zone[ME, "AAAA"] = ["10.0.0.1"], ["fd00::1"]
        assert " in the DNS: " not in said("qmail-doctor", server)
    subprocess.run(["rm", "-rf", str(home.parent)], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
