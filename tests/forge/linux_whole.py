"""What would all of a Linux's memory hold?  One machine, and what each tool would dump of it.

    linux = machine("x86_64")
    linux.core                          # an ELF core
    linux.kdump(filtered=True)          # as makedumpfile -c -d 31
    linux.vmlinux                       # the file of its kernel, linked where KASLR is not

Page tables and VMCOREINFO are forge/linux_memory.py's, system and processes those that
linux_system_world.py and linux_tasks.py put into one World, which lies in the kernel's image, as do
its symbols (kallsyms) and types (BTF).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from forge import cdecl, elf, kallsyms, linux_memory, linux_structs, linux_system, linux_tasks
from forge import linux_modules as modules
from forge.btf import Btf
from forge.flattened import flatten
from forge.kdump import Kdump, forge_kdump
from forge.linux_system_world import UNAME, Cpus, fill
from forge.machines import EXPORTER
from forge.merged import merge
from forge.world import FUNC, Thing, World

ABIS = {"x86_64": cdecl.AMD64, "i386-pae": cdecl.I386, "powerpc64": cdecl.POWERPC64}
FILES = {"x86_64": "amd64", "i386-pae": "i386", "powerpc64": "powerpc64"}
"""Rows of linux_memory.py, and what elf.py calls their machine."""

STYLES = {32: "i386", 64: "lp64"}
BANNER = b"Linux version %s (root@forge) %s\n\0" % (UNAME[2].encode(), UNAME[3].encode())
BUILD_ID = bytes.fromhex("bb603a9147d3efe4744bf83c83eee397c591cc20")
PANIC = "Attempted to kill init!"
MESSAGES = (
    (0, b"Linux version"),
    (5_140_900_000, b"a line"),
    (100_000_000_000, b"Kernel panic - not syncing: " + PANIC.encode()),
)
CRASHED = 1_700_000_100
"""CRASHTIME: near to what the machine's own clock says."""

SCHEDULER, DO_WAIT = range(0x3000, 0x4000), 0x5000
"""Where in the image there are functions."""

MODULE = "forged_net"

WORLD = 0x40000
"""Where in the image the World begins, behind what linux_memory.py has there."""

IMAGE = 2 << 20
GAP = 16
"""Empty pages that dumps of ranges may have within."""

STACKS = """
struct inactive_task_frame { u_long r12; u_long bp; u_long ret_addr; };
struct thread_struct { u_long sp; };
struct task_struct { struct thread_struct thread; };
"""
"""As x86 with frame pointers."""

ARGUMENTS = (b"sh", b"-c", b"echo 'two words'", b"")
ENVIRONMENT = (b"PATH=/bin", b"LANG=C")
FIRST = b"first"
"""What linux_memory.py leaves in the first page of its process."""


class People(linux_tasks.Tasks):
    """Tasks on the CPUs of a world that has them already."""

    def __init__(self, world: World, cpus: Cpus) -> None:
        self._cpus_known = cpus
        super().__init__(world)

    def _cpus(self) -> None:
        """They are there."""

    def per_cpu(self, *shares: Sequence[int]) -> int:
        """As Tasks.per_cpu."""
        cpus = self._cpus_known
        base = cpus.reserve(4 * len(shares[0]))
        for copy, numbers in zip(cpus.copies(base, "s32").values(), shares, strict=True):
            data = b"".join(self.world.number(number, 4) for number in numbers)
            self.world.write(copy.address, data)
        return base


