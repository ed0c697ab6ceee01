"""What becomes of a header on its way into the queue."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmail.formats.header_fields import Header, name
from qmail.formats.header_tokens import tokens, written
from qmail.rules.injection import Injection, argument, author, envelope_sender, mailbox
from qmail.rules.rewriting import Hosts, Unparsable, rewrite

HOSTS = Hosts(b"dh.example", b"dd.example", b"pp.example")
ME = mailbox(b"joe", None)

FIELD_NAMES = [
    b"To", b"Cc", b"Bcc", b"From", b"Sender", b"Reply-To", b"Return-Path", b"Resent-To", b"Resent-From", b"Subject",
    b"Date", b"X-Y", b"Apparently-To", b"Resent-Bcc", b"Message-ID", b"Content-Length", b"Mail-Followup-To", b"TO ",
]  # fmt: skip
PIECES = [
    b"a", b"bob", b'"q r"', b"(c(d)e)", b"[1.2.3.4]", b"[]", b"@", b"@", b".", b",", b":", b";", b"<", b">", b" ",
    b"\n ", b"+", b"\\\\", b"\\ ", b"\\,", b"\\.", b"\\(", b"\\\n ", b"(", b")", b'"', b"]", b"[", b"\xff", b"e+",
    b"<@r,@s:a@b>", b"N M <n@m>", b"g: a, b;", b"a@b", b"x@y.z",
]  # fmt: skip
VALUES = st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)
FIELDS = st.tuples(st.sampled_from(FIELD_NAMES), VALUES).map(lambda pair: pair[0] + b":" + pair[1] + b"\n")


def inject(*fields: bytes, lists: frozenset[bytes] = frozenset()) -> tuple[bytes, Injection]:
    message = Injection(HOSTS)
    for field in fields:
        message.take(field)
    return message.header(b"DATE", b"<ID>", ME, lists), message


@pytest.mark.parametrize(
    ("given_list", "becomes"),
    [
        (b"ann", b"ann@dh.example"),
        (b"ann@host", b"ann@host.dd.example"),
        (b"ann@host+", b"ann@host.pp.example"),
        (b"ann@a.host+", b"ann@a.host.pp.example"),
        (b"ann@host.", b"ann@host.dd.example"),
        (b"ann@", b"ann@dh.example"),
        (b"ann@.", b"ann@dh.example"),
        (b"<@a,@b:c@d>", b"<c@d.dd.example>"),
        (b"<@a>", b"<>"),
        (b"<>", b"<>"),
        (b"@", b""),
        (b"a@[]", b"a@[]"),
        (b"a@[1.2.3.4]", b"a@[1.2.3.4]"),
        (b"djb fred", b"djb@dh.example, fred@dh.example"),
        (b"a b@c", b"a@dh.example, b@c.dd.example"),
        (b"A B <a>", b"A B <a@dh.example>"),
        (b"[A] <a>", b"[A] <a@dh.example>"),
        (b"(x@y) ann", b"ann@dh.example (x@y)"),
        (b"g: a, b; c", b"g: a@dh.example, b@dh.example;, c@dh.example"),
        (b"undisclosed: ;", b"undisclosed: ;"),
        (b"a@b@c", b"a@b@c.dd.example"),
        (b"a,,b,", b"a@dh.example, , b@dh.example,"),
    ],
)
def test_addresses_are_completed(given_list: bytes, becomes: bytes) -> None:
    assert written(rewrite(tokens(given_list), HOSTS.completed)) == becomes


def test_missing_fields_stand_in_front() -> None:
    head, message = inject(b"Subject: x\n")
    assert head == (
        b"Date: DATE\nMessage-ID: <ID>\nFrom: joe@dh.example\nCc: recipient list not shown: ;\nSubject: x\n"
    )
    assert message.recipients == []


def test_recipients_come_from_the_last_to_the_first_of_each_field() -> None:
    _, message = inject(b"To: a, b\n", b"Bcc: c, d\n", b"cc: e\n")
    assert message.recipients == [b"b@dh.example", b"a@dh.example", b"d@dh.example", b"c@dh.example", b"e@dh.example"]


def test_bcc_return_path_and_content_length_are_taken_out() -> None:
    head, message = inject(b"To: a\n", b"Bcc: b\n", b"Return-Path: <r@s>\n", b"CONTENT-Length: 3\n", b"Resent-Bcc: c\n")
    assert b"To: a@dh.example\n" in head
    assert not any(word in head for word in (b"Bcc", b"Return-Path", b"CONTENT"))
    assert message.sender == b"r@s.dd.example"


def test_a_resent_message_goes_to_its_resent_recipients() -> None:
    head, message = inject(b"Resent-To: x\n", b"To: a\n")
    assert message.recipients == [b"x@dh.example"]
    assert head == (
        b"Resent-Date: DATE\nResent-Message-ID: <ID>\nResent-From: joe@dh.example\n"
        b"Resent-To: x@dh.example\nTo: a@dh.example\n"
    )


@pytest.mark.parametrize("field", [b"To: (x\n", b"Bcc: a)\n", b"Resent-To: a:b\n", b"Apparently-To: a\n >\n"])
def test_recipients_that_cannot_be_read_pass_unchanged(field: bytes) -> None:
    head, _ = inject(field)
    assert head.endswith(b"\n" + field) or name(field) == b"Bcc"


@pytest.mark.parametrize(
    "field", [b"From: (x\n", b"Sender: a>\n", b"Reply-To: a\n :b\n", b'Return-Path: "\n', b"Resent-From: ]\n"]
)
def test_senders_that_cannot_be_read_are_refused(field: bytes) -> None:
    with pytest.raises(Unparsable) as caught:
        inject(field)
    assert caught.value.text == field


def test_a_message_to_a_list_says_where_answers_go() -> None:
    lists = frozenset([b"list@l.example"])
    head, _ = inject(b'To: List@L.example, "x y"\n', b"Cc: <>, c\n", lists=lists)
    assert b'Mail-Followup-To: c@dh.example,\n  List@L.example,\n  "x y"@dh.example\n' in head
    for fields in ([b"Bcc: list@l.example\n"], [b"To: list@l.example\n", b"Mail-Followup-To:\n"]):
        assert inject(*fields, lists=lists)[0].count(b"Mail-Followup-To") == len(fields) - 1


def test_the_author_is_named_in_two_ways() -> None:
    words = author(ME, b'J "x" (y)', as_comment=False)
    assert written(rewrite(words, HOSTS.completed)) == b'"J \\"x\\" \\(y\\)" <joe@dh.example>'
    words = author(ME, b"J (x)", as_comment=True)
    assert written(rewrite(words, HOSTS.completed)) == b"joe@dh.example (J \\(x\\))"


def test_arguments_have_bare_boxes() -> None:
    assert argument(HOSTS, b"a b@c") == b"a b@c.dd.example"
    assert argument(HOSTS, b'"a"@b+') == b'"a"@b.pp.example'
    assert argument(HOSTS, b"#@[]") == b"#@[]"
    assert argument(HOSTS, b"") == b""
    with pytest.raises(Unparsable):
        argument(HOSTS, b'a@"b')


def test_the_users_host_may_be_an_address() -> None:
    assert envelope_sender(HOSTS, mailbox(b"a b", b"[127.0.0.1]")) == b"a b@[127.0.0.1]"


@pytest.mark.parametrize("host", [b"(p).x", b'"x".y', b"a\\b.c", b"[1.2.3.4", b"(a.b", b'".c', b"x.[y]"])
def test_nothing_in_the_users_host_is_a_comment_or_a_quotation(host: bytes) -> None:
    assert envelope_sender(HOSTS, mailbox(b"joe", host)) == b"joe@" + host


def test_a_literal_behind_an_at_sign_ends_an_address() -> None:
    _, injection = inject(b"To: a@[1.2.3.4] <b@c.d>, joe [x] <e@f.g>\n")
    assert injection.recipients == [b"e@f.g", b"b@c.d", b"a@[1.2.3.4]"]


@settings(max_examples=300)
@given(st.lists(FIELDS, max_size=6))
def test_rewriting_twice_changes_nothing_more(fields: list[bytes]) -> None:
    try:
        head, first = inject(*fields)
    except Unparsable:
        return
    header = Header()
    header.feed(head + b"\nbody")
    assert header.body == b"\nbody"
    again, second = inject(*header.fields)
    assert again == head
    if not any(name(field).strip().lower() in (b"bcc", b"resent-bcc", b"apparently-to") for field in fields):
        # `<@>` is the empty address, and leaves nothing to be read again.
        assert [one for one in second.recipients if one] == [one for one in first.recipients if one]


@given(st.lists(FIELDS | st.tuples(st.just(b"X: "), st.binary(max_size=30)).map(b"".join), max_size=5))
def test_what_is_not_rewritten_is_unchanged(fields: list[bytes]) -> None:
    plain = [field for field in fields if name(field).lower() in (b"subject", b"x-y", b"date", b"x", b"message-id")]
    head, _ = inject(*plain)
    assert head.endswith(b"".join(plain))
