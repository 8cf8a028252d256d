"""What does a sysctl that failed mean for its caller?"""

from __future__ import annotations

import errno
import os

from kvm_exporter.kvm.errors import AccessDenied, KvmError, ProcessGone, Unsupported

_MEANINGS: dict[int, type[KvmError]] = {
    errno.EPERM: AccessDenied,
    errno.EACCES: AccessDenied,
    errno.ESRCH: ProcessGone,
    errno.ENOENT: Unsupported,
    errno.EOPNOTSUPP: Unsupported,
}


def refused(error: OSError, what: str, remedy: str = "") -> KvmError:
    """The KvmError for an errno of sysctl(3); ``remedy`` says which privilege would help.

    EPERM and EACCES are AccessDenied, ESRCH is ProcessGone (which is also how the kernel hides
    processes, security(7) see_other_uids), ENOENT is Unsupported; the rest is a plain KvmError.
    Raise it ``from error``: the errno stays with the cause.
    """
    number = error.errno or 0
    kind = _MEANINGS.get(number, KvmError)
    help_text = f"; {remedy}" if remedy and kind is AccessDenied else ""
    return kind(f"{what}: {os.strerror(number)}{help_text}")
