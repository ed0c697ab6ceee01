"""Whether the DNS says of this host and of its domains what it should: asked, and judged."""

from __future__ import annotations

from qmail.formats import certificate, mtasts
from qmail.protocols import dnsquery
from qmail.rules import mailrecords, spf
from qmail.rules.mailrecords import Record, shown
from qmail.rules.recordverdict import MISSING, OK, UNSURE, WRONG, Verdict
from qmail.stores.names import Unanswered, Unknown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from qmail.rules.mailrecords import Site
    from qmail.stores.names import Names
    from qmail.stores.policyfetch import Fetched

NOBODY = b"no name server answers"
LATER = b"see /etc/resolv.conf, and whether the network is up"
MOST_SHOWN = 4  # records of one sentence


class Check:
    """Of one host. Questions are asked one after the other: this is for people who wait for it.

    `fetch`: the policy (MTA-STS) that a domain's web server shows.
    """

    def __init__(self, site: Site, names: Names, fetch: Callable[[bytes], Fetched]) -> None:
        self._site, self._dns, self._fetch = site, Dns(names), fetch
        self._sending = list(site.addresses)  # what mail leaves from
        self._signed = False  # has the host TLSA records that count?

    def host(self) -> Iterator[Verdict]:
        """Its addresses, their names, its keys, its SPF."""
        yield from _safely(self._addresses(), self._site.name + b" A, AAAA")
        for address in self._sending:
            yield from _safely(self._pointer(address), shown(address) + b" PTR")
        if self._site.keys:
            yield from _safely(self._keys(), b"_25._tcp." + self._site.name + b" TLSA", needed=False)
        yield from self._spf(self._site.name, needed=False)

    def domain(self, name: bytes) -> Iterator[Verdict]:
        """Of one whose mail the host takes."""
        records = {(record.owner, record.kind): record for record in mailrecords.domain(self._site, name)}
        yield from _safely(self._exchangers(name), name + b" MX")
        if name != self._site.name:
            yield from self._spf(name, needed=True)
        for owner, begin in ((b"_dmarc.", b"v=DMARC1"), (b"_mta-sts.", b"v=STSv1"), (b"_smtp._tls.", b"v=TLSRPTv1")):
            record = records[owner + name, mailrecords.TXT]
            found = list(_safely(self._text(record, begin), _subject(record), needed=False))
            if owner == b"_mta-sts." and found[0].status == OK:
                found = list(_safely(self._policy(name, record, found[0].what), _subject(record), needed=False))
            yield from found
        for record in records.values():
            if record.kind == mailrecords.SRV:
                yield from _safely(self._service(record), _subject(record), needed=False)

    def _addresses(self) -> Iterator[Verdict]:
        site = self._site
        subject = site.name + b" A, AAAA"
        found = list(self._dns.addresses(site.name))
        if not found:
            lines = _lines(record for record in mailrecords.host(site) if record.kind in (mailrecords.A, b"AAAA"))
            yield Verdict(MISSING, subject, b"there is no address", b"add " + (lines or b"the address that leads here"))
            return
        families = {len(each) for each in site.addresses}  # of another, this machine has private addresses at most
        foreign = [each for each in found if len(each) in families and each not in site.addresses]
        dark = [each for each in found if not mailrecords.is_public(each)]
        missing = [each for each in site.addresses if not any(len(other) == len(each) for other in found)]
        self._sending = [each for each in found if each not in foreign and each not in dark] or self._sending
        if dark:
            yield Verdict(WRONG, subject, _some(dark) + b" cannot be reached by others", b"write the public address")
        elif foreign:
            do = b"remove it, or give it to this machine; --address says which lead here"
            yield Verdict(WRONG, subject, _some(foreign) + b" is no address of this machine", do)
        if missing:
            record = Record(site.name, b"A" if len(missing[0]) == 4 else b"AAAA", shown(missing[0]), b"")
            what = b"mail leaves from " + shown(missing[0]) + b" as well, which has no record"
            yield Verdict(MISSING, subject, what, b"add " + record.line)
        if not dark and not foreign and not missing:
            yield Verdict(OK, subject, _some(found))

    def _pointer(self, address: bytes) -> Iterator[Verdict]:
        subject = shown(address) + b" PTR"
        record = Record(mailrecords.reverse(address), mailrecords.PTR, self._site.name + b".", b"")
        do = b"ask who gave you the address for: " + record.line
        found = self._dns.names(address)
        if not found:
            yield Verdict(MISSING, subject, b"the address has no name, and others doubt its mail", do)
        elif self._site.name.lower() in found:
            yield Verdict(OK, subject, self._site.name)
        elif any(address in self._dns.addresses(name) for name in found[:MOST_SHOWN]):
            yield Verdict(OK, subject, b", ".join(found[:MOST_SHOWN]) + b", which leads back to it")
        else:
            what = b"it is called " + b", ".join(found[:MOST_SHOWN]) + b", which does not lead back to it"
            yield Verdict(WRONG, subject, what, do)

    def _keys(self) -> Iterator[Verdict]:
        owner = b"_25._tcp." + self._site.name
        answer = self._dns.answer(dnsquery.TLSA, owner)
        subject = owner + b" TLSA"
        wanted = [Record(owner, mailrecords.TLSA, mailrecords.tlsa(key), b"") for key in self._site.keys]
        there = [b"%d %d %d " % tuple(each[:3]) + each[3:].hex().encode() for each in answer.records if len(each) > 3]
        absent = [record for record in wanted if record.data not in there]
        if not there:
            what = b"nobody can verify the key by DANE"
            yield Verdict(MISSING, subject, what, b"where the zone is signed, add " + _lines(wanted), needed=False)
        elif wanted[0] in absent and any(each.startswith((b"2 ", b"3 0 ")) for each in there):
            yield Verdict(UNSURE, subject, b"they name certificates, not the key", b"compare them with openssl x509")
        elif wanted[0] in absent:
            what = b"none is for the key in use: who verifies by DANE sends no mail"
            yield Verdict(WRONG, subject, what, b"add " + wanted[0].line)
        elif not answer.authentic:
            what = b"no name server vouches for them: without DNSSEC they count for nothing"
            yield Verdict(WRONG, subject, what, b"sign the zone; if it is signed, ask a name server that validates")
        elif absent:
            what = b"there is none for the next key"
            yield Verdict(MISSING, subject, what, b"before it is used, add " + _lines(absent))
        else:
            self._signed = True
            yield Verdict(OK, subject, b"for the key in use" + (b", and the next" if len(wanted) > 1 else b""))

    def _exchangers(self, name: bytes) -> Iterator[Verdict]:
        site, subject = self._site, name + b" MX"
        answer = self._dns.answer(dnsquery.EXCHANGERS, name)
        found = [record[2:] for record in answer.records]
        do = b"add " + Record(name, mailrecords.MX, b"10 " + site.name + b".", b"").line
        here = site.name.lower() in found or any(set(self._dns.addresses(each)) & set(self._sending) for each in found)
        if here:
            others = [each for each in found if each != site.name.lower()]
            yield Verdict(OK, subject, site.name if not others else b", ".join(found[:MOST_SHOWN]))
        elif found == [b""]:
            yield Verdict(WRONG, subject, b"the domain says that it takes no mail (RFC 7505)", do + b" in its place")
        elif found:
            what = b"it leads to " + b", ".join(found[:MOST_SHOWN]) + b", none of them this host"
            yield Verdict(WRONG, subject, what, do)
        elif set(self._dns.addresses(name)) & set(self._sending):
            yield Verdict(OK, subject, b"none, and the domain's own address is this host")
        else:
            yield Verdict(MISSING, subject, b"mail for the domain does not come here", do)
        if here and self._signed and not answer.authentic:
            what = b"not signed (DNSSEC), so that the TLSA records of " + site.name + b" do not count for it"
            yield Verdict(MISSING, subject, what, b"sign the zone", needed=False)

    def _spf(self, name: bytes, *, needed: bool) -> Iterator[Verdict]:
        subject = name + b" TXT v=spf1"
        wanted = [*mailrecords.host(self._site), *mailrecords.domain(self._site, name)]
        line = next(each.line for each in wanted if each.owner == name and each.data.startswith(b'"v=spf1'))
        try:
            texts = spf.records(self._dns.texts(name))
            if not texts:
                what = b"nothing says who sends in its name"
                yield Verdict(MISSING, subject, what, b"add " + line, needed=needed)
                return
            for address in [] if self._site.smarthost else self._sending:
                result, why = spf.outcome(self._dns, name, address)
                if result == spf.BROKEN:
                    yield Verdict(WRONG, subject, why, b"correct it: " + line)
                    return
                if result != spf.PASS:
                    do = b"add ip%d:%b to it" % (4 if len(address) == 4 else 6, shown(address))
                    yield Verdict(WRONG, subject, result + b" for mail from " + shown(address), do)
                    return
        except spf.Unsure:
            yield Verdict(UNSURE, subject, NOBODY + b", or it has macros", LATER, needed=needed)
            return
        yield Verdict(OK, subject, texts[0], needed=needed)

    def _text(self, record: Record, begin: bytes) -> Iterator[Verdict]:
        found = [text for text in self._dns.texts(record.owner) if text.startswith(begin)]
        subject = _subject(record)
        if not found:
            yield Verdict(MISSING, subject, b"nothing that begins with " + begin, b"add " + record.line, needed=False)
        elif len(found) > 1:
            yield Verdict(WRONG, subject, b"there are %d, and so none counts" % len(found), b"leave one of them")
        else:
            yield Verdict(OK, subject, found[0])

    def _policy(self, name: bytes, record: Record, announcement: bytes) -> Iterator[Verdict]:
        subject, me = _subject(record), self._site.name
        if mtasts.announced([announcement]) is None:
            yield Verdict(WRONG, subject, announcement + b" has no id", b"write " + record.line)
            return
        fetched = self._fetch(name)
        if fetched.failure:
            what = b"the policy that it announces is not to be had: " + fetched.failure + b", " + fetched.why
            yield Verdict(WRONG, subject, what, b"show it at https://mta-sts." + name + b", or remove the record")
            return
        policy = mtasts.policy(fetched.text)
        exchangers = [each for each in self._dns.exchangers(name) if each] or [me]
        others = [each for each in exchangers if not certificate.covers(policy.patterns, each)]
        if others and policy.mode != mtasts.NONE:
            what = b"the policy (" + policy.mode + b") names others, and not " + b", ".join(others[:MOST_SHOWN])
            do = b"add to the text: " + b", ".join(b"mx: " + each for each in others[:MOST_SHOWN]) + b"; and another id"
            yield Verdict(WRONG, subject, what, do)
        else:
            yield Verdict(OK, subject, policy.mode)

    def _service(self, record: Record) -> Iterator[Verdict]:
        subject = _subject(record)
        found = self._dns.answer(dnsquery.SERVICES, record.owner).records
        data = [b"%d %b." % (int.from_bytes(each[4:6], "big"), each[6:]) for each in found]
        wanted = b" ".join(record.data.split()[2:]).lower()
        if wanted in data:
            yield Verdict(OK, subject, wanted)
        elif data:
            yield Verdict(WRONG, subject, b"it leads to " + b", ".join(data), b"write " + record.line)
        else:
            yield Verdict(MISSING, subject, b"mail programs must be told", b"add " + record.line, needed=False)


