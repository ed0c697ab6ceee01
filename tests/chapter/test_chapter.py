"""The chapter, in its order: what a reader types as root, and what arrives where.

What stands in code below is what the chapter prints. Where it errs, the test says what happens then and what
to type instead. table.md leads from each row of the list to its tests.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chapter.conftest import Machine
from conftest import TOP, wait_until

pytestmark = [pytest.mark.prove, pytest.mark.xdist_group("chapter"), pytest.mark.timeout(100)]

NEEDED = ("postmaster", "mailer-daemon", "abuse", "root")


@pytest.fixture(scope="module")
def reader(make_machine: Callable[[], Machine]) -> Machine:
    """The reader's machine, with two people on it."""
    machine = make_machine()
    machine.types("useradd -m steve; useradd -m mary")
    return machine


def boot(reader: Machine, script: str) -> None:
    """Choose a start-up script, and start qmail with it by hand."""
    reader.types("kill -TERM $(pgrep -x qmail-send)", code=None)
    reader.waits_for("! pgrep -x qmail-send")
    reader.types(f"cp '/var/qmail/boot/{script}' /var/qmail/rc")
    reader.types_in_background("/bin/sh /var/qmail/rc &")
    reader.waits_for("pgrep -x qmail-send")


def sink(reader: Machine, name: str, address: str) -> None:
    """Another host's mail server, at an address of our own; it keeps what it gets in /var/sink/NAME."""
    reader.types(f"mkdir -p /var/sink/{name}; chown nobody /var/sink/{name}")
    reader.types_in_background(f"/usr/sbin/smtp-sink -u nobody -d '/var/sink/{name}/%M.' {address} 100 &")
    reader.waits_for(f"ss -Hltn 'src {address}' | grep -q LISTEN")


def end(reader: Machine, program: str) -> None:
    """End a program that was started by hand, and wait for its end."""
    reader.types(f"kill -TERM $(pgrep -x {program})", code=None)
    reader.waits_for(f"! pgrep -x {program}")


def mail(reader: Machine, subject: str, to: str, client: str = "127.0.0.1", code: int | None = 0) -> str:
    """A message by SMTP from a client's address."""
    return reader.types(
        f"swaks --server 192.168.1.1 --local-interface {client} --from someone@example.net --to {to}"
        f" --header 'Subject: {subject}' --body hello --timeout 20",
        code=code,
    )


def denied(reader: Machine, client: str) -> None:
    """Nobody talks to this client: it loses its connection before or instead of a greeting."""
    done = reader.types(f"swaks --server 192.168.1.1 --local-interface {client} --quit-after HELO; echo $?")
    assert done.split()[-1] in ("6", "21")
    assert "220 " not in done


# Preparing the System


def test_the_system_is_prepared_as_printed(reader: Machine) -> None:
    for line in (
        "mkdir /var/qmail",
        "groupadd nofiles",
        "useradd -d /var/qmail/alias -s /bin/false -g nofiles alias",
        "useradd -d /var/qmail -s /bin/false -g nofiles qmaild",
        "useradd -d /var/qmail -s /bin/false -g nofiles qmaill",
        "useradd -d /var/qmail -s /bin/false -g nofiles qmailp",
        "groupadd qmail",
        "useradd -d /var/qmail -s /bin/false -g qmail qmailq",
        "useradd -d /var/qmail -s /bin/false -g qmail qmailr",
        "useradd -d /var/qmail -s /bin/false -g qmail qmails",
    ):
        reader.types(line)
    assert reader.types(
        "id -gn alias qmaild; for name in qmaill qmailp qmailq qmailr; do id -gn $name; done", code=None
    )
    assert reader.types("su qmaild -c true", code=1) == ""


# Compiling and Installing the Necessary Binaries


def test_make_setup_check_installs_and_finds_no_fault(reader: Machine) -> None:
    assert "make check: /var/qmail is as it should be" in reader.types("make setup check")
    assert "setup" not in reader.types("make setup install").lower()
    assert reader.types("find /var/qmail -type f -perm /6000") == ""
    assert "qmail-send" in reader.types("su -s /bin/sh qmaild -c '/var/qmail/bin/qmail-send --help'")
    assert "tcpserver - accept TCP connections" in reader.types("man -M /var/qmail/man tcpserver | cat")


