"""qmail-send with stand-ins for the spawners: what it says, what it leaves in the queue, and in which order."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sending import Sending

ANN = "ann@here.example"


@pytest.fixture
def system(home: Path) -> Iterator[Sending]:
    sending = Sending(home)
    yield sending
    sending.close()


def plain(lines: list[str]) -> list[str]:
    """Log lines with message numbers as M1, M2 ... in the order of their appearance, sizes and qps left out."""
    names: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        return match[1] + names.setdefault(match[2], f"M{len(names) + 1}")

    result = []
    for line in lines:
        line = re.sub(r"(msg |bounce/)(\d+)", name, line)
        result.append(re.sub(r"bytes \d+|qp \d+|uid \d+", lambda match: match[0].split()[0], line))
    return result


def test_a_local_message_is_delivered_from_todo_and_leaves_nothing(system: Sending) -> None:
    system.start()
    system.submit("s@away.example", ["good@here.example"])
    system.wait("^end msg")
    assert system.stop() == 0
    assert plain(system.text().splitlines()) == [
        "status: local 0/10 remote 0/20",
        "new msg M1",
        "info msg M1: bytes from <s@away.example> qp uid",
        "starting delivery 1: msg M1 to local good@here.example",
        "status: local 1/10 remote 0/20",
        "delivery 1: success: fine/",
        "status: local 0/10 remote 0/20",
        "end msg M1",
        "status: exiting",
    ]
    assert system.files() == []


def test_a_deferred_recipient_gets_a_file_and_what_is_done_is_marked(system: Sending) -> None:
    system.start()
    system.submit("s@x", ["good1@here.example", "temp@here.example", "good2@away.example"])
    system.until("no local file", lambda: "local" in system.kinds() and "todo" not in system.kinds())
    assert system.kinds() == ["info", "local", "mess"]
    assert system.file("local").read_bytes() == b"Dgood1@here.example\0Ttemp@here.example\0"
    assert system.file("info").read_bytes() == b"Fs@x\0"
    before = time.time()
    assert system.stop() == 0
    assert 90 < system.file("local").stat().st_mtime - before < 110
    assert "exitasap" not in system.text()


def test_alrm_tries_again_at_once_and_only_what_is_left(system: Sending) -> None:
    system.start()
    system.submit("s@x", ["good@here.example", "again@here.example"])
    system.until("no local file", lambda: system.kinds() == ["info", "local", "mess"])
    system.signal(signal.SIGALRM)
    system.wait("^end msg")
    assert system.stop() == 0
    assert system.orders() == ["good@here.example", "again@here.example", "again@here.example"]
    assert system.files() == []


def test_alrm_in_the_middle_of_a_first_attempt_is_not_forgotten(system: Sending) -> None:
    system.start()
    system.submit("s@x", ["hold@here.example", "again@here.example"])
    system.wait("^delivery .* deferral")
    system.signal_and_heed(signal.SIGALRM)
    (system.home.parent / "hold-hold@here.example").touch()
    system.wait("^end msg")
    assert system.stop() == 0
    assert system.orders() == ["hold@here.example", "again@here.example", "again@here.example"]


def test_a_failure_is_told_before_the_message_ends(system: Sending) -> None:
    system.start()
    system.submit(ANN, ["perm@here.example"])
    system.wait("^end msg", 2)
    assert system.stop() == 0
    assert plain(system.lines()) == [
        "new msg M1",
        f"info msg M1: bytes from <{ANN}> qp uid",
        "starting delivery 1: msg M1 to local perm@here.example",
        "delivery 1: failure: never_ever/",
        "bounce msg M1 qp",
        "end msg M1",
        "new msg M2",
        "info msg M2: bytes from <> qp uid",
        f"starting delivery 2: msg M2 to local {ANN}",
        "delivery 2: success: fine/",
        "end msg M2",
        "status: exiting",
    ]
    assert system.files() == []


def test_a_notice_that_nobody_takes_is_written_down_and_tried_again_later(system: Sending) -> None:
    system.start(env={"QMAILQUEUE": "/bin/false"})
    system.submit(ANN, ["perm@here.example", "good@here.example"])
    system.wait("^warning: trouble injecting bounce message, will try later")
    system.until("not written", lambda: system.kinds() == ["bounce", "info", "mess"])
    assert system.file("bounce").read_bytes() == b"<perm@here.example>:\nnever ever\n\n"
    assert system.stop() == 0
    assert system.text().count("warning") == 1
    assert "end msg" not in system.text()
    system.start()
    system.wait("^end msg", 2)
    assert system.stop() == 0
    assert system.orders() == ["perm@here.example", "good@here.example", ANN]
    assert system.files() == []


def test_what_could_be_read_of_a_bad_envelope_is_logged(system: Sending) -> None:
    system.put("mess", 1000000, b"x\n")
    system.put("todo", 1000000, b"u5\0p6\0Fs@x\0Tgood@here.example\0Xbad\0")
    system.start()
    system.wait("^warning")
    assert system.stop() == 0
    assert system.lines() == [
        "new msg 1000000",
        "info msg 1000000: bytes 2 from <s@x> qp 6 uid 5",
        "warning: unknown record type in todo/1000000",
        "status: exiting",
    ]


def test_a_double_bounce_goes_to_the_postmaster_and_a_triple_one_to_nobody(home: Path) -> None:
    system = Sending(home, control={"doublebounceto": "perm\n"})
    try:
        system.start()
        system.submit("", ["perm@here.example"])
        system.wait("^end msg", 2)
        assert system.stop() == 0
        lines = plain(system.lines())
        assert "info msg M2: bytes from <#@[]> qp uid" in lines
        assert "starting delivery 2: msg M2 to local perm@here.example" in lines
        assert lines[-3:] == ["triple bounce: discarding bounce/M2", "end msg M2", "status: exiting"]
        assert system.files() == []
    finally:
        system.close()


def test_failures_of_a_queued_message_wait_in_bounce_until_all_is_done(system: Sending) -> None:
    system.start()
    system.submit(ANN, ["perm@here.example", "temp@here.example"])
    system.until("no bounce file", lambda: system.kinds() == ["bounce", "info", "local", "mess"])
    assert system.file("bounce").read_bytes() == b"<perm@here.example>:\nnever ever\n\n"
    assert system.file("local").read_bytes() == b"Dperm@here.example\0Ttemp@here.example\0"
    assert system.stop() == 0


def test_many_recipients_have_files_before_the_first_delivery(system: Sending) -> None:
    system.start()
    good = [f"good{n}@here.example" for n in range(17)]
    system.submit("s@x", [*good, "hold@here.example"])
    hold = system.home.parent / "hold-hold@here.example"
    system.wait("starting delivery 18")
    system.until("not marked", lambda: system.file("local").read_bytes().count(b"D") == 17)
    assert system.kinds() == ["info", "local", "mess"]
    hold.touch()
    system.wait("^end msg")
    assert system.stop() == 0
    assert sorted(system.orders()) == sorted([*good, "hold@here.example"])
    assert system.files() == []


def test_a_slow_delivery_moves_its_message_out_of_todo_and_is_marked_in_its_file(system: Sending) -> None:
    system.start()
    system.submit("s@x", ["hold@here.example", "temp@here.example", "good@here.example"])
    system.until("still in todo", lambda: system.kinds() == ["info", "local", "mess"])
    expected = b"Thold@here.example\0Ttemp@here.example\0Dgood@here.example\0"
    system.until("not written", lambda: system.file("local").read_bytes() == expected)
    (system.home.parent / "hold-hold@here.example").touch()
    system.wait("after_a_while")
    system.until("not marked", lambda: system.file("local").read_bytes().startswith(b"Dhold"))
    assert system.stop() == 0
    assert system.orders() == ["hold@here.example", "temp@here.example", "good@here.example"]


def test_a_channel_without_deliveries_gives_its_messages_files_at_once(home: Path) -> None:
    system = Sending(home, control={"concurrencylocal": "0\n"})
    try:
        system.start()
        assert "status: local 0/0 remote 0/20" in system.text()
        system.submit("s@x", ["good@here.example", "good@away.example"])
        system.wait("^delivery 1: success")
        system.until("no local file", lambda: system.kinds() == ["info", "local", "mess"])
        assert system.stop() == 0
        assert system.orders() == []
    finally:
        system.close()


def test_recipients_who_wait_for_a_channel_that_stands_still_get_files(home: Path) -> None:
    system = Sending(home, control={"concurrencylocal": "1\n"})
    try:
        system.start()
        system.submit("s@x", ["hold1@here.example"])
        system.submit("s@x", ["hold2@here.example", "good@away.example"])
        system.until("still in todo", lambda: system.kinds() == ["info"] * 2 + ["local"] * 2 + ["mess"] * 2)
        for name in ("1", "2"):
            (system.home.parent / f"hold-hold{name}@here.example").touch()
        system.wait("^end msg", 2)
        assert system.stop() == 0
        assert system.orders() == ["hold1@here.example", "hold2@here.example"]
        assert system.orders("rspawn") == ["good@away.example"]
        assert system.files() == []
    finally:
        system.close()


def test_term_waits_for_deliveries_and_says_so(system: Sending) -> None:
    system.start()
    system.submit("s@x", ["hold@here.example"])
    system.wait("^starting delivery")
    system.signal_and_heed(signal.SIGTERM)
    system.submit("s@x", ["good@here.example"])
    (system.home.parent / "hold-hold@here.example").touch()
    assert system.ended() == 0
    assert "status: local 0/10 remote 0/20 exitasap" in system.text()
    assert system.lines()[-2].startswith("end msg")
    assert system.kinds() == ["intd", "mess", "todo"], "the message that came after TERM waits"
    system.start()
    system.wait("^end msg", 2)
    assert system.stop() == 0
    assert system.files() == []


def test_messages_that_no_delivery_touched_stay_in_todo_over_term(home: Path) -> None:
    system = Sending(home, control={"concurrencylocal": "1\n"})
    try:
        system.start()
        system.submit("s@x", ["hold@here.example"])
        system.submit("s@x", ["good@here.example"])
        system.wait("^info msg", 2)
        system.signal_and_heed(signal.SIGTERM)
        (system.home.parent / "hold-hold@here.example").touch()
        assert system.ended() == 0
        assert system.kinds() == ["intd", "mess", "todo"]
        assert system.orders() == ["hold@here.example"]
    finally:
        system.close()


def test_hup_reads_locals_and_virtualdomains_again(system: Sending) -> None:
    system.start()
    (system.home / "control" / "locals").write_text("new.example\n")
    (system.home / "control" / "virtualdomains").write_text("virt.example:good\n")
    system.signal(signal.SIGHUP)
    system.until(
        "not read",
        lambda: system.submit("s@x", ["good@here.example"]) or "to remote good@here.example" in system.text(),
    )
    system.submit("s@x", ["good@new.example", "joe@virt.example"])
    system.wait("to local good-joe@virt.example")
    assert "to local good@new.example" in system.text()
    assert system.stop() == 0


def test_fault_100_a_second_one_says_so_and_touches_nothing(system: Sending) -> None:
    system.start()
    second = Sending(system.home)
    second.log = system.home.parent / "second"
    second.start(wait=None)
    assert second.ended() == 111
    assert second.text() == "alert: cannot start: qmail-send is already running\n"
    system.submit("s@x", ["good@here.example"])
    system.wait("^end msg")
    assert system.stop() == 0


def test_the_narrow_dialect_of_the_original_spawners_is_spoken_too(system: Sending) -> None:
    system.start(env={"DIALECT": "narrow", "LIMIT": "3"})
    assert "status: local 0/3 remote 0/3" in system.text()
    for number in range(5):
        system.submit("s@x", [f"good{number}@here.example", f"temp{number}@away.example"])
    system.wait("^delivery \\d+: deferral", 5)
    system.wait("^delivery \\d+: success", 5)
    assert system.stop() == 0
    assert system.kinds().count("remote") == 5


def test_fault_101_a_mangled_report_is_a_deferral(system: Sending) -> None:
    system.start()
    system.submit("s@x", ["mangled@here.example"])
    system.wait("^delivery 1: report mangled, will defer")
    system.until("not kept", lambda: system.kinds() == ["info", "local", "mess"])
    assert system.stop() == 0


def test_fault_101_a_lost_spawner_ends_it_and_no_message_is_lost(system: Sending) -> None:
    system.start()
    system.submit("s@x", ["good@away.example", "die@here.example"])
    assert system.ended() == 0
    assert "alert: oh no! lost spawn connection! dying..." in system.text()
    assert system.lines()[-1] == "status: exiting"
    assert system.kinds() == ["info", "local", "mess"], "what had been delivered is marked"
    assert system.file("local").read_bytes() == b"Tdie@here.example\0"


def test_fault_101_a_lost_qmail_clean_ends_it_and_no_message_is_lost(system: Sending) -> None:
    system.replace("qmail-clean", "exit 0\n")
    system.start(wait=None)
    assert system.ended() == 0
    assert "alert: oh no! lost qmail-clean connection! dying..." in system.text()


def test_a_queued_message_of_an_earlier_qmail_is_taken_over(system: Sending) -> None:
    system.put("mess", 1000000, b"Subject: t\n\nhello\n")
    system.put("info", 1000000, b"Fann@here.example\0", age=100)
    system.put("local", 1000000, b"Dgood0@here.example\0Tgood1@here.example\0", age=10)
    system.put("remote", 1000000, b"Ttemp@away.example\0", age=-5000)
    system.start()
    system.wait("^delivery 1: success")
    system.until("not done", lambda: "local" not in system.kinds())
    assert system.orders() == ["good1@here.example"]
    assert system.orders("rspawn") == []
    assert system.stop() == 0
    assert 4900 < system.file("remote", 1000000).stat().st_mtime - time.time() < 5100


def test_a_time_that_only_a_wrong_clock_can_have_written_is_pulled_in(system: Sending) -> None:
    system.put("mess", 1000000, b"Subject: t\n\nhello\n")
    system.put("info", 1000000, b"Fs@x\0", age=100)
    system.put("local", 1000000, b"Tgood@here.example\0", age=-400 * 86400)
    in_the_last_part = 23 * 43478  # of the queue that is looked at: once it is delivered, the other one is known
    system.put("mess", in_the_last_part, b"Subject: t\n\nhello\n")
    system.put("info", in_the_last_part, b"Fs@x\0", age=100)
    system.put("local", in_the_last_part, b"Tgood1@here.example\0", age=10)
    system.start()
    system.wait("^end msg")
    assert system.stop() == 0
    assert system.orders() == ["good1@here.example"]
    assert 0 < system.file("local", 1000000).stat().st_mtime - time.time() < 10 * 3600


def test_the_last_attempt_turns_a_deferral_into_a_failure(home: Path) -> None:
    system = Sending(home, control={"queuelifetime": "50\n"})
    try:
        system.put("mess", 1000000, b"Subject: t\n\nhello\n")
        system.put("info", 1000000, b"Fann@here.example\0", age=100)
        system.put("remote", 1000000, b"Ttemp@away.example\0", age=10)
        system.start()
        system.wait("^end msg", 2)
        assert (
            "delivery 1: failure: not_now/I'm_not_going_to_try_again;_"
            "this_message_has_been_in_the_queue_too_long./" in system.text()
        )
        assert system.stop() == 0
        assert system.files() == []
    finally:
        system.close()


def test_fault_098_an_unfinished_last_record_is_set_aside_and_the_others_are_delivered(system: Sending) -> None:
    system.put("mess", 1000000, b"Subject: t\n\nhello\n")
    system.put("info", 1000000, b"Fs@x\0", age=100)
    system.put("local", 1000000, b"Tgood1@here.example\0Tgood2@here.exa", age=10)
    system.start()
    system.wait("^end msg 1000000")
    assert system.stop() == 0
    assert system.files() == ["bad/local.1000000"]


@pytest.mark.parametrize(
    ("files", "warning"),
    [
        ({"todo": b"u0\0p1\0Fs@x\0Tgood@here.example\0"}, "unable to stat mess/6/1000000"),
        ({"mess": b"x\n", "todo": b"u0\0p1\0Fs@x\0Xgood@here.example\0"}, "unknown record type in todo/1000000"),
        ({"mess": b"x\n", "todo": b"u0\0p1\0Fs@x\0Tgood@here.exam"}, "unknown record type in todo/1000000"),
        ({"mess": b"x\n", "todo": b""}, "unknown record type in todo/1000000"),
    ],
)
def test_fault_098_what_makes_no_sense_in_todo_is_said_once_and_left_alone(
    system: Sending, files: dict[str, bytes], warning: str
) -> None:
    for kind, text in files.items():
        system.put(kind, 1000000, text)
    system.start()
    system.wait("^warning: " + warning)
    for _ in range(3):
        (system.queue / "lock" / "trigger").write_bytes(b"x")
    system.submit("s@x", ["good@here.example"])
    system.wait("^end msg")
    assert system.stop() == 0
    assert system.text().count("warning") == 1
    assert system.orders() == ["good@here.example"]
    assert system.files() == sorted(f"{kind}/1000000" for kind in files)


def test_fault_098_a_queued_message_without_its_info_is_never_delivered(system: Sending) -> None:
    system.put("mess", 1000000, b"x\n")
    system.put("info", 1000000, b"X\0", age=10)
    system.put("local", 1000000, b"Tgood@here.example\0", age=10)
    system.start()
    system.wait("^warning: trouble opening info/6/1000000; will try again later")
    assert system.stop() == 0
    assert system.orders() == []
    assert system.files() == ["info/1000000", "local/1000000", "mess/1000000"]


def test_files_of_an_attempt_that_a_crash_ended_are_stale_beside_todo(system: Sending) -> None:
    system.put("mess", 1000000, b"x\n")
    system.put("todo", 1000000, b"u0\0p1\0Fann@here.example\0Ttemp@away.example\0")
    system.put("info", 1000000, b"Fother@x\0", age=10)
    system.put("local", 1000000, b"Tgood@here.example\0", age=10)
    system.put("bounce", 1000000, b"<bob@x>:\nno\n\n")
    system.start()
    system.wait("^delivery 1: deferral")
    system.until("not prepared", lambda: system.kinds() == ["info", "mess", "remote"])
    assert system.file("info").read_bytes() == b"Fann@here.example\0"
    assert system.stop() == 0
    assert system.orders() == []


def test_they_are_removed_where_the_first_attempt_needs_no_files(system: Sending) -> None:
    system.put("mess", 1000000, b"x\n")
    system.put("todo", 1000000, b"u0\0p1\0Fann@here.example\0Tgood@here.example\0")
    system.put("info", 1000000, b"Fother@x\0", age=10)
    system.put("local", 1000000, b"Tgood-wrong@here.example\0", age=10)
    system.put("bounce", 1000000, b"<bob@x>:\nno\n\n")
    system.start()
    system.until("something is left", lambda: not system.files())
    assert system.stop() == 0
    assert system.orders() == ["good@here.example"]


def test_leftovers_of_36_hours_are_removed_and_younger_ones_stay(system: Sending) -> None:
    old, young = 40 * 3600, 30 * 3600
    for number, age in ((1000000, old), (1000001, young)):
        system.put("mess", number, b"x\n", age=age)
        system.put("local", number, b"Tgood@here.example\0", age=age)
        system.put("bounce", number, b"<x>:\n\n", age=age)
    system.start()
    system.until("still there", lambda: len(system.files()) == 3)
    assert system.files() == ["bounce/1000001", "local/1000001", "mess/1000001"]
    assert system.stop() == 0


def test_fault_102_a_blocked_log_stops_no_mail_and_loses_no_line(system: Sending) -> None:
    reader, writer = os.pipe()
    text = b""
    import subprocess

    system.started = True
    process = subprocess.Popen(
        [system.home / "bin" / "qmail-start"], stdin=subprocess.DEVNULL, stdout=writer, env=system.environment()
    )
    os.close(writer)
    try:
        system.until("not listening", lambda: (system.home / "qs" / "notes").exists())
        many = [f"good{n:04}-{'x' * 100}@here.example" for n in range(400)]
        for at in range(0, 400, 100):
            system.submit("s@x", many[at : at + 100])
        system.until("not delivered", lambda: len(system.orders()) == 400 and not system.files())
        process.send_signal(signal.SIGTERM)
        while chunk := os.read(reader, 65536):
            text += chunk
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(reader)
    assert text.count(b"success") == 400
    assert text.count(b"end msg") == 4
    assert text.endswith(b"status: exiting\n")
