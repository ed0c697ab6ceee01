"""Remote mail by destination: a dead one keeps its mail to itself, and nobody else's waits or costs more for it."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import wait_until
from sending import Sending

Make = Callable[..., Sending]


@pytest.fixture
def make(home: Path) -> Iterator[Make]:
    made = []

    def sending(control: dict[str, str] | None = None, **env: str) -> Sending:
        made.append(Sending(home, control=control))
        made[0].start(env=env)
        return made[0]

    yield sending
    for each in made:
        each.close()


def release(system: Sending, *recipients: str) -> None:
    """Let the stand-in finish these."""
    for recipient in recipients:
        (system.home.parent / f"hold-{recipient}").touch()


def most_at_once(system: Sending, since: int) -> int:
    """How many remote deliveries ran, at most."""
    return max(int(count) for count in re.findall(r"remote (\d+)/", system.text()[since:]))


def held(host: str, count: int) -> list[str]:
    """Recipients whose deliveries do not end by themselves."""
    return [f"hold{number}@{host}" for number in range(count)]


def test_a_destination_that_stalls_takes_five_and_the_mail_of_others_goes(make: Make) -> None:
    system = make()
    dead = held("dead.example", 20)
    for at in range(0, 20, 4):
        system.submit("s@x", dead[at : at + 4])
    system.wait("^starting delivery 5: ")
    system.until("in todo/", lambda: "todo" not in system.kinds())
    assert len(system.orders("rspawn")) == 5
    good = [f"good{number}@good.example" for number in range(30)]
    for at in range(0, 30, 6):
        system.submit("s@x", good[at : at + 6])
    system.wait("^end msg", 5)
    assert sorted(system.orders("rspawn")) == sorted(dead[:5] + good)
    assert system.kinds().count("remote") == 5
    since = len(system.text())
    release(system, *dead)
    system.wait("^end msg", 10)
    assert most_at_once(system, since) <= 15
    assert system.stop() == 0
    assert sorted(system.orders("rspawn")) == sorted(dead + good)
    wait_until(lambda: system.files() == [])


def test_each_success_allows_one_more_and_a_deferral_halves(make: Make) -> None:
    system = make({"destinations": "*:16\n"})
    names = [f"{kind}{n}@a.example" for kind, count in (("hold", 3), ("temp", 1), ("hold-x", 40)) for n in range(count)]
    system.submit("s@x", names)
    system.wait("^delivery 4: deferral")
    assert system.orders("rspawn") == names[:5], "halved to two before anybody could take the place"
    release(system, *names[:3])
    system.wait("^delivery . *: success|^delivery [123]: success", 3)
    # 2 and 3 more: 5, of which one runs.
    system.wait("^starting delivery 9: ")
    system.signal_and_heed(signal.SIGHUP)
    assert len(system.orders("rspawn")) == 9
    release(system, *names)
    system.wait("^delivery \\d+: success", 43)
    assert system.stop() == 0


def test_a_line_limits_what_runs_at_once_of_all_names_that_lead_there(make: Make) -> None:
    system = make({"destinations": "relay.example:2\n", "smtproutes": ".a.example:relay.example:26\n"})
    names = [f"hold{number}@{host}.a.example" for number in range(3) for host in ("one", "two")]
    system.submit("s@x", [*names, "good@b.example"])
    system.wait("^delivery \\d+: success")
    system.signal_and_heed(signal.SIGHUP)
    assert len(system.orders("rspawn")) == 3
    (system.home / "control" / "destinations").unlink()
    system.signal(signal.SIGHUP)
    system.wait("^starting delivery 6: ")
    (system.home / "control" / "destinations").mkdir()
    system.signal(signal.SIGHUP)
    system.wait("^alert: unable to reread control/destinations$")
    release(system, *names)
    system.wait("^end msg")
    assert system.stop() == 0


def test_what_is_beyond_its_messages_per_minute_gets_files_and_waits(make: Make) -> None:
    system = make({"destinations": "slow.example::1\n"})
    for number in range(3):
        system.submit("s@x", [f"good{number}@slow.example"])
    system.wait("^delivery 1: success")
    system.until("no files", lambda: system.kinds() == ["info", "info", "mess", "mess", "remote", "remote"])
    system.submit("s@x", ["good@other.example"])
    system.wait("^end msg", 2)
    assert len(system.orders("rspawn")) == 2
    (system.home / "control" / "destinations").write_text("slow.example::\n")
    system.signal(signal.SIGHUP)
    system.wait("^end msg", 4)
    assert system.stop() == 0
    wait_until(lambda: system.files() == [])


def test_it_does_not_start_with_destinations_that_cannot_be_read(home: Path) -> None:
    system = Sending(home)
    (home / "control" / "destinations").mkdir()
    system.start(wait=None)
    assert system.ended() == 111
    assert system.text() == "alert: cannot start: unable to read controls\n"
    system.close()


def test_who_waits_at_a_destination_does_not_keep_others_of_the_message_from_their_next_attempt(make: Make) -> None:
    system = make({"destinations": "dead.example:1\n"})
    many = held("dead.example", 3)
    system.submit("s@x", [*many, "again@a.example", "good@b.example", "temp@c.example"])
    system.wait("^delivery \\d+: deferral", 2)
    system.until("not queued", lambda: "remote" in system.kinds() and "todo" not in system.kinds())
    for number in range(1, 4):
        system.signal(signal.SIGALRM)
        system.wait("^delivery \\d+: success", 2)
        system.wait("^delivery \\d+: deferral", 2 + number)
    release(system, *many)
    system.wait("^delivery \\d+: success", 5)
    system.until("not marked", lambda: system.file("remote").read_bytes().count(b"D") == 5)
    assert system.stop() == 0
    orders = system.orders("rspawn")
    assert [orders.count(name) for name in (*many, "again@a.example", "good@b.example")] == [1, 1, 1, 2, 1]


def test_who_waits_in_a_file_that_cannot_be_read_any_more_is_left_for_the_next_attempt(make: Make) -> None:
    system = make({"destinations": "dead.example:1\n"})
    many = held("dead.example", 3)
    system.submit("s@x", many)
    system.until("not queued", lambda: "remote" in system.kinds() and "todo" not in system.kinds())
    text = system.file("remote").read_bytes()
    system.file("remote").write_bytes(text[:15])
    release(system, *many)
    system.wait("^warning: trouble reading remote/\\d+/\\d+; will try again later$", 2)
    system.submit("s@x", ["good@dead.example"])
    system.wait("^end msg")
    assert system.orders("rspawn") == [many[0], "good@dead.example"]
    # On a busy machine the good one may have had a file of its own for a moment.
    system.until("only one left", lambda: system.kinds().count("remote") == 1)
    system.file("remote").write_bytes(b"D" + text[1:])
    system.signal(signal.SIGALRM)
    system.wait("^end msg", 2)
    assert sorted(system.orders("rspawn")) == sorted([*many, "good@dead.example"])
    assert system.stop() == 0


def test_no_more_deliveries_than_a_foreign_spawner_can_number(home: Path) -> None:
    system = Sending(home, control={"concurrencylocal": "1000\n"})
    try:
        system.start(env={"DIALECT": "narrow", "LIMIT": "255"})
        assert "status: local 0/255 remote 0/20" in system.text()
        names = held("here.example", 300)
        system.submit("s@x", names)
        system.wait("^starting delivery 255: ")
        system.wait("^status: local 255/255 ")
        release(system, *names)
        system.wait("^end msg")
        assert system.stop() == 0
        assert sorted(system.orders()) == sorted(names)
    finally:
        system.close()


def test_our_own_spawners_take_a_thousand(home: Path) -> None:
    thousand = {"concurrencylocal": "1000\n", "concurrencyremote": "1000\n"}
    system = Sending(home, control=thousand, stand_ins=False)
    try:
        system.start()
        assert "status: local 0/1000 remote 0/1000" in system.text()
        assert system.stop() == 0
    finally:
        system.close()