def test_check_names_each_fault_and_setup_heals_it(reader: Machine) -> None:
    reader.types("chmod 4755 /var/qmail/bin/qmail-queue; chown qmaild /var/qmail/queue/todo; rm /var/qmail/boot/proc")
    reader.types("chgrp nofiles /var/qmail/control; chmod o-r /var/qmail/lib/qmail/__init__.py")
    said = reader.types("make check", code=2)
    for fault in (
        "/var/qmail/bin/qmail-queue: has mode 4755, should have 0755",
        "/var/qmail/queue/todo: belongs to user qmaild, should to qmailq",
        "/var/qmail/boot/proc: no such file or directory",
        "should to qmail\n",
        "/var/qmail/lib/qmail/__init__.py: cannot be read by every user",
        "make check: 5 faults",
    ):
        assert fault in said
    assert "is as it should be" in reader.types("make setup check")


def test_INSTALL_has_eighteen_steps(reader: Machine) -> None:
    steps = reader.types("grep -cE '^ *[0-9]+\\. ' INSTALL; cmp INSTALL /var/qmail/doc/INSTALL")
    assert steps == "18\n"


# Creating the Basic Configuration Files


def test_config_fast_names_the_system_and_may_be_run_again(reader: Machine) -> None:
    for _ in range(2):
        reader.types("./config-fast mail.example.com")
        read = {name: reader.reads(f"/var/qmail/control/{name}") for name in ("me", "defaultdomain", "plusdomain")}
        assert read == {"me": "mail.example.com\n", "defaultdomain": "example.com\n", "plusdomain": "example.com\n"}
        assert [reader.reads(f"/var/qmail/control/{name}") for name in ("locals", "rcpthosts")] == [
            "mail.example.com\n"
        ] * 2
    assert "No such file" in reader.types("ls /var/qmail/control/smtproutes", code=2)


def test_config_takes_the_name_from_DNS(reader: Machine) -> None:
    reader.types("rm /var/qmail/control/*")
    reader.types("./config")
    assert reader.reads("/var/qmail/control/me") == "mail.example.com\n"
    assert "mail.example.com\n" in reader.reads("/var/qmail/control/locals")
    reader.types("rm /var/qmail/control/*; ./config-fast mail.example.com")


# Creating the Necessary Minimum Account Aliases


def test_the_aliases_are_files_that_root_alone_may_write(reader: Machine) -> None:
    reader.types("echo steve > ~alias/.qmail-root")
    for name in NEEDED[:3]:
        reader.types(f"echo root > ~alias/.qmail-{name}")
    reader.types("chown root ~alias/.qmail-root; chmod 644 ~alias/.qmail-root")
    assert reader.types("stat -c '%U %a' ~alias/.qmail-root") == "root 644\n"
    assert reader.types("echo ~alias") == "/var/qmail/alias\n"


# Default Mail Delivery


def test_home_delivers_to_the_Mailbox_in_the_users_home(reader: Machine) -> None:
    assert reader.types("ls /var/qmail/boot | tr '\\n' ' '") == (
        "binm1 binm1+df binm2 binm2+df binm3 binm3+df home home+df proc proc+df "
    )
    boot(reader, "home")
    reader.inject("steve", "to a user")
    box = reader.sees("/home/steve/Mailbox", "Subject: to a user")
    assert box.startswith("From steve@mail.example.com ")
    assert reader.types("stat -c '%U %a' /home/steve/Mailbox") == "steve 600\n"


def test_each_program_is_the_user_that_it_should_be(reader: Machine) -> None:
    running = {name: user for user, name, _ in reader.processes()}
    wanted = {
        "qmail-send": "qmails", "qmail-clean": "qmailq", "qmail-rspawn": "qmailr", "qmail-lspawn": "root",
        "splogger": "qmaill", "qmail-queued": "qmailq",
    }  # fmt: skip
    assert {name: running.get(name) for name in wanted} == wanted


