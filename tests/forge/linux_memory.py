"""What does a Linux kernel's memory look like to a reader of dumps?  A small one per architecture.

Physical memory with the kernel's page tables, its struct new_utsname, its VMCOREINFO (as text and
as a note, a page each), a direct map, and one process with its own tables.  Nothing else is in it.

Written from arch/*/kernel/{machine_kexec,crash_core,vmcore_info}*.c (which lines each architecture
prints, and how), Documentation/arch/{x86/x86_64/mm,arm64/memory,arm/memory,riscv/vm-layout}.rst,
include/uapi/linux/utsname.h, arch/*/include/asm/pgtable*.h (PROT_NONE, swap entries).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace

from forge.pagetables import FORMS, GB, KB, MB, Form, Page, Ram, build

RELEASE = "6.12.48+deb13-amd64"
NAMES = ("Linux", "forged", RELEASE, "#1 SMP Debian 6.12.48-1")

UTS, TEXT, NOTE = 0x1000, 0x10000, 0x20000
"""Where in the image they lie."""

_4K = ((39, 47), (30, 38), (21, 29), (12, 20))
_16K = ((47, 50), (36, 46), (25, 35), (14, 24))


def _arm64(granule: str, *indices: tuple[int, int]) -> Form:
    """With other bits of the address than FreeBSD has."""
    known = FORMS[granule]
    bits = indices[0][1] + 1
    return replace(known, indices=indices, top=(1 << 64) - (1 << bits))


def _radix_64k(at: int, low: int) -> int:
    """The low five bits are the next table's index size: of 64 KB pages the last has 5 bits."""
    return 1 << 63 | at | (5 if low == 21 else 9)


RADIX_64K = replace(
    FORMS["radix"],
    indices=((39, 51), (30, 38), (21, 29), (16, 20)),
    sizes={64 * KB: 16, 2 * MB: 21, GB: 30},
    table=_radix_64k,
)


def _hashed_page(page: Page) -> int:
    """With H_PAGE_HASHPTE: the hash table has it, too."""
    return 1 << 63 | 1 << 62 | 1 << 55 | page.pa | 0x180 | 0b1100 | (0b10 if page.writable else 0)


def _hashed(name: str, *indices: tuple[int, int]) -> Form:
    """Where the processor has a hash table, Linux has tables beside it: bare addresses."""
    return Form(
        name,
        indices,
        page=_hashed_page,
        table=lambda at, _low: at,
        sizes={1 << indices[-1][0]: indices[-1][0]},
        order="big",
        top=0xC << 60,
    )


HASHED_64K = _hashed("hashed-64k", (44, 51), (34, 43), (24, 33), (16, 23))
HASHED_4K = _hashed("hashed-4k", (37, 45), (28, 36), (21, 27), (12, 20))


@dataclass(frozen=True)
class Row:
    """An architecture's kernel: the virtual address of its image, and of all memory's beginning.

    ``ram``: where physical memory begins.  ``lines``: what only this architecture has in
    VMCOREINFO, with names of addresses to be filled in.  ``apart``: where the tables map the image,
    if they do not have the direct map.
    """

    elf: tuple[int, int, int]
    form: Form
    image: int
    direct: int
    ram: int = 0
    page: int = 4 * KB
    lines: tuple[str, ...] = ()
    user: int = 0x5555_5555_0000
    family: str = "x86"
    apart: int = 0

    @property
    def order(self) -> str:
        return "<" if self.elf[2] == 1 else ">"

    @property
    def bits(self) -> int:
        return 32 * self.elf[1]


X86, I386, ARM64, ARM, PPC, RISCV = (62, 2, 1), (3, 1, 1), (183, 2, 1), (40, 1, 1), 21, (243, 2, 1)
MACHINES = {
    X86: "x86_64",
    I386: "i686",
    ARM64: "aarch64",
    ARM: "armv7l",
    (PPC, 2, 1): "ppc64le",
    (PPC, 2, 2): "ppc64",
    RISCV: "riscv64",
}
"""What uname -m says."""

_X86_LINES = (
    "NUMBER(phys_base)={phys_base}",
    "SYMBOL(init_top_pgt)={root:x}",
    "KERNELOFFSET=1e000000",
    "NUMBER(KERNEL_IMAGE_SIZE)=1073741824",
)
_ARM64_LINES = (
    "NUMBER(kimage_voffset)=0x{voffset:x}",
    "NUMBER(PHYS_OFFSET)=0x{memstart:x}",
    "KERNELOFFSET=1a0000",
    "NUMBER(KERNELPACMASK)=0x0",
)
_X86_IMAGE = 0xFFFF_FFFF_9F00_0000
_RISCV_IMAGE = 0xFFFF_FFFF_8000_0000