@dataclass(frozen=True, repr=False)
class Machine:
    """``text`` is its VMCOREINFO; ``symbols`` and ``types`` are its kallsyms and BTF, if any."""

    name: str
    kernel: linux_memory.Kernel
    world: World
    people: People
    symbols: kallsyms.Forged | None = None
    types: tuple[int, bytes] | None = None

    @property
    def text(self) -> bytes:
        return self.kernel.text

    def physical(self, address: int) -> int:
        """Where an address of the kernel's image lies."""
        return address - self.kernel.delta

    @cached_property
    def pages(self) -> dict[int, bytes]:
        """Physical pages that are not empty, by number."""
        size, ram = self.kernel.row.page, self.kernel.ram
        return {
            (ram.base + at) // size: bytes(ram.bytes[at : at + size]).ljust(size, b"\0")
            for at in range(0, len(ram.bytes), size)
            if any(ram.bytes[at : at + size])
        }

    @cached_property
    def runs(self) -> list[tuple[int, bytes]]:
        """(physical address, bytes) of ranges of memory, with few empty pages among them."""
        size, runs = self.kernel.row.page, []
        for number, data in self.pages.items():
            start, run = runs[-1] if runs else (0, None)
            gap = number * size - start - len(run or b"")
            if run is not None and gap <= GAP * size:
                run += bytes(gap) + data
            else:
                runs.append((number * size, bytearray(data)))
        return [(start, bytes(run)) for start, run in runs]

    @cached_property
    def core(self) -> bytes:
        """As /proc/vmcore shows it."""
        return self.elf()

    def place(self, physical: int) -> int:
        """Where in ``core`` a physical address lies."""
        for start, data in self.runs:
            if start <= physical < start + len(data):
                return self.core.index(data) + physical - start
        raise AssertionError(f"{physical:#x} is not in the core")

    def elf(self, *, note: bool = True, **options: object) -> bytes:
        """An ELF core, with VMCOREINFO as a note or not."""
        row = self.kernel.row
        loads = [
            elf.Segment(start + self.kernel.offset, data, physical=start, align=8)
            for start, data in self.runs
        ]
        data = linux_memory.note(self.text, row.order)
        notes = [elf.Segment(0, data, elf.PT_NOTE)] if note else []
        parts = {"kind": elf.ET_CORE, "osabi": 0, "segments": [*notes, *loads], **options}
        return elf.write_elf(FILES[self.name], **parts)

    def kdump(self, *, filtered: bool = False, **options: object) -> Kdump:
        """A kdump file; ``filtered`` as makedumpfile -d 31, which leaves out users' pages."""
        row = self.kernel.row
        numbers = self._user_pages() if filtered else set()
        pages = {number: data for number, data in self.pages.items() if number not in numbers}
        given = {
            "style": STYLES[row.bits],
            "order": row.order,
            "page": row.page,
            "machine": linux_memory.MACHINES[row.elf],
            "release": UNAME[2],
            "vmcoreinfo": self.text,
            "filtered": numbers,
            "level": 31 if filtered else 0,
        }
        return forge_kdump(pages, **{**given, **options})

    def split(self) -> list[bytes]:
        """Two kdump files which are one dump together."""
        last = max(self.pages) + 1
        middle = sorted(self.pages)[len(self.pages) // 2]
        return [self.kdump(split=part).data for part in ((0, middle), (middle, last))]

    def flattened(self) -> bytes:
        """As makedumpfile -F sends a kdump file."""
        return flatten(self.kdump().data, 50_000)

    def _user_pages(self) -> set[int]:
        """Numbers of the two pages that the process has."""
        ram = self.kernel.ram
        first = (ram.base + ram.bytes.index(_strings()[0])) // self.kernel.row.page
        return {first, first + 1}

    @cached_property
    def vmlinux(self) -> bytes:
        """The file of its kernel, with symbols and types."""
        return self.file()

    def file(
        self, build_id: bytes = BUILD_ID, banner: bytes = BANNER, *, stripped: bool = False
    ) -> bytes:
        """Such a file, perhaps of another build; or ``stripped`` of its symbols."""
        moved = int(self.kernel.values.get("KERNELOFFSET", "0"), 16)
        symbols = [
            elf.Sym(one.name, one.address - moved, one.size, one.type) for one in self.world.symbols
        ]
        [place] = [one for one in self.world.symbols if one.name == "linux_banner"]
        more: dict[str, elf.Section | bytes] = {
            ".rodata": elf.Section(banner, elf.PROGBITS, elf.ALLOC, place.address - moved),
            ".BTF": Btf(self.world.c).data,
        }
        base = self.kernel.virtual(0) + self._image - moved
        return elf.kernel(
            FILES[self.name],
            None if stripped else symbols,
            base=base,
            build_id=build_id,
            more=more,
            osabi=0,
            kind=elf.ET_EXEC,
        )

    @property
    def _image(self) -> int:
        return self.physical(int(self.kernel.values["SYMBOL(_stext)"], 16))


def machine(
    name: str = "x86_64", *, symbols: bool = True, types: bool = True, more: str = ""
) -> Machine:
    """A machine of linux_memory.py's row ``name``, with kallsyms and BTF in its memory or not.

    ``more`` is the name of one more variable.
    """
    kernel = linux_memory.linux(name)
    start = int(kernel.values["SYMBOL(_stext)"], 16)
    world = World(_declarations(), ABIS[name], base=start + WORLD)
    people = People(world, fill(world, MESSAGES))
    uts = Thing(world, "struct uts_namespace", _address(world, "init_uts_ns"))
    uts.put("name.machine", linux_memory.MACHINES[kernel.row.elf].encode())
    _processes(people, kernel, start + DO_WAIT)
    people.finish()
    _once(world)
    _names(world, start)
    _module(world)
    if more:
        world.define(more, "int", 7)
    btf = _types(world) if types else None
    tables = _symbols(world, start) if symbols else None
    _vmcoreinfo(kernel, world, tables)
    image = start - kernel.delta
    for address, data in world.pages():
        at = address - kernel.delta
        assert at + len(data) <= image + IMAGE, "the image has no room for all of this"
        kernel.ram.put(at, data)
    return Machine(name, kernel, world, people, tables, btf)


def _declarations() -> str:
    known = merge(merge(linux_system.MODERN, linux_structs.MODERN), STACKS)
    twice = "struct list_head { struct list_head *next, *prev; };"
    return known + modules.VERSIONS["6.12"].replace(twice, "")


def _names(world: World, start: int) -> None:
    """Of the image's functions, and what the kernel calls itself."""
    world.symbol("_text", start, 0, FUNC)
    world.symbol("_stext", start, 0, FUNC)
    world.symbol("__sched_text_start", start + SCHEDULER.start, 0, FUNC)
    world.symbol("__sched_text_end", start + SCHEDULER.stop, 0, FUNC)
    world.symbol("do_wait", start + DO_WAIT, 0, FUNC)
    world.define("linux_banner", "char", BANNER)


def _module(world: World) -> None:
    code = world.allocate(64)
    line = modules.Line("t", elf.Sym("forged_poll", code + 16, 16, elf.FUNC, section=".text"))
    modules.load(world, [modules.Loaded(MODULE, [line], [(code, 64)])])


def _types(world: World) -> tuple[int, bytes]:
    data = Btf(world.c).data
    at = world.bytes(data)
    world.symbol("__start_BTF", at)
    world.symbol("__stop_BTF", at + len(data))
    return at, data


def _symbols(world: World, start: int) -> kallsyms.Forged:
    """Kallsyms of all symbols of the world, which lie behind them."""
    kind = kallsyms.Kind(world.abi.pointer * 8, world.abi.order)
    listed = [
        kallsyms.Sym(one.address, "T" if one.type == FUNC else "D", one.name)
        for one in world.symbols
    ]
    listed.append(kallsyms.Sym(start + IMAGE, "B", "_end"))
    listed.sort(key=lambda one: one.address)
    size = len(kallsyms.write(kind, listed, 0).data)
    made = kallsyms.write(kind, listed, world.allocate(size))
    world.write(made.address, made.data)
    return made


def _vmcoreinfo(kernel: linux_memory.Kernel, world: World, symbols: kallsyms.Forged | None) -> None:
    """Lines of what the world has, in place of linux_memory.py's."""
    known = {one.name: one.address for one in world.symbols}
    values = kernel.values
    values["OSRELEASE"] = UNAME[2]
    values["SYMBOL(init_uts_ns)"] = f"{known['init_uts_ns']:x}"
    values["OFFSET(uts_namespace.name)"] = str(world.place("struct uts_namespace", "name").offset)
    values["CRASHTIME"] = str(CRASHED)
    for name, address in (kallsyms.vmcoreinfo(symbols) if symbols else {}).items():
        values[f"SYMBOL({name})"] = f"{address:x}"
    image = int(values["SYMBOL(_stext)"], 16) - kernel.delta
    kernel.ram.put(image + linux_memory.TEXT, kernel.text)
    kernel.ram.put(image + linux_memory.NOTE, linux_memory.note(kernel.text, kernel.row.order))


def _once(world: World) -> None:
    """Of two symbols with one name keep the later one: that which knows processes."""
    kept = {one.name: one for one in world.symbols}
    # linux_tasks.py has functions where no machine's image is
    world.symbols[:] = [one for one in kept.values() if not one.name.startswith("__sched_text")]


# ---- processes


def _processes(people: People, kernel: linux_memory.Kernel, waiting: int) -> None:
    """Init, a kernel thread, a shell, a server of two threads, a zombie, an exporter.

    The shell sleeps in the function at ``waiting``.
    """
    world, files = people.world, people.files
    _mounted(people)
    times = {"start_boottime": 10**9, "utime": 2 * 10**9, "stime": 10**9, "__state": 1}
    times["se.sum_exec_runtime"] = 3 * 10**9
    people.task(1, b"init", members=times)
    thread = {"flags": linux_tasks.PF_KTHREAD, "__state": 0x402}
    people.task(2, b"kthreadd", members=thread)
    hosts = files.directory(b"hosts", files.directory(b"etc", files.top))
    opened = files.file(files.mount, hosts, flags=0o100002, pos=5)
    space = _space(people, kernel)
    group = people.cgroups.group(people.cgroups.root, b"a.slice", b"b.service")
    own = {"mm": space, "files": files.table({0: opened, 3: opened}), **times}
    own["cgroups"] = people.cgroups.set_of(group)
    cred = people.credentials(uid=1000, euid=1000, suid=1000, gid=100, egid=100, sgid=100)
    people.task(40, b"sh", parent=1, group=40, session=40, cred=cred)
    stack = world.allocate(4096)
    frame = Thing(world, "struct inactive_task_frame", stack + 4096 - 64)
    frame.set(bp=0, ret_addr=waiting + 0x30)
    shell = people.tasks[40]
    for path, value in {**own, "stack": stack, "thread.sp": frame}.items():
        shell.put(path, value)
    people.task(41, b"postgres", parent=1, members=times)
    busy = {"__state": 0, "utime": 5 * 10**9, "se.sum_exec_runtime": 5 * 10**9}
    people.task(42, b"worker", tgid=41, parent=1, members=busy)
    people.task(50, b"\x1b]0;nginx\a", parent=1, members=times)
    people.task(60, b"gone", parent=40, members={"exit_state": 0x20, "__state": 0x80})
    people.task(EXPORTER, b"kvm_exporter", parent=1, members=times)


def _mounted(people: People) -> None:
    """Let everybody see what process 1 of linux_paths.py sees."""
    world = people.world
    node = Thing(world, "struct task_struct", _address(world, "init_task")).get("tasks.next")
    init = Thing(
        world, "struct task_struct", node - world.place("struct task_struct", "tasks").offset
    )
    fs = Thing(world, "struct fs_struct", init.get("fs"))
    proxy = Thing(world, "struct nsproxy", init.get("nsproxy"))
    mounts = Thing(world, "struct mnt_namespace", proxy.get("mnt_ns"))
    mounts.put("ns.inum", linux_tasks.INUMS["mnt"])
    people.proxy.set(mnt_ns=mounts)
    people.files.fs = fs
    old = Thing(world, "struct pid_namespace", _address(world, "init_pid_ns"))
    people.namespace.set(pid_max=old.get("pid_max"))


def _address(world: World, name: str) -> int:
    return next(one.address for one in world.symbols if one.name == name)


def _strings() -> tuple[bytes, bytes]:
    """A process's arguments and environment as execve(2) lays them out."""
    return b"\0".join(ARGUMENTS) + b"\0", b"\0".join(ENVIRONMENT) + b"\0"


def _space(people: People, kernel: linux_memory.Kernel) -> Thing:
    """The memory of linux_memory.py's process, with arguments and environment in its first page."""
    arguments, environment = _strings()
    ram = kernel.ram
    ram.put(ram.base + ram.bytes.index(FIRST + b"\0"), arguments + environment)
    middle = kernel.user + len(arguments)
    space = people.world.new("struct mm_struct", pgd=kernel.pgd, total_vm=500, exec_vm=80)
    space.set(arg_start=kernel.user, arg_end=middle, env_start=middle)
    space.set(env_end=middle + len(environment), hiwater_rss=90)
    return space.set(**people.pages(10, 20, 30, 40))