def test_the_log_goes_to_syslog_under_the_name_qmail(reader: Machine) -> None:
    log = reader.sees("/var/log/syslog.chapter", "delivery 1: success: did_1+0+0/")
    assert " qmail: " in log
    assert "starting delivery 1: msg" in log


@pytest.mark.parametrize("name", NEEDED)
def test_an_alias_sends_its_mail_on(reader: Machine, name: str) -> None:
    reader.inject(name.upper(), f"to {name}")
    reader.sees("/home/steve/Mailbox", f"Subject: to {name}")


def test_an_empty_alias_is_delivered_by_default_where_nobody_reads(reader: Machine) -> None:
    reader.types("touch ~alias/.qmail-nobodyreads; chmod 644 ~alias/.qmail-nobodyreads")
    reader.inject("nobodyreads", "to an empty file")
    reader.sees("/var/qmail/alias/Mailbox", "Subject: to an empty file")


def test_capitals_in_the_name_of_an_alias_hide_it(reader: Machine) -> None:
    reader.types("echo mary > ~alias/.qmail-Boss")
    reader.inject("Boss", "to capitals")
    reader.sees("/home/steve/Mailbox", "Sorry, no mailbox here by that name.")


def test_lines_are_instructions_relative_to_the_users_home(reader: Machine) -> None:
    reader.types(
        "mkdir -p ~/Maildir && for part in tmp new cur; do mkdir Maildir/$part; done", user="mary", cwd="/home/mary"
    )
    reader.writes("/home/mary/.qmail", "./Maildir/\n./Another\n|pwd > where; id -un >> where\n")
    reader.inject("mary", "three ways")
    reader.sees_in("/home/mary/Maildir/new", "Subject: three ways")
    reader.sees("/home/mary/Another", "Subject: three ways")
    assert reader.sees("/home/mary/where", "mary\n") == "/home/mary\nmary\n"
    reader.types("rm /home/mary/.qmail")


def test_home_df_follows_a_forward_file(reader: Machine) -> None:
    boot(reader, "home+df")
    reader.types("echo mary > .forward", user="steve", cwd="/home/steve")
    reader.inject("steve", "forwarded")
    reader.sees("/home/mary/Mailbox", "Subject: forwarded")
    assert "Subject: forwarded" not in reader.reads("/home/steve/Mailbox")
    reader.types("rm .forward", user="steve", cwd="/home/steve")
    reader.inject("steve", "not forwarded")
    reader.sees("/home/steve/Mailbox", "Subject: not forwarded")


@pytest.mark.parametrize("script", ["proc", "proc+df"])
def test_procmail_delivers_into_the_spool(reader: Machine, script: str) -> None:
    boot(reader, script)
    reader.inject("steve", f"by {script}")
    box = reader.sees("/var/mail/steve", f"Subject: by {script}")
    assert box.startswith("From steve@mail.example.com ")


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("binm1", "-f steve@mail.example.com -d steve"),
        ("binm2", "-r steve@mail.example.com -d steve"),
        ("binm3", "-f steve@mail.example.com -d steve"),
    ],
)
@pytest.mark.parametrize("forward", ["", "+df"])
def test_binmail_is_told_who_and_gets_the_message(reader: Machine, script: str, arguments: str, forward: str) -> None:
    # Debian has none of the three: a program in their place keeps what it is told.
    for path in ("/usr/libexec/mail.local", "/bin/mail"):
        reader.types(f"mkdir -p /usr/libexec; rm -f {path}")
        reader.writes(path, '#!/bin/sh\n{ echo "$0 $*"; cat; } >> spool\n', "755")
    boot(reader, script + forward)
    reader.inject("steve", f"by {script}{forward}")
    spool = reader.sees("/home/steve/spool", f"Subject: by {script}{forward}")
    assert f"{'mail.local' if script == 'binm1' else '/bin/mail'} {arguments}\nReturn-Path: " in spool
    if forward:
        reader.types("echo mary > .forward", user="steve", cwd="/home/steve")
        reader.inject("steve", f"forwarded by {script}")
        reader.sees("/home/mary/spool", f"Subject: forwarded by {script}")
        reader.types("rm .forward", user="steve", cwd="/home/steve")


# Basic Configuration


