"""What stands in compiled and configured files: cdb, rules, users, routes, logs' scripts, labels, run files."""

from __future__ import annotations

import ipaddress

from fuzz.laws import Choices, Group, outcome
from qmail.formats import (
    cdb,
    domainname,
    ip,
    logscript,
    options,
    qualify,
    shellwords,
    svstatus,
    tai64n,
    tcpoptions,
    tcpto,
    usersassign,
)
from qmail.formats import tcprules as rules
from qmail.rules import hosttable, logselect, qmtproutes, relayrecipients, smtproutes, sourceaddresses, userlimits
from qmail.rules.relay import Door
from qmail.rules.routing import LOCAL, REMOTE, Routes, variable_sender

GROUP = Group()


@GROUP.target(
    b"b\xc3\xbccher", b"B\xc3\x9c", b"xn--", b"bcher-kva", b".", b"-", b"@", b"\xc3\x9f", b"\xcc\x88", b"\xe2\x80\x8d",
    b"\xe3\x80\x82", b"\xd0\xb0", b"\xc0\xae", b"\xed\xa0\x80", b"\xff", b"_x", b"A", b"9", b"\xd7\x90",
    b"\xf0\x9f\x93\xac",
)  # fmt: skip
def domain_names(data: bytes) -> None:
    """A name in ASCII or none; comparing levels it, and an address keeps what stands before its last @."""
    name = domainname.ascii(data)
    if name is not None:
        assert name.isascii() and domainname.ascii(name) == name
        assert domainname.compared(data) == name.lower() == domainname.compared(name)
        assert (name == data) == data.isascii()
    local, at, _ = data.rpartition(b"@")
    assert domainname.downgraded(data).startswith(local + at)
    assert domainname.compared_address(data).rpartition(b"@")[0] == local.lower()
    if domainname.is_address(data):
        assert domainname.downgraded(data).rpartition(b"@")[2].isascii() or not at


@GROUP.target(b"joe:3:10", b":100:", b":", b"\n", b"joe", b"999999999", b"-1", b"\xb2", b" ", b"::")
def user_limits(data: bytes) -> None:
    """control/userlimits: numbers that are limits, or Wrong; nobody sends more than they say."""
    lines = data.split(b"\n")
    found = outcome(lambda: userlimits.table(lines), userlimits.Wrong)
    if isinstance(found, dict):
        assert len(found) <= len(lines)
        spending = userlimits.Spending(2)
        for user, (messages, recipients) in found.items():
            assert user == user.lower()
            sent = [spending.spend(found, user, 1, 0.0) for _ in range(5)].count(None)
            assert sent == min(limit for limit in (5, messages, recipients) if limit is not None)


@GROUP.target(b"\0\x08\0\0\2\0\0\0", b"\1\0\0\0\1\0\0\0", b"ab", b"\xff\xff\xff\xff", b"\0" * 64, b"\0\0\0\0", b"key")
def cdb_bytes(data: bytes) -> None:
    """Any bytes as a constant database: records, nothing, or Corrupt, and no more records than it has room for."""
    choices = Choices(data)
    key = choices.text()
    # Pointers of 256 tables are much to guess: the first ones are repeated as often as they fit.
    rest = choices.rest()
    file = (rest[:64] * 256)[: cdb.HEADER] + rest[64:]
    outcome(lambda: cdb.find(file, key), cdb.Corrupt)
    outcome(lambda: cdb.find(memoryview(file), b""), cdb.Corrupt)
    found = outcome(lambda: list(cdb.find_all(file, key)), cdb.Corrupt)
    assert not isinstance(found, list) or len(found) <= len(file) // 8
    listed = outcome(lambda: list(cdb.records(file)), cdb.Corrupt)
    assert not isinstance(listed, list) or sum(8 + len(a) + len(b) for a, b in listed) <= len(file)