def _arm64_row(form: Form, page: int, bits: int, actual: int) -> Row:
    lines = (*_ARM64_LINES, f"NUMBER(VA_BITS)={bits}", f"NUMBER(TCR_EL1_T1SZ)=0x{64 - actual:x}")
    direct = (1 << 64) - (1 << actual)
    image = (1 << 64) - (1 << actual - 1) + 0x800_0000
    family = "arm64-old" if page == 4 * KB else "arm64"
    return Row(ARM64, form, image, direct, 0x4000_0000, page, lines, 0x40_0000, family)


def _riscv_row(name: str, bits: int, direct: int) -> Row:
    lines = (
        f"NUMBER(VA_BITS)={bits}",
        "NUMBER(PAGE_OFFSET)=0x{direct:x}",
        "NUMBER(KERNEL_LINK_ADDR)=0xffffffff80000000",
        "NUMBER(phys_ram_base)=0x{ram:x}",
        "NUMBER(va_kernel_pa_offset)=0x{voffset:x}",
    )
    ram, form = 0x8000_0000, FORMS[name]
    return Row(RISCV, form, _RISCV_IMAGE, direct, ram, 4 * KB, lines, 0x1_0000, "riscv")


ROWS = {
    "x86_64": Row(
        X86,
        FORMS["4-level"],
        _X86_IMAGE,
        0xFFFF_9D1F_4000_0000,
        lines=(*_X86_LINES, "NUMBER(pgtable_l5_enabled)=0", "NUMBER(sme_mask)=0"),
    ),
    "x86_64-la57": Row(
        X86,
        FORMS["5-level"],
        _X86_IMAGE,
        0xFF14_8949_8000_0000,
        lines=(*_X86_LINES, "NUMBER(pgtable_l5_enabled)=1", "NUMBER(sme_mask)=0"),
    ),
    "i386": Row(I386, FORMS["i386"], 0, 0xC000_0000, user=0x0804_8000, family="i386"),
    "i386-2g": Row(I386, FORMS["i386"], 0, 0x8000_0000, user=0x0804_8000, family="i386"),
    "i386-pae": Row(
        I386,
        FORMS["pae"],
        0,
        0xC000_0000,
        lines=("CONFIG_X86_PAE=y",),
        user=0x0804_8000,
        family="pae",
    ),
    "arm": Row(ARM, FORMS["short"], 0, 0xC000_0000, 0x4000_0000, user=0x1_0000),
    "arm-lpae": Row(
        ARM,
        FORMS["long"],
        0,
        0xC000_0000,
        0x4000_0000,
        lines=("CONFIG_ARM_LPAE=y",),
        user=0x1_0000,
        family="long",
    ),
    "arm64-4k-39": _arm64_row(FORMS["4k-39"], 4 * KB, 39, 39),
    "arm64-4k-48": _arm64_row(FORMS["4k-48"], 4 * KB, 48, 48),
    "arm64-4k-52": _arm64_row(FORMS["4k-52"], 4 * KB, 52, 52),
    # a kernel made for 52 bits on a processor of 48: its tables have a level less (since 6.9)
    "arm64-4k-52on48": _arm64_row(FORMS["4k-48"], 4 * KB, 52, 48),
    "arm64-16k-36": _arm64_row(_arm64("16k-48", (25, 35), (14, 24)), 16 * KB, 36, 36),
    "arm64-16k-47": _arm64_row(FORMS["16k-47"], 16 * KB, 47, 47),
    "arm64-16k-48": _arm64_row(FORMS["16k-48"], 16 * KB, 48, 48),
    "arm64-16k-52": _arm64_row(FORMS["16k-52"], 16 * KB, 52, 52),
    "arm64-64k-42": _arm64_row(FORMS["64k-42"], 64 * KB, 42, 42),
    "arm64-64k-48": _arm64_row(FORMS["64k-48"], 64 * KB, 48, 48),
    "arm64-64k-52": _arm64_row(FORMS["64k-52"], 64 * KB, 52, 52),
    # its root keeps 52 bits' size, of which the processor is shown the end
    "arm64-64k-52on48": _arm64_row(FORMS["64k-52"], 64 * KB, 52, 48),
    "powerpc64le": Row(
        (PPC, 2, 1),
        RADIX_64K,
        0,
        0xC << 60,
        page=64 * KB,
        lines=("NUMBER(RADIX_MMU)=1",),
        family="radix",
    ),
    "powerpc64le-4k": Row((PPC, 2, 1), FORMS["radix"], 0, 0xC << 60, family="radix"),
    "powerpc64": Row((PPC, 2, 2), RADIX_64K, 0, 0xC << 60, page=64 * KB, family="radix"),
    "powerpc64le-hashed": Row(
        (PPC, 2, 1),
        HASHED_64K,
        0,
        0xC << 60,
        page=64 * KB,
        lines=("NUMBER(RADIX_MMU)=0",),
        family="radix",
        apart=0xC008_0000_0000_0000,
    ),
    "powerpc64-hashed-4k": Row(
        (PPC, 2, 2),
        HASHED_4K,
        0,
        0xC << 60,
        user=0x1000_0000,
        family="radix",
        apart=0xC000_1000_0000_0000,
    ),
    "riscv64-39": _riscv_row("sv39", 39, 0xFFFF_FFD6_0000_0000),
    "riscv64-48": _riscv_row("sv48", 48, 0xFFFF_AF80_0000_0000),
    "riscv64-57": _riscv_row("sv57", 57, 0xFF60_0000_0000_0000),
}