def test_bare_names_are_completed(reader: Machine) -> None:
    boot(reader, "home")
    seen = reader.types("/var/qmail/bin/qmail-inject -n", stdin="To: steve, a@host, b@c.d+\n\n")
    assert "steve@mail.example.com" in seen
    assert "a@host.example.com" in seen
    assert "b@c.d.example.com" in seen


@pytest.mark.parametrize("last", [True, False])
def test_routes_go_to_the_name_that_fits_best_whatever_their_order(reader: Machine, last: bool) -> None:
    if last:
        sink(reader, "direct", "1.2.3.4:25")
        sink(reader, "isp", "127.0.0.3:25")
        sink(reader, "isp1000", "127.0.0.3:1000")
    lines = ["somewhere.com:[1.2.3.4]", ".somewhere.com:mail.isp.com", ":mail.isp.com:1000"]
    reader.writes("/var/qmail/control/smtproutes", "\n".join(lines if last else lines[::-1]) + "\n")
    tag = "last" if last else "first"
    for address, where in (
        ("x@somewhere.com", "direct"),
        ("x@here.somewhere.com", "isp"),
        ("x@over.there.somewhere.com", "isp"),
        ("x@anything.example.org", "isp1000"),
    ):
        reader.inject(address, f"{tag} to {address}")
        kept = reader.sees_in("/var/sink", f"Subject: {tag} to {address}")
        assert kept == reader.sees_in(f"/var/sink/{where}", f"Subject: {tag} to {address}")
        assert f"X-Rcpt-Args: <{address}>" in kept


def test_a_wildcard_in_locals_covers_nothing(reader: Machine) -> None:
    reader.types("echo .mail.example.com >> /var/qmail/control/locals")
    boot(reader, "home")
    reader.inject("steve@sub.mail.example.com", "to below")
    reader.sees_in("/var/sink/isp1000", "Subject: to below")
    reader.types("sed -i /^[.]/d /var/qmail/control/locals")
    boot(reader, "home")


def test_mini_qmail_hands_everything_to_one_host(reader: Machine) -> None:
    reader.types("mkdir -p /mini/bin /mini/control; cp /var/qmail/bin/qmail-inject /mini/bin/")
    reader.types("cp /var/qmail/bin/qmail-qmqpc /mini/bin/; ln -s qmail-qmqpc /mini/bin/qmail-queue")
    reader.types(
        "cd /mini/control; echo mini.example.com > me; echo 127.0.0.1 > qmqpservers; echo example.com > defaultdomain"
    )
    reader.types_in_background("/var/qmail/bin/tcpserver -RHl0 127.0.0.1 628 /var/qmail/bin/qmail-qmqpd &")
    reader.listens(628)
    reader.types(
        "/mini/bin/qmail-inject -fmini@mini.example.com steve@mail.example.com",
        stdin="Subject: by mini-qmail\n\nhello\n",
    )
    reader.sees("/home/steve/Mailbox", "Subject: by mini-qmail")
    end(reader, "tcpserver")


def test_qmail_remote_takes_a_message_alone(reader: Machine) -> None:
    command = """PATH=/var/qmail/bin:$PATH; echo message | qmail-remote \\
smtp.example.com sender@example.com recipient@example.com"""
    reader.writes("/var/qmail/control/smtproutes", "elsewhere.example:\n")
    # The server of this test is this machine itself, to which mail is never sent without a route.
    assert reader.types(command).startswith("DSorry. ")
    reader.writes("/var/qmail/control/smtproutes", "smtp.example.com:[127.0.0.4]\n")
    sink(reader, "alone", "127.0.0.4:25")
    said = reader.types(command)
    assert said.startswith("r\0K127.0.0.4 accepted message.")
    assert "recipient@example.com" in reader.sees_in("/var/sink/alone", "message")
    end(reader, "smtp-sink")


# qmail-smtpd


