"""`qmail setup` does the whole chapter in one step, and `qmail unsetup` takes it back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chapter.conftest import Machine

pytestmark = [pytest.mark.prove, pytest.mark.xdist_group("chapter"), pytest.mark.timeout(100)]

# Everything that a set-up may touch, with types, owners, modes, and what small files and links hold.
LOOK = """find /var/qmail /var/log/qmail /service /etc /usr/local/bin /usr/sbin /usr/lib/sendmail \\
  /home/steve /home/mary ! -name '*-' ! -name '.*' ! -name '*.lock' ! -name Maildir \\
  -printf '%p %y %u %g %m %l\\n' 2>/dev/null | sort
cat /etc/passwd /etc/group /etc/inittab"""


@pytest.fixture(scope="module")
def owner(make_machine: Callable[[], Machine]) -> Machine:
    """A machine with two people, on which nothing of qmail is."""
    machine = make_machine()
    machine.types(
        "for name in $(awk -F: '$3>=1000 && $3<60000 {print $1}' /etc/passwd); do userdel $name; done", code=None
    )
    machine.types("useradd -m -s /bin/sh steve; useradd -m -s /bin/sh mary; rm -f /usr/sbin/sendmail /usr/lib/sendmail")
    machine.writes("/etc/inittab", "id:3:initdefault:\n")
    machine.types("make bin")
    return machine


@pytest.fixture(scope="module")
def before(owner: Machine) -> str:
    """How the machine looked before."""
    return owner.types(LOOK, code=None)


def test_a_dry_run_shows_everything_and_makes_nothing(owner: Machine, before: str) -> None:
    said = owner.types("bin/qmail setup --dry-run")
    for line in (
        "would make group nofiles",
        "would make user qmaild of group nofiles",
        "would make file /var/qmail/control/me\n    mail.example.com\n",
        "would make file /var/qmail/alias/.qmail-root\n    &steve\n",
        "would make link /service/qmail-smtpd to /var/qmail/supervise/smtpd",
        "    exec setuidgid qmaill multilog t s1000000 n20 /var/log/qmail/smtpd",
        "would make line in /etc/inittab\n    SV:123456:respawn:/var/qmail/bin/svscanboot\n",
        "things are missing; nothing was made.",
    ):
        assert line in said
    assert owner.types(LOOK, code=None) == before


def test_one_step_makes_a_mail_server(owner: Machine, before: str) -> None:
    said = owner.types("bin/qmail setup")
    assert "qmail is set up as mail.example.com. " in said
    assert "/var/qmail is as it should be" in owner.types("make check")
    assert owner.types("stat -c '%U %a' /var/log/qmail/send /var/qmail/alias/.qmail-root") == "qmaill 755\nroot 644\n"
    assert owner.types("stat -c %U /home/mary/Maildir/new") == "mary\n"


def test_run_again_it_makes_nothing(owner: Machine) -> None:
    looked = owner.types(LOOK, code=None)
    assert owner.types("qmail setup --dry-run") == "Nothing is missing.\n"
    assert owner.types("qmail setup").startswith("Everything was there already. ")
    assert owner.types(LOOK, code=None) == looked


def test_what_is_missing_alone_is_made(owner: Machine) -> None:
    owner.types("rm /var/qmail/alias/.qmail-abuse")
    owner.types("echo postmaster > /var/qmail/alias/.qmail-mailer-daemon")
    said = owner.types("qmail setup")
    assert said.startswith("making file /var/qmail/alias/.qmail-abuse\nqmail is set up")
    assert owner.reads("/var/qmail/alias/.qmail-mailer-daemon") == "postmaster\n"


def test_the_services_bring_mail_to_people(owner: Machine) -> None:
    owner.types_in_background("$(sed -n 's/^SV:123456:respawn://p' /etc/inittab) &")
    owner.listens()
    for name in ("queued", "send", "rcptd", "smtpd"):
        owner.waits_for(f"/var/qmail/bin/svstat /service/qmail-{name} | grep ' up '")
    owner.waits_for("test -S /var/qmail/qq/socket && test -S /var/qmail/qp/rcpt")
    assert owner.types("qmail doctor") == "nothing is wrong in /var/qmail\n"
    words = "swaks --server 127.0.0.1 --from x@example.net --to nobody-here@mail.example.com"
    assert "550 5.1.1 " in owner.types(words, code=24)
    for to in ("mary", "postmaster", "abuse"):
        owner.types(
            f"swaks --server 127.0.0.1 --from x@example.net --to {to}@mail.example.com --header 'Subject: to {to}'"
        )
    owner.sees_in("/home/mary/Maildir/new", "Subject: to mary")
    owner.sees_in("/home/steve/Maildir/new", "Subject: to postmaster")
    owner.sees_in("/home/steve/Maildir/new", "Subject: to abuse")
    owner.types("/usr/sbin/sendmail mary", stdin="Subject: by sendmail\n\nhello\n")
    owner.sees_in("/home/mary/Maildir/new", "Subject: by sendmail")
    assert "553 " in owner.types(
        "swaks --server 192.168.1.1 --local-interface 192.168.1.3 --from x@example.net --to x@far.example", code=24
    )
    assert owner.types("ls -l /var/log/qmail/smtpd/current").split()[2] == "qmaill"


def test_control_files_that_need_services_bring_them(owner: Machine) -> None:
    owner.types("echo behind.example >> /var/qmail/control/rcpthosts")
    owner.types("echo behind.example > /var/qmail/control/callforward")
    check = "case $RECIPIENT in no*) exit 100;; esac; id -un > /tmp/checked"
    owner.types(f"printf '#!/bin/sh\\n{check}\\n' > /usr/local/bin/check; chmod 755 /usr/local/bin/check")
    owner.types("echo /usr/local/bin/check > /var/qmail/control/rcptcheck; chmod 1777 /tmp")
    assert "qmail-verifyd does not run" in owner.types("qmail doctor", code=1)
    said = owner.types("qmail setup")
    for name in ("verifyd", "checkd"):
        assert f"making link /service/qmail-{name} to /var/qmail/supervise/{name}\n" in said
        owner.waits_for(f"/var/qmail/bin/svstat /service/qmail-{name} | grep ' up '")
    owner.waits_for("test -S /var/qmail/qr/verify && test -S /var/qmail/qc/check")
    assert owner.types("qmail doctor") == "nothing is wrong in /var/qmail\n"
    words = "swaks --server 192.168.1.1 --local-interface 192.168.1.3 --from x@example.net --quit-after RCPT --to"
    assert "550 5.1.1 " in owner.types(f"{words} no@behind.example", code=24)
    assert "250 " in owner.types(f"{words} yes@behind.example")  # nobody is there to say anything of it
    assert owner.reads("/tmp/checked") == "qmailc\n"
    owner.types("cd /var/qmail/control && rm callforward rcptcheck && sed -i /behind/d rcpthosts")
    owner.types("rm /usr/local/bin/check")


def test_unsetup_waits_for_the_queue(owner: Machine) -> None:
    owner.types("echo '|exit 111' > /home/mary/.qmail-later; chown mary /home/mary/.qmail-later")
    owner.inject("mary-later@mail.example.com", "later")
    owner.waits_for("/var/qmail/bin/qmail-qstat | grep -x 'messages in queue: 1'")
    assert "1 messages are in the queue" in owner.types("qmail unsetup", code=100)
    owner.types("rm /home/mary/.qmail-later; echo ./Maildir/ > /home/mary/.qmail-later")
    owner.types("/var/qmail/bin/svc -a /service/qmail-send")
    owner.waits_for("/var/qmail/bin/qmail-qstat | grep -x 'messages in queue: 0'")


def test_unsetup_removes_what_setup_made_and_names_what_stays(owner: Machine, before: str) -> None:
    assert "would remove user qmaild\n" in owner.types("qmail unsetup --dry-run")
    said = owner.types("/var/qmail/bin/qmail unsetup")
    left = [line for line in said.splitlines() if line.startswith("left: ")]
    assert set(left) == {
        "left: /home/steve/Maildir holds something",
        "left: /home/mary/Maildir holds something",
        "left: /var/qmail/alias/.qmail-mailer-daemon has been changed since",
        "left: /var/qmail/alias holds something else",
        "left: /var/qmail holds something else",
        *(
            f"left: /var/log/qmail{name} holds something else"
            for name in ("", "/queued", "/send", "/rcptd", "/smtpd", "/verifyd", "/checkd")
        ),
    }
    owner.types("rm -rf /var/qmail /var/log/qmail /home/steve/Maildir /home/mary/Maildir")
    assert owner.types(LOOK, code=None) == before
    assert not [name for user, name, _ in owner.processes() if name.startswith("qmail-")]


def test_under_systemd_a_unit_starts_the_services(owner: Machine) -> None:
    owner.types("rm /etc/inittab; mkdir -p /run/systemd/system /etc/systemd/system")
    owner.writes("/usr/local/bin/systemctl", '#!/bin/sh\necho "$*" >> /var/log/systemctl\n', "755")
    owner.types("bin/qmail setup other.example.com")
    unit = owner.reads("/etc/systemd/system/qmail.service")
    assert "ExecStart=/var/qmail/bin/svscan --stop /service\n" in unit
    owner.types("bin/qmail setup; qmail unsetup")
    assert owner.reads("/var/log/systemctl").splitlines() == [
        "daemon-reload", "enable --now qmail.service", "disable --now qmail.service",
    ]  # fmt: skip
    assert owner.types("ls /etc/systemd/system/qmail.service /var/qmail", code=2).count("No such file") == 2


@pytest.mark.parametrize("seconds", [0.2, 0.4, 0.6, 0.8, 1.0])
def test_a_setup_that_was_cut_short_goes_on_and_can_be_taken_back(owner: Machine, seconds: float) -> None:
    owner.types(f"timeout -s KILL {seconds} bin/qmail setup; true")
    owner.types("bin/qmail setup")
    assert "is as it should be" in owner.types("make check")
    owner.types("qmail unsetup")
    assert "No such file" in owner.types("ls /var/qmail", code=2)


def test_programs_from_a_package_set_up_a_system_without_a_checkout(owner: Machine) -> None:
    owner.types("mkdir -p /opt/package/lib; cp -r src/qmail /opt/package/lib/")
    for name in ("dns", "idna"):
        owner.types(f"cp -r .venv/lib/python3*/site-packages/{name} /opt/package/lib/")
    owner.types(
        "/usr/bin/python3 setup/launchers.py /opt/package/bin /opt/package/lib /usr/bin/python3 /opt/package/lib"
    )
    owner.types("/opt/package/bin/qmail setup", cwd="/")
    assert owner.types("qmail setup --dry-run", cwd="/") == "Nothing is missing.\n"
    assert owner.types("ls /var/qmail/boot | wc -l") == "10\n"
    assert "/var/qmail/lib" in owner.reads("/var/qmail/bin/svc")
    owner.types("qmail unsetup", cwd="/")