@dataclass
class Kernel:
    """What was forged.

    Physical addresses are a kernel's less ``delta``, or those of the direct map less ``offset``.
    ``pgd``: the kernel's address of the process's top table; ``user``: its first page, which holds
    b"first"; the next hold b"hidden" (PROT_NONE), nothing (swapped out), nothing (never touched).
    """

    row: Row
    ram: Ram
    delta: int
    offset: int
    root: int
    pgd: int
    user: int
    values: dict[str, str] = field(default_factory=dict)

    def virtual(self, physical: int) -> int:
        return physical + self.delta

    @property
    def text(self) -> bytes:
        return "".join(f"{key}={value}\n" for key, value in self.values.items()).encode()


def linux(name: str) -> Kernel:
    """The kernel of a row."""
    row = ROWS[name]
    ram = Ram(row.ram)
    ram.allocate(2 * MB)  # the firmware's, or nothing
    image = ram.allocate(2 * MB)
    delta = (row.image or row.direct + image - row.ram) - image
    offset = row.direct - row.ram
    root = _kernel_tables(row, ram, image, delta, offset)
    user, pgd = _process(row, ram)
    kernel = Kernel(row, ram, delta, offset, root, pgd + offset, user)
    _names(kernel, image)
    _vmcoreinfo(kernel, image)
    return kernel


def _kernel_tables(row: Row, ram: Ram, image: int, delta: int, offset: int) -> int:
    """The image with 4 MB for its tables, and 16 MB of the direct map."""
    if row.apart:
        return _tables_apart(row, ram, image)
    step = 2 * MB if 2 * MB in row.form.sizes and row.bits == 64 else min(row.form.sizes)
    pages = [Page(at + offset, at, step) for at in range(row.ram, row.ram + 16 * MB, step)]
    if row.image:
        step = min(row.form.sizes)
        pages += [Page(at + delta, at, step) for at in range(image, image + 4 * MB, step)]
    return build(row.form, pages, ram)


def _tables_apart(row: Row, ram: Ram, image: int) -> int:
    """Of 2 MB from the image on, and nothing else."""
    pages = (Page(row.apart + at, image + at, row.page) for at in range(0, 2 * MB, row.page))
    return build(row.form, pages, ram)


def _names(kernel: Kernel, image: int) -> None:
    names = (*NAMES, MACHINES[kernel.row.elf], "(none)")
    texts = b"".join(name.encode().ljust(65, b"\0") for name in names)
    kernel.ram.put(image + UTS, texts)


def _vmcoreinfo(kernel: Kernel, image: int) -> None:
    row = kernel.row
    lines = (
        f"OSRELEASE={RELEASE}",
        "BUILD-ID=bb603a9147d3efe4744bf83c83eee397c591cc20",
        f"PAGESIZE={row.page}",
        f"SYMBOL(init_uts_ns)={kernel.virtual(image + UTS):x}",
        "OFFSET(uts_namespace.name)=0",
        f"SYMBOL(swapper_pg_dir)={kernel.virtual(kernel.root):x}",
        f"SYMBOL(_stext)={kernel.virtual(image):x}",
        "OFFSET(list_head.next)=0",
        "SIZE(page)=64",
        "LENGTH(zone.free_area)=11",
        "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129",
        *row.lines,
        "CRASHTIME=1795435200",
    )
    known = {
        "phys_base": 0xFFFF_FFFF_8000_0000 - kernel.delta,
        "voffset": kernel.delta % (1 << 64),
        "root": kernel.virtual(kernel.root),
        "ram": row.ram,
        "direct": row.direct,
        # what is physical at the lowest address that VA_BITS allow, in 64 bits
        "memstart": (row.ram + _lowest(row) - row.direct) % (1 << 64),
    }
    for line in lines:
        key, _, value = line.format_map(known).partition("=")
        kernel.values[key] = value
    kernel.ram.put(image + TEXT, kernel.text)
    kernel.ram.put(image + NOTE, note(kernel.text, row.order))