def test_qmail_smtpd_talks_to_a_terminal(reader: Machine) -> None:
    lines = ["EHLO x", "MAIL FROM:<>", "RCPT TO:<steve@mail.example.com>", "DATA"]
    talk = "\r\n".join([*lines, "Subject: typed", "", "hello", ".", "QUIT", ""])
    said = reader.types("/var/qmail/bin/qmail-smtpd", stdin=talk)
    assert said.startswith("220 mail.example.com ESMTP")
    assert "250 ok " in said
    reader.sees("/home/steve/Mailbox", "Subject: typed")
    said = reader.types("/var/qmail/bin/qmail-smtpd", stdin=talk.replace("hello\r\n", "hello\n"), code=1)
    assert "451 See https://cr.yp.to/docs/smtplf.html." in said


def test_inetd_starts_it_through_tcp_env(reader: Machine) -> None:
    reader.writes(
        "/etc/inetd.conf",
        "smtp stream tcp nowait qmaild /var/qmail/bin/tcp-env tcp-env /var/qmail/bin/qmail-smtpd\n",
    )
    reader.types_in_background("/usr/sbin/inetd -i /etc/inetd.conf &")
    reader.listens()
    mail(reader, "through inetd", "steve@mail.example.com", "192.168.1.3")
    assert "(HELO mail.example.com) (192.168.1.3)" in reader.sees("/home/steve/Mailbox", "Subject: through inetd")
    assert "from laptop.example.com" in reader.reads("/home/steve/Mailbox")
    end(reader, "inetd")


# ucspi-tcp; the chapter names tcpserver before it says how it is installed


def test_ucspi_tcp_is_installed_with_make_setup_check(reader: Machine) -> None:
    reader.types("make packages")
    reader.types(f"tar xzf {TOP}/build/ucspi-tcp-0.88.tar.gz", cwd="/usr/local/src")
    assert "has the programs of ucspi-tcp" in reader.types("make setup check", cwd="/usr/local/src/ucspi-tcp-0.88")
    assert reader.types("readlink -f $(which tcpserver)") == "/var/qmail/bin/tcpserver\n"


def test_tcpserver_serves_as_printed(reader: Machine) -> None:
    reader.types_in_background(
        """tcpserver -u `id -u qmaild` -g `id -g qmaild` \\
0 smtp /var/qmail/bin/qmail-smtpd &"""
    )
    reader.listens()
    mail(reader, "through tcpserver", "steve@mail.example.com", "192.168.1.3")
    reader.sees("/home/steve/Mailbox", "Subject: through tcpserver")
    assert {user for user, _, args in reader.processes() if "tcpserver" in args} == {"qmaild"}


def test_a_stranger_may_not_relay(reader: Machine) -> None:
    assert "553 sorry, that domain isn't in my list of allowed rcpthosts" in mail(
        reader, "relayed", "x@far.example.org", "192.168.1.3", code=24
    )


def test_a_wildcard_in_rcpthosts_covers_what_is_below_alone(reader: Machine) -> None:
    reader.types("echo .below.example >> /var/qmail/control/rcpthosts")
    mail(reader, "below", "x@a.below.example", "192.168.1.3")
    mail(reader, "not below", "x@below.example", "192.168.1.3", code=24)
    reader.types("sed -i /^[.]/d /var/qmail/control/rcpthosts")


def test_without_rcpthosts_nothing_is_relayed(reader: Machine) -> None:
    reader.types("mv /var/qmail/control/rcpthosts /var/qmail/rcpthosts")
    mail(reader, "relayed", "x@far.example.org", "192.168.1.3", code=24)
    reader.types("mv /var/qmail/rcpthosts /var/qmail/control/rcpthosts")
    end(reader, "tcpserver")


RULES = """192.168.1.2:deny
192.168.1.:allow,RELAYCLIENT=""
=www.example.com:allow,RELAYCLIENT=""
=:allow
:deny
"""


