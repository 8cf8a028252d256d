"""Where are kvm(3)'s own names?  Here, with its return codes and kvm_geterr texts.

A program written against libkvm reads the same in Python, by these rules:

1. A function returns what C's returns: counts, 0 and -1 (None for NULL).  kvm_geterr then has
   libkvm's text, or one that says more.  It is the text of the last call, empty if that one
   succeeded; libkvm leaves an old one there.
2. Buffers that C fills are Python's, filled in place from their start: a ``list`` for
   kvm_getloadavg, kvm_getcptime, kvm_getswapinfo and errbuf (of one string), a ``bytearray`` or
   ``memoryview`` for kvm_read.  Lists grow as needed.  Structs have C's member names: Nlist,
   KvmSwap, KvmPage.
3. What C allocates and counts comes back as a list: kvm_getprocs, kvm_getargv, kvm_getenvv and
   kvm_getfiles have no ``cnt``.  It is the caller's own, and no later call changes it.
4. A process is a Process (objects/model.py) with units in its names, not a struct kinfo_proc; a
   descriptor of kvm_getfiles is an OpenFile; a struct pcpu of kvm_getpcpu is its bytes.
5. A core that is no device of the running kernel is a crash dump: of a FreeBSD or a Linux of any
   architecture, on any machine, and it answers all that a running kernel does.  No resolver is
   needed for it.  ``execfile`` None looks in /boot for a FreeBSD's kernel; a Linux's dump needs no
   file.
6. Unsupported is raised for nothing but what Linux has not, where an error code would pass for an
   answer: kvm_getpcpu, kvm_dpcpu_setcpu, kvm_read_zpcpu and kvm_counter_u64_fetch, which need
   FreeBSD's symbols; kvm_kerndisp and kvm_getmaxcpu of a running one, but not of its dump.
7. On FreeBSD kvm_open opens /dev/mem and /dev/kmem, and fails without the privilege, as C does;
   ``/dev/null`` as the core needs none.  On Linux only a core that is named is tried.

>>> kd = kvm_openfiles(None, "/dev/null", None, O_RDONLY, errbuf := [])
>>> kvm_getloadavg(kd, load := [0.0] * 3, 3)
3
>>> kvm_close(kd)
0
"""

from __future__ import annotations

from os import O_RDONLY, O_RDWR

from kvm_exporter.kvm.libkvm.accounting import (
    KERN_PROC_INC_THREAD,
    SWIF_DEV_PREFIX,
    SWIF_DUMP_TREE,
    KvmSwap,
    kvm_getargv,
    kvm_getcptime,
    kvm_getenvv,
    kvm_getfiles,
    kvm_getloadavg,
    kvm_getprocs,
    kvm_getswapinfo,
)
from kvm_exporter.kvm.libkvm.descriptor import Descriptor
from kvm_exporter.kvm.libkvm.memory import (
    Nlist,
    kvm_nlist,
    kvm_nlist2,
    kvm_read,
    kvm_read2,
    kvm_write,
)
from kvm_exporter.kvm.libkvm.opening import (
    LIBKVM_WALK_PAGES_VERSION,
    KvmPage,
    kvm_close,
    kvm_geterr,
    kvm_kerndisp,
    kvm_native,
    kvm_open,
    kvm_open2,
    kvm_openfiles,
    kvm_walk_pages,
)
from kvm_exporter.kvm.libkvm.percpu import (
    kvm_counter_u64_fetch,
    kvm_dpcpu_setcpu,
    kvm_getmaxcpu,
    kvm_getncpus,
    kvm_getpcpu,
    kvm_read_zpcpu,
)
from kvm_exporter.kvm.objects.model import ProcOp

kvm_t = Descriptor

KERN_PROC_ALL = ProcOp.ALL
KERN_PROC_PID = ProcOp.PID
KERN_PROC_PGRP = ProcOp.PGRP
KERN_PROC_SESSION = ProcOp.SESSION
KERN_PROC_TTY = ProcOp.TTY
KERN_PROC_UID = ProcOp.UID
KERN_PROC_RUID = ProcOp.RUID
KERN_PROC_PROC = ProcOp.PROC
KERN_PROC_RGID = ProcOp.RGID
KERN_PROC_GID = ProcOp.GID

__all__ = [
    "KERN_PROC_ALL",
    "KERN_PROC_GID",
    "KERN_PROC_INC_THREAD",
    "KERN_PROC_PGRP",
    "KERN_PROC_PID",
    "KERN_PROC_PROC",
    "KERN_PROC_RGID",
    "KERN_PROC_RUID",
    "KERN_PROC_SESSION",
    "KERN_PROC_TTY",
    "KERN_PROC_UID",
    "LIBKVM_WALK_PAGES_VERSION",
    "O_RDONLY",
    "O_RDWR",
    "SWIF_DEV_PREFIX",
    "SWIF_DUMP_TREE",
    "KvmPage",
    "KvmSwap",
    "Nlist",
    "kvm_close",
    "kvm_counter_u64_fetch",
    "kvm_dpcpu_setcpu",
    "kvm_getargv",
    "kvm_getcptime",
    "kvm_getenvv",
    "kvm_geterr",
    "kvm_getfiles",
    "kvm_getloadavg",
    "kvm_getmaxcpu",
    "kvm_getncpus",
    "kvm_getpcpu",
    "kvm_getprocs",
    "kvm_getswapinfo",
    "kvm_kerndisp",
    "kvm_native",
    "kvm_nlist",
    "kvm_nlist2",
    "kvm_open",
    "kvm_open2",
    "kvm_openfiles",
    "kvm_read",
    "kvm_read2",
    "kvm_read_zpcpu",
    "kvm_t",
    "kvm_walk_pages",
    "kvm_write",
]