@GROUP.target(b"\3", b"\1a\1b", b"\0\0", b"\2ab\0", b"\1a", b"\xff")
def cdb_pairs(data: bytes) -> None:
    """What was put in is found, in its order, and nothing else."""
    choices = Choices(data)
    pairs = [(choices.text(), choices.text()) for _ in range(choices.number(40))]
    file = cdb.make(pairs)
    assert list(cdb.records(file)) == pairs
    for key in {key for key, _ in pairs} | {b"", b"missing", choices.rest()}:
        assert list(cdb.find_all(file, key)) == [value for each, value in pairs if each == key]
    if pairs:
        # The last record's data is longer than the file: it is not given in part.
        torn, size = bytearray(file), cdb.HEADER + sum(8 + len(key) + len(value) for key, value in pairs[:-1])
        torn[size + 4 : size + 8] = b"\xff\xff\0\0"
        assert outcome(lambda: list(cdb.find_all(torn, pairs[-1][0])), cdb.Corrupt) is cdb.Corrupt


CLIENTS = ((b"10.0.0.9", b"mx.example.org", None), (b"2001:db8::1", None, b"joe"), (b"192.168.1.255", b"", b""))


@GROUP.target(
    b"10.0.0.9:allow\n", b"10.:deny\n", b"10.0.0.0/12:", b"1.2.3.4-9:", b"[2001:db8::1]:allow\n",
    b"[2001:db8::/32]:deny\n", b"=mx.example.org:", b"=.org:", b"joe@", b":allow\n", b":deny\n", b'allow,A="b"\n',
    b",A=", b"#", b"\n", b"-", b"/", b"0.0.0.0/0:deny\n", b"99999999999-1:allow\n", b"\xff", b" ", b"@", b"[", b"]",
)  # fmt: skip
def tcprules_source(data: bytes) -> None:
    """Lines of rules: compiled, every key leads to a rule that has it; or they are malformed."""
    compiled = outcome(lambda: list(rules.rules(data.split(b"\n"))), rules.Malformed)
    if not isinstance(compiled, list):
        return
    assert all(len(rule.keys) <= 256 for rule in compiled)
    list(rules.overruled(compiled))
    file = cdb.make(rules.records(compiled))
    said: dict[bytes, set[bytes]] = {}
    for rule in compiled:
        for key, _ in rule.keys:
            said.setdefault(key, set()).add(rule.data)
    assert all(cdb.find(file, key) in data for key, data in said.items())
    for client in CLIENTS:
        decision = rules.decide(lambda key: cdb.find(file, key), *client)
        assert decision.key is None or decision.key in said
        assert not (decision.denied and decision.variables)


@GROUP.target(b"\0", b"D\0", b"+A=b\0", b"\x80\x40\x20", b"\xff", b"10.0.0.9", b"10.", b"[2001:db8::/32]", b"")
def tcprules_compiled(data: bytes) -> None:
    """Records of a compiled file that tcprules has not made: a decision, or Corrupt."""
    choices = Choices(data)
    lengths, pairs = choices.text(), [(choices.text(), choices.text()) for _ in range(choices.number(5))]
    file = cdb.make([(rules.LENGTHS, lengths), *pairs])
    for client in (*CLIENTS, (choices.text(), choices.text(), choices.text())):
        decision = outcome(lambda client=client: rules.decide(lambda key: cdb.find(file, key), *client), cdb.Corrupt)
        assert isinstance(decision, rules.Decision) or decision is cdb.Corrupt
        assert isinstance(rules.client(client[0]), bytes)


@GROUP.target(
    b"=joe:joe:1:2:/h:::\n", b"+joe-:joe:1:2:/h:-::\n", b".\n", b":", b"\n", b"\0",
    b"=a:b:99999999999999999999:0:/:-:x:\n", b"+:", b"=JOE", b"-", b"\xff",
)  # fmt: skip
def users_assign(data: bytes) -> None:
    """An assignment file: compiled and asked; or it is bad."""
    found = outcome(lambda: usersassign.records(data), usersassign.Bad)
    if isinstance(found, list):
        file = cdb.make(found)
        for local in (b"joe", b"joe-x", b"JOE", b"", data[:40]):
            outcome(lambda local=local: usersassign.look_up(lambda key: cdb.find(file, key), local), usersassign.Bad)


@GROUP.target(b"\0", b"joe", b"1", b"2", b"/home/joe", b"-", b"99999999999999999", b"\xff")
def users_records(data: bytes) -> None:
    """A record of users/cdb that qmail-newu has not made."""
    found = outcome(lambda: usersassign.account(data), usersassign.Bad)
    if isinstance(found, usersassign.Account):
        again = usersassign.account(usersassign.record(found))
        assert all(getattr(again, each) == getattr(found, each) for each in found.__slots__)
        assert 0 <= found.uid <= cdb.LARGEST and 0 <= found.gid <= cdb.LARGEST


