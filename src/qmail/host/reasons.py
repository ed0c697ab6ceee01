"""What the kernel's refusals are called in messages: `file does not exist`, `address already used`.

The wording of ucspi-tcp and daemontools, which logs and scripts have matched for decades, and which
does not change with the locale or the C library.
"""

from __future__ import annotations

import errno
import os

_WORDS = {
    errno.EINTR: b"interrupted system call",
    errno.ENOMEM: b"out of memory",
    errno.ENOENT: b"file does not exist",
    errno.ETXTBSY: b"text busy",
    errno.EIO: b"input/output error",
    errno.EEXIST: b"file already exists",
    errno.ETIMEDOUT: b"timed out",
    errno.EINPROGRESS: b"operation in progress",
    errno.EAGAIN: b"temporary failure",
    errno.EPIPE: b"broken pipe",
    errno.EPERM: b"permission denied",
    errno.EACCES: b"access denied",
    errno.ENXIO: b"device not configured",
    errno.EPROTO: b"protocol error",
    errno.EISDIR: b"is a directory",
    errno.ESRCH: b"no such process",
    errno.E2BIG: b"argument list too long",
    errno.ENOEXEC: b"exec format error",
    errno.EBADF: b"file descriptor not open",
    errno.ECHILD: b"no child processes",
    errno.EDEADLK: b"operation would cause deadlock",
    errno.EFAULT: b"bad address",
    errno.ENOTBLK: b"not a block device",
    errno.EBUSY: b"device busy",
    errno.EXDEV: b"cross-device link",
    errno.ENODEV: b"device does not support operation",
    errno.ENOTDIR: b"not a directory",
    errno.EINVAL: b"invalid argument",
    errno.ENFILE: b"system cannot open more files",
    errno.EMFILE: b"process cannot open more files",
    errno.ENOTTY: b"not a tty",
    errno.EFBIG: b"file too big",
    errno.ENOSPC: b"out of disk space",
    errno.ESPIPE: b"unseekable descriptor",
    errno.EROFS: b"read-only file system",
    errno.EMLINK: b"too many links",
    errno.EALREADY: b"operation already in progress",
    errno.ENOTSOCK: b"not a socket",
    errno.EDESTADDRREQ: b"destination address required",
    errno.EMSGSIZE: b"message too long",
    errno.EPROTOTYPE: b"incorrect protocol type",
    errno.ENOPROTOOPT: b"protocol not available",
    errno.EPROTONOSUPPORT: b"protocol not supported",
    errno.ESOCKTNOSUPPORT: b"socket type not supported",
    errno.EOPNOTSUPP: b"operation not supported",
    errno.EPFNOSUPPORT: b"protocol family not supported",
    errno.EAFNOSUPPORT: b"address family not supported",
    errno.EADDRINUSE: b"address already used",
    errno.EADDRNOTAVAIL: b"address not available",
    errno.ENETDOWN: b"network down",
    errno.ENETUNREACH: b"network unreachable",
    errno.ENETRESET: b"network reset",
    errno.ECONNABORTED: b"connection aborted",
    errno.ECONNRESET: b"connection reset",
    errno.ENOBUFS: b"out of buffer space",
    errno.EISCONN: b"already connected",
    errno.ENOTCONN: b"not connected",
    errno.ESHUTDOWN: b"socket shut down",
    errno.ECONNREFUSED: b"connection refused",
    errno.ELOOP: b"symbolic link loop",
    errno.ENAMETOOLONG: b"file name too long",
    errno.EHOSTDOWN: b"host down",
    errno.EHOSTUNREACH: b"host unreachable",
    errno.ENOTEMPTY: b"directory not empty",
    errno.EUSERS: b"too many users",
    errno.EDQUOT: b"disk quota exceeded",
    errno.ENOLCK: b"no locks available",
    errno.ENOSYS: b"system call not available",
}


def reason(error: OSError) -> bytes:
    """The words for an error, lower case, without a full stop. Errors of our own, number 0, bring theirs."""
    if error.errno == 0:
        return os.fsencode(error.strerror or "")
    return _WORDS.get(error.errno or 0, b"unknown error")
