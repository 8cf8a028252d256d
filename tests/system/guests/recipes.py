"""Which guests are there?  One row each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MODULES = ("dummy numdummies=0", "brd rd_nr=3 rd_size=16384")
HANDED_OVER = ("qemu_fw_cfg", *MODULES)  # the first gives VMCOREINFO to QEMU, where it can
DISK = (
    "virtio",
    "virtio_ring",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_blk",
)

# What is on the console when a guest can be dumped: regular expressions.
TRUTH = r"===LATE END==="
PANIC = r"---\[ end Kernel panic"
CAPTURED = r"===VMCORE (\d+)==="

# The forms that each of QEMU's dumps comes in.
DUMPS: Mapping[str, tuple[str, ...]] = {
    "elf": ("elf",),
    "paging": ("paging",),
    "kdump-zlib": ("kdump-flat", "kdump"),
}
# makedumpfile's options by the name of the form; `split` comes beside them.
PRODUCTS: Mapping[str, tuple[str, ...]] = {
    "zlib": ("-c", "-d", "0"),
    "lzo": ("-l", "-d", "0"),
    "raw": ("-d", "0"),
    "filtered": ("-c", "-d", "31"),
    "filtered-elf": ("-E", "-d", "31"),
    "filtered-flat": ("-F", "-c", "-d", "31"),
    "filtered-elf-flat": ("-F", "-E", "-d", "31"),
}
SPLIT = "split"


@dataclass(frozen=True)
class Recipe:
    """A guest: its kernel's package, the machine that QEMU makes for it, and the dumps of it.

    ``compiler`` is the target triple of `stage.c`.  ``modules`` are loaded in this order, with
    their options; ``capture_modules`` by the crash kernel.  ``until`` is what its console
    says when it can be dumped.  ``products``: makedumpfile, which Debian has for the machine's own
    architecture, makes its forms, too.  ``debug``: the debug package's vmlinux is fetched.
    ``alone``: the core tells everything by itself; without, the vmlinux is needed for its types
    (no BTF) or its variables (no CONFIG_KALLSYMS_ALL).
    """

    name: str
    package: str
    architecture: str
    compiler: str
    machine: tuple[str, ...]
    console: str = "ttyS0"
    memory: int = 160
    suite: str = "bookworm"
    modules: tuple[str, ...] = HANDED_OVER
    capture_modules: tuple[str, ...] = ()
    compiler_flags: tuple[str, ...] = ()
    command_line: str = "panic=-1"  # restart, which ends QEMU
    until: str = TRUTH
    dumps: tuple[str, ...] = ("elf", "kdump-zlib")
    products: bool = False
    debug: bool = False
    alone: bool = True

    @property
    def command(self) -> list[str]:
        """QEMU's command line but for what is booted."""
        system, *machine = self.machine
        common = ("-nodefaults", "-accel", "tcg", "-m", str(self.memory))
        line = f"console={self.console} quiet loglevel=1 {self.command_line}"
        return [system, *common, *machine, "-append", line]

    @property
    def forms(self) -> tuple[str, ...]:
        """The names of its cores' forms, the plainest first."""
        saved = ("vmcore",) if self.until == CAPTURED else ()
        dumped = [form for dump in self.dumps for form in DUMPS[dump]]
        return (*saved, *dumped, *((*PRODUCTS, SPLIT) if self.products else ()))


# Without cmpxchg16b, of which QEMU 7.2 at times returns wrong flags: kernels die of it.
FIVE_LEVELS = "max,-cx16"
FOUR_LEVELS = "qemu64,-cx16"


def pc(system: str, cpu: str, processors: int = 2) -> tuple[str, ...]:
    """A PC whose firmware hands VMCOREINFO to QEMU."""
    processor = ("-cpu", cpu, "-smp", str(processors))
    return (f"qemu-system-{system}", "-machine", "q35", *processor, "-device", "vmcoreinfo")


def arm(system: str, machine: str, cpu: str, *more: str) -> tuple[str, ...]:
    """QEMU's own ARM board."""
    return (f"qemu-system-{system}", "-machine", machine, "-cpu", cpu, "-smp", "2", *more)


NEWER, OLDER = "bookworm-backports", "bullseye"
PAGING = ("elf", "paging", "kdump-zlib")  # QEMU walks the page tables of x86 only
AMD64 = ("linux-image-cloud-amd64", "amd64", "x86_64-freestanding-none")
ARM64 = ("linux-image-cloud-arm64", "arm64", "aarch64-freestanding-none")
I386 = ("i386", "x86-freestanding-none")
ARMHF = ("armhf", "arm-freestanding-none")
# What QEMU cannot emulate of a POWER9's mitigations.
POWER = "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off"

RECIPES = (
    Recipe(
        "amd64-la57", *AMD64, pc("x86_64", FIVE_LEVELS),
        dumps=PAGING, products=True, debug=True,
    ),
    Recipe("amd64-4level", *AMD64, pc("x86_64", FOUR_LEVELS), dumps=PAGING),
    Recipe(
        "amd64-panic", *AMD64, pc("x86_64", FOUR_LEVELS),
        command_line="end=panic", until=PANIC,
    ),
    Recipe(
        "amd64-kdump", *AMD64, pc("x86_64", FIVE_LEVELS), memory=512,
        modules=MODULES, capture_modules=DISK,
        command_line="crashkernel=160M end=panic", until=CAPTURED, dumps=(), products=True,
    ),
    Recipe("amd64-6.12", *AMD64, pc("x86_64", FIVE_LEVELS), suite=NEWER, dumps=PAGING),
    Recipe("amd64-5.10", *AMD64, pc("x86_64", FIVE_LEVELS), suite=OLDER, dumps=PAGING),
    Recipe(
        "i386-pae", "linux-image-686-pae", *I386, pc("i386", "qemu32,+pae,+nx"),
        dumps=PAGING, debug=True, alone=False,
    ),
    Recipe(
        "i386", "linux-image-686", *I386, pc("i386", "qemu32", processors=1),
        dumps=PAGING, debug=True, alone=False,
    ),
    Recipe(
        "arm64", *ARM64, arm("aarch64", "virt", "cortex-a57", "-device", "vmcoreinfo"),
        console="ttyAMA0", memory=192, debug=True, alone=False,
    ),
    Recipe(
        "arm64-6.12", *ARM64,
        arm("aarch64", "virt", "max,pauth-impdef=on", "-device", "vmcoreinfo"),
        console="ttyAMA0", memory=256, suite=NEWER,
    ),
    Recipe(
        "armhf-lpae", "linux-image-armmp-lpae", *ARMHF, arm("arm", "virt", "cortex-a15"),
        console="ttyAMA0", modules=MODULES, compiler_flags=("-marm",), debug=True, alone=False,
    ),
    Recipe(
        "armhf", "linux-image-armmp", *ARMHF, arm("arm", "virt,highmem=off", "cortex-a15"),
        console="ttyAMA0", modules=MODULES, compiler_flags=("-marm",), debug=True, alone=False,
    ),
    Recipe(
        "ppc64el", "linux-image-powerpc64le", "ppc64el", "powerpc64le-freestanding-none",
        ("qemu-system-ppc64", "-machine", POWER, "-cpu", "power9", "-smp", "2"),
        console="hvc0", memory=512, modules=MODULES, suite=NEWER,
    ),
)  # fmt: skip
BY_NAME = {recipe.name: recipe for recipe in RECIPES}