@GROUP.target(
    b"1.2.3.4", b"::1", b":", b"::", b".", b"0", b"255", b"256", b"/", b"ffff", b"%eth0", b"::ffff:1.2.3.4", b"01",
)  # fmt: skip
def ip_addresses(data: bytes) -> None:
    """Addresses and networks, as Python's own library reads them."""
    text = data.decode("latin-1")
    four, six = ip.v4(data), ip.v6(data)
    assert four == _theirs(ipaddress.IPv4Address, text)
    assert six == _theirs(ipaddress.IPv6Address, text)
    if four is not None:
        assert ip.v4_text(four) == data
    if six is not None:
        assert ip.v6(ip.v6_text(six)) == six
        assert ip.v6_text(six).count(b"::") <= 1
    network = ip.network(data)
    assert network is None or (0 <= network[2] <= network[0] and network[1] < 1 << network[0])
    ip.plain(data)
    assert qualify.literal(data) is None or all(ip.v4(each) is not None for each in qualify.literal(data))


def _theirs(kind: type[ipaddress.IPv4Address | ipaddress.IPv6Address], text: str) -> int | None:
    try:
        return None if "%" in text or not text.isascii() else int(kind(text))
    except ValueError:
        return None


@GROUP.target(b"=a:b", b"*.:", b"?:", b"-x:y", b"+", b".", b"a.b", b"[", b"\0")
def name_rules(data: bytes) -> None:
    """Short names made whole."""
    choices = Choices(data)
    found = qualify.candidates(choices.text(), choices.texts(8))
    assert 1 <= len(found) <= qualify.MOST


@GROUP.target(b"a:b", b".a:b:25", b":", b":relay", b"[::1]:25", b"\n", b"host", b".", b":99999999999", b" ", b"\xff")
def smtp_routes(data: bytes) -> None:
    """Lines of smtproutes, and hosts to look up."""
    choices = Choices(data)
    table = hosttable.table(choices.texts(8))
    for host in (b"a", b"x.a", b"", choices.text(), choices.rest()):
        found = smtproutes.route(table, host)
        assert 0 <= found.port <= 999_999
        assert found.relay or found.host == host
        way = qmtproutes.route(table, host)
        assert way is None or (way.qmtp and 0 <= way.port <= 999_999)
        source = sourceaddresses.sources(sourceaddresses.table(choices.texts(2), choices.texts(4)), host)
        assert source is None or bool(source.addresses) != bool(source.wrong)


@GROUP.target(b"a@b", b"@", b"%", b".", b"b.example", b"x.b.example", b"[127.0.0.1]", b"\0", b"-@[]", b"A@B")
def recipients(data: bytes) -> None:
    """Who may be written to, and where that is: nothing but the listed hosts, and no recipient without a host."""
    choices = Choices(data)
    listed, address = choices.texts(4), choices.rest()
    door = Door(listed, listed)
    if door.accepts(address) and b"@" in address:
        host = address.rpartition(b"@")[2].lower()
        assert any(host == line.lower() or (line[:1] == b"." and host.endswith(line.lower())) for line in listed)
    assert not Door(None).accepts(address) or b"@" not in address
    door.blames(address)
    keys = frozenset(relayrecipients.keys(listed))
    known = relayrecipients.knows(keys.__contains__, address)
    assert known is None or address.lower().rpartition(b"@")[2] in keys
    routes = Routes(b"h.example", listed, listed[:1], [line + b":x" for line in listed[2:]])
    channel, whole = routes.route(address)
    assert channel in (LOCAL, REMOTE) and b"@" in whole
    routes.shown(address)
    assert variable_sender(address, whole) == address or address.endswith(b"-@[]")


@GROUP.target(b"\0", b"t", b"s4096", b"n99999999999", b"!p", b"+*", b"-x*", b"e", b"=f", b"./d", b"/d", b"s", b"n", b"")
def multilog_script(data: bytes) -> None:
    """multilog's arguments: actions with sizes and numbers that can be."""
    _, actions = logscript.parse(data.split(b"\0"))
    for action in actions:
        if isinstance(action, logscript.Log):
            assert logscript.LEAST_SIZE <= action.size <= logscript.LARGEST_SIZE
            assert logscript.LEAST_NUMBER <= action.number <= logscript.LARGEST_NUMBER
            assert action.directory[:1] in (b".", b"/")


