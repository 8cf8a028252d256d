"""What does the kernel linker keep in memory?  linker_files, with modules of both kinds.

From sys/sys/linker.h, sys/kern/link_elf.c (shared modules) and link_elf_obj.c (relocatable ones).
Both files call their struct ``elf_file``; here the second is ``object_file``, so that a look-up by
name finds the first, as in a kernel's CTF.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from forge import elf
from forge.cdecl import AMD64, Abi
from forge.world import Thing, World

DECLARATIONS = """
struct kobj_ops { void *cache[4]; struct kobj_class *cls; };
struct kobj_class {
    char *name; void *methods; u_long size; void *baseclasses; int refs; void *ops;
};
TAILQ_HEAD(linker_file_list, linker_file);
struct linker_file {
    struct kobj_ops *ops;
    int refs, userrefs, flags;
    TAILQ_ENTRY(linker_file) link;
    char *filename; char *pathname;
    int id;
    void *address; u_long size;
    void *ctors_addr; u_long ctors_size; int ctors_invoked;
    int ndeps; void *deps;
    int loadcnt, nenabled, fbt_nentries;
};
struct elf_file {
    struct linker_file lf;
    int preloaded; void *address; void *dynamic; u_int nbuckets, nchains; void *buckets, *chains;
    void *hash; char *strtab; int strsz; void *symtab; void *got; void *pltrel; int pltrelsize;
    void *pltrela; int pltrelasize; void *rel; int relsize; void *rela; int relasize; void *modptr;
    void *ddbsymtab; long ddbsymcnt; char *ddbstrtab; long ddbstrcnt; void *symbase, *strbase;
    void *ctftab; long ctfcnt; void *ctfoff, *typoff; long typlen;
    u_long pcpu_start, pcpu_stop, pcpu_base, vnet_start, vnet_stop, vnet_base;
};
struct object_file {
    struct linker_file lf;
    int preloaded; void *address; void *object; void *e_shdr; void *progtab; u_int nprogtab;
    void *relatab; u_int nrelatab; void *reltab; int nreltab;
    void *ddbsymtab; long ddbsymcnt; char *ddbstrtab; long ddbstrcnt; char *shstrtab; long shstrcnt;
    void *ctftab; long ctfcnt; void *ctfoff, *typoff; long typlen;
};
struct vnet {
    LIST_ENTRY(vnet) vnet_le;
    u_int vnet_magic_n, vnet_ifcnt, vnet_sockcnt, vnet_state;
    void *vnet_data_mem; u_long vnet_data_base;
};
LIST_HEAD(vnet_list_head, vnet);
"""


class Loaded(NamedTuple):
    """A module; ``symbols`` None means that its table is not in memory.

    ``sections`` maps a section's name to its flags, in the order of their numbers from 1 on, for a
    relocatable module.  ``sets`` are pcpu_start … vnet_base of a shared one.
    """

    name: str
    path: str
    address: int
    size: int
    symbols: Sequence[elf.Sym] | None
    sections: Mapping[str, int] = MappingProxyType({})
    relocatable: bool = True
    sets: tuple[int, ...] = (0, 0, 0, 0, 0, 0)
    ctf: bytes = b""


def load(world: World, modules: Sequence[Loaded]) -> list[Thing]:
    """Fill in linker_files: the kernel, then the modules; each one's struct elf_file."""
    head = world.define("linker_files", "struct linker_file_list", {})
    kernel = Loaded("kernel", "/boot/kernel/kernel", 0x200000, 1 << 24, (), {}, relocatable=False)
    files = [_file(world, number, one) for number, one in enumerate([kernel, *modules], 1)]
    world.tailq(head, files, "lf.link")
    return files


def _file(world: World, number: int, one: Loaded) -> Thing:
    type_ = "struct object_file" if one.relocatable else "struct elf_file"
    bits = world.abi.pointer * 8
    name = f"elf{bits}_obj" if one.relocatable else f"elf{bits}"
    class_ = world.new("struct kobj_class", name=world.text(name), size=world.c.size(type_))
    ops = world.new("struct kobj_ops", cls=class_)
    file = world.new(type_)
    file.put("lf.ops", ops).put("lf.id", number)
    file.put("lf.filename", world.text(one.name)).put("lf.pathname", world.text(one.path))
    file.put("lf.address", one.address).put("lf.size", one.size).put("address", one.address)
    if one.symbols is not None:
        _tables(world, file, one)
    else:
        file.put("ddbsymtab", 0x1000).put("ddbsymcnt", 9)
        file.put("ddbstrtab", 0x2000).put("ddbstrcnt", 99)
    if not one.relocatable:
        names = [f"{name}_{end}" for name in ("pcpu", "vnet") for end in ("start", "stop", "base")]
        for member, value in zip(names, one.sets, strict=True):
            file.put(member, value)
    if one.ctf:
        file.put("ctftab", world.bytes(one.ctf)).put("ctfcnt", 77)
    return file


def _tables(world: World, file: Thing, one: Loaded) -> None:
    bits, order = world.abi.pointer * 8, world.abi.order
    form = elf.Form(bits, order, 0)
    if one.relocatable:
        rows = [
            (0,) * 10,
            *((0, elf.PROGBITS, flags, *(0,) * 7) for flags in one.sections.values()),
        ]
        headers = b"".join(form.pack(elf.SHDR[bits], *row) for row in rows)
        file.put("e_shdr", world.bytes(headers))
    entries, strings = elf.symbol_tables(form, one.sections, one.symbols or ())
    file.put("ddbsymtab", world.bytes(entries)).put("ddbstrtab", world.bytes(strings))
    file.put("ddbsymcnt", len(entries) // elf.SYM_SIZE[bits]).put("ddbstrcnt", len(strings))


def world_with(modules: Sequence[Loaded], abi: Abi = AMD64) -> World:
    """A World with just these modules."""
    world = World(DECLARATIONS, abi)
    load(world, modules)
    return world