class Dns:
    """The DNS as rules.spf sees it."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def answer(self, kind: bytes, name: bytes) -> dnsquery.Answer:
        """One answer. Raises spf.Unsure where nobody could say."""
        found = self._names.ask([(kind, name)])[0]
        if found.trouble:
            raise spf.Unsure
        return found

    def texts(self, name: bytes) -> Sequence[bytes]:
        """TXT records."""
        return self.answer(dnsquery.TEXTS, name).records

    def addresses(self, name: bytes) -> Sequence[bytes]:
        """Packed addresses of both families."""
        try:
            return self._names.addresses(name) if name else []
        except Unknown:
            return []
        except Unanswered:
            raise spf.Unsure from None

    def exchangers(self, name: bytes) -> Sequence[bytes]:
        """Names of mail exchangers."""
        return [record[2:] for record in self.answer(dnsquery.EXCHANGERS, name).records]

    def names(self, address: bytes) -> Sequence[bytes]:
        """Names of a packed address."""
        return self.answer(dnsquery.POINTERS, address).records


def _safely(verdicts: Iterator[Verdict], subject: bytes, *, needed: bool = True) -> Iterator[Verdict]:
    try:
        yield from verdicts
    except spf.Unsure:
        yield Verdict(UNSURE, subject, NOBODY, LATER, needed=needed)


def _subject(record: Record) -> bytes:
    return record.owner + b" " + record.kind


def _lines(records: Iterator[Record] | Sequence[Record]) -> bytes:
    return b", and ".join(record.line for record in records)


def _some(addresses: Sequence[bytes]) -> bytes:
    return b", ".join(map(shown, addresses[:MOST_SHOWN]))