def test_rules_decide_who_may_connect_and_relay(reader: Machine) -> None:
    reader.writes("/etc/tcp.smtp", RULES)
    reader.types("tcprules /etc/tcp.smtp.cdb /etc/tcp.smtp.tmp < /etc/tcp.smtp")
    reader.writes("/var/qmail/control/smtproutes", ":mail.isp.com:1000\n")
    sink(reader, "isp1000", "127.0.0.3:1000")
    reader.types_in_background(
        """tcpserver -u `id -u qmaild` -g `id -g qmaild` \\
-x /etc/tcp.smtp.cdb \\
0 smtp /var/qmail/bin/qmail-smtpd &"""
    )
    reader.listens()
    denied(reader, "192.168.1.2")
    mail(reader, "relayed for a network", "x@far.example.org", "192.168.1.3")
    reader.sees_in("/var/sink/isp1000", "Subject: relayed for a network")
    mail(reader, "relayed for a name", "x@far.example.org", "10.1.1.1")
    reader.sees_in("/var/sink/isp1000", "Subject: relayed for a name")
    mail(reader, "from a name", "steve@mail.example.com", "10.1.1.2")
    reader.sees("/home/steve/Mailbox", "Subject: from a name")
    mail(reader, "relayed", "x@far.example.org", "10.1.1.2", code=24)
    denied(reader, "10.1.1.3")
    end(reader, "tcpserver")
    end(reader, "smtp-sink")


def test_the_order_of_rules_means_nothing_and_tcprules_says_so(reader: Machine) -> None:
    said = reader.types("tcprules /tmp/x.cdb /tmp/x.tmp", stdin=":deny\n192.168.1.:allow\n")
    assert "warning" in said
    said = reader.types("TCPREMOTEIP=192.168.1.9 tcprulescheck /tmp/x.cdb")
    assert "allow connection" in said


# daemontools


def test_daemontools_is_installed_as_printed(reader: Machine) -> None:
    reader.writes("/etc/inittab", "id:3:initdefault:\n")
    reader.types("mkdir -p /package")
    reader.types("chmod 1755 /package")
    reader.types(f"cp {TOP}/build/daemontools-0.76.tar.gz .", cwd="/package")  # in place of wget
    reader.types("tar xzvf daemontools-0.76.tar.gz", cwd="/package")
    reader.types("rm daemontools-0.76.tar.gz", cwd="/package")
    for _ in range(2):
        reader.types("./package/install", cwd="/package/admin/daemontools-0.76")
    assert reader.reads("/etc/inittab") == "id:3:initdefault:\nSV:123456:respawn:/command/svscanboot\n"
    assert (
        reader.types("stat -c %a /package; readlink /command/svc") == "1755\n/package/admin/daemontools/command/svc\n"
    )
    assert reader.types("ls -d /service; readlink -f $(which setuidgid)") == "/service\n/var/qmail/bin/setuidgid\n"
    reader.types_in_background("$(sed -n 's/^SV:123456:respawn://p' /etc/inittab) &")  # as init does
    reader.waits_for("pgrep -x svscan")


# Using svscan


def test_multilog_says_that_its_directory_cannot_be_made(reader: Machine) -> None:
    said = reader.types("setuidgid qmaill multilog t /var/log/qmail/qmail-send/", code=111)
    assert "multilog: fatal: unable to " in said
    assert "/var/log/qmail/qmail-send" in said
    # What the chapter leaves out:
    reader.types("mkdir -p /var/log/qmail/qmail-send /var/log/qmail/smtpd; chown qmaill /var/log/qmail/*")


def test_the_delivery_service_runs_and_logs_as_printed(reader: Machine) -> None:
    end(reader, "qmail-send")
    reader.types("mkdir -p /var/qmail/supervise/qmail-send/log")
    reader.writes(
        "/var/qmail/supervise/qmail-send/run",
        """#!/bin/sh
exec env - PATH="/var/qmail/bin:$PATH" \\
qmail-start ./Mailbox
""",
        "755",
    )
    reader.writes(
        "/var/qmail/supervise/qmail-send/log/run",
        """#!/bin/sh
exec setuidgid qmaill multilog t /var/log/qmail/qmail-send/
""",
        "755",
    )
    reader.types("ln -s /var/qmail/supervise/qmail-send /service/qmail-send")
    reader.types("kill -HUP $(pgrep -x svscan)")  # spares the wait of up to five seconds
    reader.sees("/var/log/qmail/qmail-send/current", "status: local 0/10 remote 0/20")
    assert reader.types("stat -c %U /var/log/qmail/qmail-send/current") == "qmaill\n"
    assert ("qmaill", "multilog") in [(user, name) for user, name, _ in reader.processes()]
    reader.inject("steve", "by a service")
    reader.sees("/home/steve/Mailbox", "Subject: by a service")


