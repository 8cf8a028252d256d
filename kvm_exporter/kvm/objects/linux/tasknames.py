"""What is a thread called?  Its comm; a kernel thread's name may be longer than fits there.

1. A worker of a workqueue is called after what it does or did last, behind a ``+`` or a ``-``
   (wq_worker_comm(), since 4.18).  Before that comes its comm, since 6.10 all of its name
   (2a1b02bcba78); one that ends has left its pool, which a rescuer has only while it helps.
2. Another kernel thread with a long name has it whole since 5.17 (get_kthread_comm(),
   d6986ce24fc0).
3. What tells a kernel thread's own struct is worker_private, until 5.17 set_child_tid.

Sources: proc_task_name() in fs/proc/array.c, kernel/kthread.c, kernel/workqueue.c.
"""

from __future__ import annotations

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.structs import Struct, Values
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.flatten import constants

PF_WQ_WORKER, PF_KTHREAD = 0x20, 0x200000
"""include/linux/sched.h"""

LONGEST = 63
"""Bytes of a name in /proc."""

DYING = b"kworker/dying"


class TaskNames:
    """Names of ``target``'s threads."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._kthread = Struct(target, "struct kthread", ("data", "full_name"))
        members = ("pool", "rescue_wq", "current_work", "desc[]")
        self._worker = Struct(target, "struct worker", members)
        self._whole = _has_whole_names(target)

    def of(self, comm: bytes, flags: int, kthread: int) -> str:
        """From members of struct task_struct; its comm where the rest cannot be read."""
        name = comm.partition(b"\0")[0]
        if flags & PF_KTHREAD and kthread:
            name = self._of_kernel(name, flags, kthread)
        return name.decode("utf-8", "surrogateescape")

    def _of_kernel(self, comm: bytes, flags: int, kthread: int) -> bytes:
        row = self._kthread.values(kthread)
        if row is None:
            return comm
        if not flags & PF_WQ_WORKER:
            return self._text(row["full_name"]) or comm
        worker = self._worker.values(row["data"]) if row["data"] else None
        if worker is None:
            return comm
        if self._whole:
            leaving = not worker["pool"] and not worker["rescue_wq"]
            comm = DYING if leaving else self._text(row["full_name"]) or comm
        return (comm + _work(worker))[:LONGEST]

    def _text(self, address: int) -> bytes:
        if not address:
            return b""
        try:
            return self._target.memory.read(address, LONGEST).partition(b"\0")[0]
        except KvmError:
            self._target.tally.add("struct kthread", None)
            return b""


def _work(worker: Values) -> bytes:
    """What a worker does, or did."""
    if not worker["pool"] or "desc" not in worker:
        return b""
    done = bytes(worker["desc"]).partition(b"\0")[0]
    return done and (b"+" if worker["current_work"] else b"-") + done


def _has_whole_names(target: Target) -> bool:
    """Whether there is a constant for how long they are."""
    try:
        return "WORKER_ID_LEN" in constants(target.types, "enum wq_internal_consts")
    except KvmError:
        return False