@GROUP.target(b"\0", b"*", b"a", b"b", b"**", b"*a", b"ab", b" ")
def multilog_patterns(data: bytes) -> None:
    """Patterns, as multilog(8) says them: a star takes everything up to the first byte that comes behind it."""
    choices = Choices(data)
    pattern, line = choices.text(), choices.text()
    at, fits = 0, True
    for place, byte in enumerate(pattern):
        if byte == ord("*"):
            behind = pattern[place + 1 : place + 2]
            while at < len(line) and line[at : at + 1] != behind:
                at += 1
            fits = fits and (at < len(line) or not behind)
        else:
            fits = fits and line[at : at + 1] == pattern[place : place + 1]
            at += 1
    assert logselect.matches(pattern, line) == (fits and at == len(line))


@GROUP.target(
    b"@4000000037c219bf2ef02e94", b"@4000000037c219bf2ef02e94f", b"@", b"40000000", b"f", b"\0", b" x", b"G",
    b"\xff" * 8,
)  # fmt: skip
def tai64n_labels(data: bytes) -> None:
    """Labels: read or none; and what was written is read again."""
    found = tai64n.leading(data)
    if found is not None:
        assert data[25:26] not in tuple(b"%x" % digit for digit in range(16))
        assert tai64n.unpack(bytes.fromhex(data[1:25].decode())) == found
    choices = Choices(data)
    moment = choices.large() % 2**62
    assert tai64n.leading(tai64n.label(moment) + b" x") == divmod(moment, 10**9)
    assert tai64n.unpack(tai64n.pack(moment)) == divmod(moment, 10**9)
    status = svstatus.decode(data)
    if status is not None:
        for text in (svstatus.describe(status, moment, True), svstatus.describe_for_people(status, moment, False)):
            assert text.startswith((b"up ", b"down "))


@GROUP.target(b"\x7f\0\0\1\2\0\0\0", b"\0" * 16, b"\xff" * 16, b"\1\2\3\4", b"\x20\x01\x0d\xb8" + bytes(12))
def timeouts_table(data: bytes) -> None:
    """lock/tcpto, whatever is in it, and however long it is."""
    choices = Choices(data)
    address, now = choices.taken((4, 16)[choices.number(1)]), choices.large()
    table = choices.rest()
    assert len(list(tcpto.records(table))) <= 2 * tcpto.RECORDS
    if len(address) in (4, 16):
        tcpto.is_shunned(table, address, now, 3600)
        for record in (tcpto.connected(table, address), tcpto.timed_out(table, address, now)):
            if record is not None:
                assert len(record.packed()) == {4: 16, 16: 32}[len(address)]
                assert record.offset + len(record.packed()) <= tcpto.SIZE


@GROUP.target(
    b"exec ", b"'", b'"', b"`", b"$(", b")", b"\\\n", b"#", b"\n", b";", b"|", b"tcpserver", b"-v", b" ", b"&",
)  # fmt: skip
def run_files(data: bytes) -> None:
    """The words of a run file."""
    commands = shellwords.commands(data)
    assert all(words for words in commands)
    assert sum(len(word) for words in commands for word in words) <= 2 * len(data)
    shellwords.arguments(data, b"tcpserver")


@GROUP.target(b"\0", b"-", b"--", b"-v", b"-x", b"-xfile", b"a", b"-vx", b":", b"-:")
def program_options(data: bytes) -> None:
    """Options: those that exist, and what follows them."""
    words = data.split(b"\0")
    found = outcome(lambda: options.options(words, b"vx:q"), options.Wrong)
    if isinstance(found, tuple):
        assert all(letter in (b"v", b"x", b"q") for letter, _ in found[0])
        assert words[len(words) - len(found[1]) :] == found[1]
    read = outcome(lambda: tcpoptions.settings(words, {b"UID": data[:9], b"GID": b"x"}), options.Wrong)
    if isinstance(read, tuple):
        assert 0 <= read[0].limit < 10**18 and 0 <= read[0].uid < 10**18 and read[0].verbosity in (0, 1, 2)


TARGETS = GROUP.targets