SMTPD = """#!/bin/sh
QUID=`id -u qmaild`
QGID=`id -g qmaild`
LOCAL=`head -1 /var/qmail/control/me`
if [ ! f /var/qmail/control/rcpthosts ]; then
echo "Without a rcpthosts file, qmail is an open relay."
echo "Open relays are spammer havens."
echo "Please use a rcpthosts file."
exit 1
fi
exec tcpserver -R -l "$LOCAL" -H \\
-x /etc/tcp.smtp.cdb \\
-u "$QUID" -g "$QGID" \\
0 smtp \\
/var/qmail/bin/qmail-smtpd 2>&1
"""


def test_a_log_cannot_be_written_by_a_group(reader: Machine) -> None:
    said = reader.types("setuidgid qmail multilog t /var/log/qmail/smtpd/", code=111)
    assert said == "setuidgid: fatal: unknown account qmail (there is a group of this name)\n"


def test_the_guard_of_the_printed_script_never_guards_and_is_mended_by_a_dash(reader: Machine) -> None:
    guard, _, _ = SMTPD.partition("exec tcpserver")
    reader.types("mv /var/qmail/control/rcpthosts /var/qmail/rcpthosts")
    assert "Without a rcpthosts file" not in reader.types(guard)
    said = reader.types(guard.replace("! f", "! -f"), code=1)
    assert said.startswith("Without a rcpthosts file, qmail is an open relay.\n")
    reader.types("mv /var/qmail/rcpthosts /var/qmail/control/rcpthosts")


def test_the_smtp_service_runs_as_printed(reader: Machine) -> None:
    reader.types("mkdir -p /var/qmail/supervise/smtpd/log")
    reader.writes("/var/qmail/supervise/smtpd/run", SMTPD, "644")
    reader.writes(
        "/var/qmail/supervise/smtpd/log/run",
        "#!/bin/sh\nexec setuidgid qmaill multilog t /var/log/qmail/smtpd/\n",  # printed: setuidgid qmail
        "644",
    )
    reader.types("chmod +x /var/qmail/supervise/smtpd/run")
    reader.types("chmod +x /var/qmail/supervise/smtpd/log/run")
    reader.types("ln -s /var/qmail/supervise/smtpd /service/qmail-smtpd")
    reader.types("kill -HUP $(pgrep -x svscan)")
    reader.waits_for("svstat /service/qmail-smtpd | grep ' up '")
    reader.listens()
    mail(reader, "by the smtp service", "steve@mail.example.com", "192.168.1.3")
    reader.sees("/home/steve/Mailbox", "Subject: by the smtp service")
    assert "seconds" in reader.types("svstat /service/qmail-smtpd")


def test_with_H_the_rules_for_names_are_dead_and_tcpserver_says_so(reader: Machine) -> None:
    denied(reader, "10.1.1.2")
    assert "=" in reader.sees("/var/log/qmail/smtpd/current", "warning")


def test_svc_d_stops_and_u_starts_a_service(reader: Machine) -> None:
    reader.types("svc -d /service/qmail-smtpd")
    reader.waits_for("svstat /service/qmail-smtpd | grep ' down '")
    mail(reader, "to nobody", "steve@mail.example.com", "192.168.1.3", code=2)
    reader.types("svc -u /service/qmail-smtpd")
    reader.waits_for("svstat /service/qmail-smtpd | grep ' up '")


@pytest.mark.parametrize("letter", ["t", "k"])
def test_svc_t_and_k_end_what_is_started_again(reader: Machine, letter: str) -> None:
    ask = "svstat /service/qmail-smtpd | sed -n 's/.*pid \\([0-9]*\\)).*/\\1/p'"
    before = reader.types(ask)
    reader.types(f"svc -{letter} /service/qmail-smtpd")
    wait_until(lambda: reader.types(ask) not in ("\n", "", before))


def test_svc_h_has_locals_read_again(reader: Machine) -> None:
    reader.types("echo new.example.com >> /var/qmail/control/locals")
    reader.types("svc -h /service/qmail-send")
    wait_until(lambda: _is_local(reader))
    reader.types("sed -i /^new/d /var/qmail/control/locals; svc -h /service/qmail-send")


