"""Where are the types of a Linux kernel's modules?  In its memory, or shown in /sys/kernel/btf.

1. The kernel keeps a copy of each module's BTF (btf_module_notify() in kernel/bpf/btf.c, since
   Linux 5.11): ``btf_modules`` is a list of ``struct btf_module``, whose ``struct btf`` has
   ``data``.  What ``struct module`` has is gone once the module is loaded.
2. A module's types continue the kernel's.  A module that is damaged, or has just gone, costs its
   own types only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.memory import Memory
from kvm_exporter.kvm.source import File
from kvm_exporter.kvm.types.btf import BtfTypes
from kvm_exporter.kvm.types.btf_section import LARGEST
from kvm_exporter.kvm.types.flatten import composite, member_offset
from kvm_exporter.kvm.types.view import View

MOST_MODULES = 1 << 14
MOST_BYTES = 1 << 27
"""Modules, and bytes of all their types, at most."""

VMLINUX = "vmlinux"


def modules_in_memory(memory: Memory, abi: Abi, kernel: BtfTypes, head: int) -> Iterator[BtfTypes]:
    """The types of each module in the list that starts at ``head`` (``btf_modules``)."""
    link = member_offset(kernel, "struct btf_module", "list") or 0
    struct = composite(kernel, "struct btf_module")
    seen, left = {head}, MOST_BYTES
    at = int(View(memory, abi, kernel.find("struct list_head"), head)["next"])
    while at not in seen and len(seen) < MOST_MODULES:
        seen.add(at)
        module = View(memory, abi, struct, at - link)
        with contextlib.suppress(KvmError):
            data = _data(memory, module, left)
            left -= len(data)
            yield BtfTypes(data, kernel)
        at = int(module["list.next"])


def _data(memory: Memory, module: View, most: int) -> bytes:
    btf = module["btf"].deref()
    address, size = int(btf["data"]), int(btf["data_size"])
    if size > most:
        raise FormatError(f"{btf!r} has {size} bytes of types")
    return memory.read(address, size)


def modules_in(folder: str, kernel: BtfTypes) -> Iterator[BtfTypes]:
    """The types of each module in ``folder`` (/sys/kernel/btf)."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names[:MOST_MODULES]:
        if name == VMLINUX:
            continue
        with contextlib.suppress(KvmError), File(os.path.join(folder, name)) as file:
            yield BtfTypes(file.read(0, min(file.size, LARGEST + 1)), kernel)