def _lowest(row: Row) -> int:
    """arm64's PAGE_OFFSET."""
    bits = next((line[16:] for line in row.lines if line.startswith("NUMBER(VA_BITS)=")), "64")
    return (1 << 64) - (1 << int(bits))


def note(text: bytes, order: str = "<") -> bytes:
    """The ELF note that the kernel keeps of it."""
    head = struct.pack(f"{order}III", 11, len(text), 0)
    return head + b"VMCOREINFO\0\0" + text


# ---- a process


def _process(row: Row, ram: Ram) -> tuple[int, int]:
    """(address of its first page, physical address of its tables)."""
    form, size, page = row.form, min(row.form.sizes), row.user
    physical = [ram.allocate(row.page) for _ in range(4)]
    ram.put(physical[0], b"first")
    ram.put(physical[1], b"hidden")
    if form.name == "short":
        return page, _arm_process(ram, page, physical)
    pages = [Page(page + n * size, at, size) for n, at in enumerate(physical)]
    root = build(form, pages, ram)
    entries = [_slot(form, ram, root, one.va) for one in pages]
    ram.put(entries[1], _word(form, PROT_NONE[row.family](form.page(pages[1]))))
    ram.put(entries[2], _word(form, SWAPPED[row.family]))
    ram.put(entries[3], _word(form, 0))
    return page, root


def _word(form: Form, entry: int) -> bytes:
    return entry.to_bytes(form.width, form.order)


def _slot(form: Form, ram: Ram, root: int, va: int) -> int:
    """Where the last table's entry for ``va`` is."""
    at = root
    for low, high in form.indices:
        slot = at + (va >> low) % (1 << (high - low + 1)) * form.width
        at = ram.tables.get(slot, 0)
    return slot


def _x86_none(entry: int) -> int:
    """Not present, global; frame bits 51 to 12 inverted (since 4.19)."""
    return entry & ~1 ^ 0x000F_FFFF_FFFF_F000 | 1 << 8


PROT_NONE = {
    "x86": _x86_none,
    "pae": _x86_none,
    "i386": lambda entry: entry & ~1 | 1 << 8,
    # PTE_VALID goes; PTE_PROT_NONE (58) and nG (11) before 6.11
    "arm64-old": lambda entry: entry & ~1 | 1 << 58 | 1 << 11,
    # PTE_PRESENT_INVALID, which is nG, since 6.11
    "arm64": lambda entry: entry & ~1 | 1 << 11,
    # L_PTE_NONE, as software has it, and L_PTE_VALID gone
    "long": lambda entry: entry & ~1 | 1 << 57,
    "radix": lambda entry: entry & ~0b111,
    # _PAGE_PROT_NONE is the global bit
    "riscv": lambda entry: entry & ~0b1111 | 1 << 5 | 0b10,
}

SWAPPED = {
    # type 1 in bits 63 to 59, the offset inverted below (pgtable_64.h)
    "x86": 1 << 59 | ~(0x1234 << 9) & 0x07FF_FFFF_FFFF_FE00 & ~(1 << 8),
    "pae": 0x1234 << 32 | 1 << 59,
    "i386": 0x1234 << 9 | 1 << 1,
    "arm64-old": 0x1234 << 12 | 1 << 6 | 1 << 11,
    "arm64": 0x1234 << 12 | 1 << 6 | 1 << 58,
    "long": 0x1234 << 8 | 1 << 3,
    "radix": 1 << 62 | 0x1234 << 12 | 1 << 7,
    "riscv": 0x1234 << 12 | 1 << 7,
}


def _arm_process(ram: Ram, page: int, physical: list[int]) -> int:
    """Linux's own last table, and the hardware's 2048 bytes behind it.

    The hardware's entry is empty of a page that was not used lately, or is PROT_NONE.
    """
    root, table = ram.allocate(16 * KB), ram.allocate(4 * KB)
    ram.put(root + (page >> 20) * 4, (table + 2048 | 0b01).to_bytes(4, "little"))
    present, young, none = 1 << 0, 1 << 1, 1 << 11
    first = table + (page >> 12 & 0xFF) * 4
    own = (physical[0] | present, physical[1] | present | young | none, 0x1234 << 7 | 1 << 2, 0)
    for n, entry in enumerate(own):
        ram.put(first + 4 * n, entry.to_bytes(4, "little"))
    return root