def _is_local(reader: Machine) -> bool:
    reader.inject("steve@new.example.com", "to a new name")
    return "Subject: to a new name" in reader.reads("/home/steve/Mailbox")


def test_TERM_lets_a_delivery_finish(reader: Machine) -> None:
    reader.types("echo '|touch began; while [ ! -e end ]; do sleep 0.1; done; touch ended' > .qmail-slow", user="steve",
                 cwd="/home/steve")  # fmt: skip
    reader.inject("steve-slow", "slowly")
    reader.waits_for("test -e /home/steve/began")
    reader.types("svc -d /service/qmail-send")
    assert " up " in reader.types("svstat /service/qmail-send")
    reader.types("touch /home/steve/end")
    reader.waits_for("svstat /service/qmail-send | grep ' down '")
    assert reader.types("ls /home/steve/ended") == "/home/steve/ended\n"
    assert "exitasap" in reader.reads("/var/log/qmail/qmail-send/current")
    reader.types("svc -u /service/qmail-send")


def test_a_down_file_keeps_a_service_from_starting(reader: Machine) -> None:
    reader.types("mkdir -p /var/qmail/supervise/idle; touch /var/qmail/supervise/idle/down")
    reader.writes("/var/qmail/supervise/idle/run", "#!/bin/sh\nexec sleep 1000\n", "755")
    reader.types("ln -s /var/qmail/supervise/idle /service/idle; kill -HUP $(pgrep -x svscan)")
    reader.waits_for("svok /service/idle")
    assert " down " in reader.types("svstat /service/idle")


# The Overall Structure of Qmail


def test_a_program_may_stand_between_tcpserver_and_qmail_smtpd(reader: Machine) -> None:
    reader.writes("/usr/local/bin/setsize", '#!/bin/sh\nDATABYTES=10; export DATABYTES; exec "$@"\n', "755")
    reader.types_in_background("tcpserver -RHl0 127.0.0.1 2525 setsize /var/qmail/bin/qmail-smtpd &")
    reader.listens(2525)
    said = reader.types("swaks --server 127.0.0.1:2525 --to steve@mail.example.com --from x@y.example", code=26)
    assert "552 " in said


def test_a_program_may_stand_between_qmail_smtpd_and_qmail_queue(reader: Machine) -> None:
    reader.writes(
        "/usr/local/bin/filter",
        "#!/bin/sh\nsed 's/^Subject: .*/Subject: filtered/' | /var/qmail/bin/qmail-queue\n",
        "755",
    )
    reader.types_in_background(
        "QMAILQUEUE=/usr/local/bin/filter tcpserver -RHl0 127.0.0.1 2526 /var/qmail/bin/qmail-smtpd &"
    )
    reader.listens(2526)
    reader.types("swaks --server 127.0.0.1:2526 --to steve@mail.example.com --from x@y.example")
    reader.sees("/home/steve/Mailbox", "Subject: filtered")


def test_qmail_doctor_names_what_the_chapter_misleads_to(reader: Machine) -> None:
    reader.types("echo .mail.example.com >> /var/qmail/control/locals")
    reader.types("sed -i 's/setuidgid qmaill/setuidgid qmail/' /var/qmail/supervise/smtpd/log/run")
    said = reader.types("/var/qmail/bin/qmail doctor", code=1)
    for finding in (
        "control/locals has `.mail.example.com`: there are no wildcards in it",
        "/var/qmail/alias/.qmail-nobodyreads is empty",
        "setuidgid qmail: qmail is a group, not a user",
        "/etc/tcp.smtp.cdb has rules for host names (=",
        "`[ ! f FILE ]` lacks a hyphen",
    ):
        assert finding in said
    assert "port 25" not in said  # the rules hang up on this machine itself
    reader.types("sed -i /^[.]/d /var/qmail/control/locals")


def test_nothing_stays_in_the_queue(reader: Machine) -> None:
    reader.types("rm -f /var/qmail/control/smtproutes")
    reader.waits_for("/var/qmail/bin/qmail-qstat | grep -x 'messages in queue: 0'")
