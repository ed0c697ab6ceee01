"""Numbers of system calls that confined processes have no use for, on the machines whose filters we know.

Each row: x86_64, aarch64; -1 where a machine has no such call. Source: the kernel's tables
(arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h).
"""

from __future__ import annotations


class Machine:
    """A machine: its column in the tables, and its number of seccomp(2)."""

    __slots__ = ("column", "seccomp")

    def __init__(self, column: int, seccomp: int) -> None:
        self.column, self.seccomp = column, seccomp


MACHINES = {"x86_64": Machine(0, 317), "aarch64": Machine(1, 277)}

SOCKET = (41, 198)
CLONE = (56, 220)
CLONE3 = (435, 435)

# Running programs, and making processes too.
RUNNING = {"execve": (59, 221), "execveat": (322, 281)}
STARTING = {**RUNNING, "fork": (57, -1), "vfork": (58, -1), "clone": CLONE}

FORBIDDEN = {
    # Other processes' memory and descriptors.
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    # What is mounted where, and other namespaces.
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "move_mount": (429, 429),
    "open_tree": (428, 428), "open_tree_attr": (467, 467), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "unshare": (272, 97),
    "setns": (308, 268), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    # Large parts of the kernel that no mail needs, and where its faults are found.
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "fanotify_init": (300, 262),
    "io_setup": (206, 0), "io_submit": (209, 2), "modify_ldt": (154, -1), "vmsplice": (278, 75),
    "mbind": (237, 235), "set_mempolicy": (238, 237), "migrate_pages": (256, 238), "move_pages": (279, 239),
    "personality": (135, 92), "lookup_dcookie": (212, 18),
    # The machine itself.
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "reboot": (169, 142), "swapon": (167, 224),
    "swapoff": (168, 225), "acct": (163, 89), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "adjtimex": (159, 171), "clock_adjtime": (305, 266), "sethostname": (170, 161), "setdomainname": (171, 162),
    "syslog": (103, 116), "quotactl": (179, 60), "quotactl_fd": (443, 443), "nfsservctl": (180, 42),
    "iopl": (172, -1), "ioperm": (173, -1), "vhangup": (153, 58),
}  # fmt: skip
