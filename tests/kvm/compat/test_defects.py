"""Are libkvm's own defects left behind?  A test for each, on dumps that libkvm gets wrong.

Each test's docstring says what libkvm (as of 15.1) does there.
"""

from __future__ import annotations

import gzip
import sys
from collections import Counter
from importlib.util import find_spec

import pytest
from forge import compressed, kerneldump, linker, textdump
from forge.booted import FAR, MODELS, VERSION
from forge.crashed import BASES, crash
from forge.elf import ALLOC, EXEC, WRITE, Sym
from forge.minidump import ROWS
from forge.system_world import COUNTERS, CPUS, TICKS
from forge.world import World

from kvm_exporter import kvm
from kvm_exporter.kvm import compat

KMAP = ROWS["amd64"].kernbase
DMAP = ROWS["amd64"].dmap[0]
MAXCOMLEN = 19
"""sys/sys/param.h"""


def read(kd, address: int, length: int) -> bytes | None:
    """What kvm_read puts into a buffer; None where it fails."""
    buffer = bytearray(length)
    count = compat.kvm_read(kd, address, buffer, length)
    return None if count < 0 else bytes(buffer[:count])


def test_1_swap_needs_no_dmmax(opened, system):
    """The variable is gone since 12.1: libkvm fails with "unable to find dmmax"."""
    dump = system()
    kd = opened(dump.kernel, dump.core)
    assert compat.kvm_nlist(kd, [compat.Nlist("dmmax")]) == 1
    rows: list[compat.KvmSwap] = []
    assert compat.kvm_getswapinfo(kd, rows, 16, 0) == 3
    assert [(row.ksw_devname, row.ksw_used, row.ksw_total) for row in rows] == [
        ("vtbd4", 100, 24576 - 32),
        ("[NFS swap]", 5, 0),
        ("#C:0x35", 0, 1000 - 32),
        ("", 105, 24544 + 968),
    ]


def test_2_a_hole_in_memory_is_no_other_page(opened, bare):
    """Libkvm looks at each range's end only, and gives page 0x12 for 0x1e, which is in no range."""
    pages = {number: b"page %x" % number for number in (0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x23)}
    hole = [(KMAP + 0x1000 * n, number << 12, 4096, 3) for n, number in enumerate((0x12, 0x1E, 8))]
    ranges = [(0x10000, 0x14000), (0x20000, 0x28000)]
    kd = opened(*bare(pages=pages, mappings=hole, dump_avail=ranges))
    assert read(kd, KMAP, 7) == b"page 12"
    for address in (KMAP + 0x1000, KMAP + 0x2000, DMAP + 0x1E000, DMAP + 0x8000):
        assert read(kd, address, 7) is None
        assert compat.kvm_geterr(kd) == f"invalid address ({address:#x})"
    assert read(kd, DMAP + 0x23000, 7) == b"page 23"


@pytest.mark.parametrize("arch", ["amd64", "aarch64", "riscv64", "armv7"])
def test_3_a_bitmap_that_fills_its_pages_has_an_end(opened, bare, arch):
    """For its last page libkvm reads, and for its index writes, past the end of its own memory."""
    row = ROWS[arch]
    first, last = 0x80000, 0x80000 + row.page * 8 - 1
    mappings = [(row.kernbase, last * row.page, row.page, 3)] if arch == "armv7" else []
    base = row.dmap[0] - row.extra.get("dmapphys", 0)
    at = row.kernbase if arch == "armv7" else base + last * row.page
    kd = opened(*bare(arch, pages={first: b"first", last: b"last"}, mappings=mappings))
    assert read(kd, at, row.page) == b"last".ljust(row.page, b"\0")
    assert read(kd, at + row.page, 1) is None


@pytest.mark.parametrize("arch", ["amd64", "aarch64", "riscv64"])
def test_4_walks_show_each_page_and_none_again(opened, bare, arch):
    """Libkvm's second part has what the first had, and on arm64 and riscv nothing at all."""
    row = ROWS[arch]
    first = 0x80000
    numbers = range(first, first + 8)
    mapped = [first + 1, first + 4]
    spans = [
        (row.kernbase + number * row.page * 3 % (1 << 20), number * row.page, row.page, 3)
        for number in mapped
    ]
    kd = opened(*bare(arch, pages={n: b"%x" % n for n in numbers}, mappings=spans))
    visits: list[compat.KvmPage] = []
    closure = object()

    def visit(page: compat.KvmPage, given: object) -> int:
        assert given is closure
        visits.append(page)
        return 1

    assert compat.kvm_walk_pages(kd, visit, closure) == 1
    times = Counter(page.kp_paddr // row.page for page in visits)
    assert {number: times[number] for number in numbers} == dict.fromkeys(numbers, 1)
    physical = {page.kp_paddr // row.page: page for page in visits}
    assert all(bool(physical[n].kp_kmap_vaddr) is (n in mapped) for n in numbers)
    for number in numbers:
        page = physical[number]
        assert read(kd, page.kp_dmap_vaddr, 5) == b"%x" % number
        assert (page.kp_version, page.kp_len) == (compat.LIBKVM_WALK_PAGES_VERSION, row.page)


@pytest.mark.parametrize("arch", ["amd64", "aarch64", "i386", "powerpc64"])
def test_5_per_cpu_copies_lie_a_page_apart(opened, system, arch):
    """Libkvm multiplies by the size of its own struct pcpu, 512 on arm64."""
    dump = system(arch)
    kd = opened(dump.kernel, dump.core)
    base = dump.counter("v_swtch")
    order = dump.world.byteorder
    buffer = bytearray(8)
    for cpu, value in zip(CPUS, COUNTERS["v_swtch"], strict=True):
        assert compat.kvm_read_zpcpu(kd, base, buffer, 8, cpu) == 8
        assert int.from_bytes(buffer, order) == value
    assert compat.kvm_read_zpcpu(kd, base, buffer, 8, 1) == -1
    assert compat.kvm_geterr(kd).startswith("CPU 1 is not there")


@pytest.mark.parametrize("arch", ["amd64", "aarch64", "i386", "powerpc64"])
def test_6_counters_are_of_every_cpu_that_is_there(opened, system, arch):
    """Libkvm adds CPUs 0 and 1 of the numbers 0 and 2, as mp_ncpus is 2."""
    dump = system(arch)
    kd = opened(dump.kernel, dump.core)
    assert compat.kvm_getncpus(kd) == 2
    for name in ("v_swtch", "v_syscall", "v_intr"):
        total = sum(COUNTERS[name]) % 2**64
        assert compat.kvm_counter_u64_fetch(kd, dump.counter(name)) == total
        assert compat.kvm_geterr(kd) == ""


def test_7_nothing_of_one_dump_is_in_another(opened, system):
    """Libkvm keeps CPUs, swap and CPU times of whichever was asked first, for all."""

    def other(world: World) -> None:
        symbols = {one.name: one.address for one in world.symbols}
        world.write(symbols["mp_maxcpus"], world.number(4, 4))
        world.write(symbols["mp_ncpus"], world.number(1, 4))
        world.write(symbols["nsw_cluster_max"], world.number(16, 4))
        array = symbols["cpuid_to_pcpu"]
        first = world.read(array, world.abi.pointer)
        world.write(array + 2 * world.abi.pointer, world.number(0, world.abi.pointer))
        place = world.place("struct pcpu", "pc_cp_time")
        at = int.from_bytes(first, world.byteorder) + place.offset
        world.write(at, b"".join(world.number(n, world.abi.pointer) for n in (1, 2, 3, 4, 5)))

    one, two = system(name="one"), system(name="two", fill=other)
    handles = [opened(one.kernel, one.core), opened(two.kernel, two.core)]
    for kd, (most, count, present, ticks, usable) in zip(
        handles * 2,
        [
            (8, 2, [0, 2], [sum(both) for both in zip(*TICKS.values(), strict=True)], 24576 - 32),
            (4, 1, [0], [1, 2, 3, 4, 5], 24576 - 16),
        ]
        * 2,
        strict=True,
    ):
        assert (compat.kvm_getmaxcpu(kd), compat.kvm_getncpus(kd)) == (most, count)
        assert [cpu for cpu in range(8) if compat.kvm_getpcpu(kd, cpu)] == present
        assert compat.kvm_getcptime(kd, found := []) == 0
        assert found == ticks
        assert compat.kvm_getswapinfo(kd, rows := [], 2, 0) == 1
        assert rows[0].ksw_total == usable


def test_8_processes_have_all_their_fields(opened, people):
    """Libkvm leaves these out: start, rusage, CPU, login class, terminal; it cuts the name."""
    name = b"a-name-of-19-chars-"
    assert len(name) == MAXCOMLEN

    def fill(population) -> None:
        world = population.world
        session = population.session(60, b"root")
        session.put("s_ttyp", population.terminal(95, session, population.group(61, session)))
        stats = world.new("struct pstats").put("p_start", {"tv_sec": 100, "tv_usec": 500_000})
        stats.put("p_cru.ru_utime", {"tv_sec": 7, "tv_usec": 0})
        population.add(
            9,
            name,
            members={"p_stats": stats, "p_pgrp": population.group(62, session), "p_flag": 2},
            more={"p_ru.ru_minflt": 5},
            threads=[{"td_cow": 3, "ts_ticks": 4000 << 10, "td_name": b"thread"}],
        )

    kd = opened(*people(fill))
    [found] = compat.kvm_getprocs(kd, compat.KERN_PROC_PROC, 0) or ()
    assert found.comm == name.decode()
    assert found.start_seconds == 1_795_000_000.75 + 100.5
    assert (found.login, found.login_class, found.tty) == ("root", "default", 95)
    assert (found.minor_faults, found.cow_faults) == (5, 3)
    assert found.children_user_seconds is not None
    assert found.percent_cpu is not None
    by_terminal = compat.kvm_getprocs(kd, compat.KERN_PROC_TTY, 95)
    assert [one.pid for one in by_terminal or ()] == [9]
    assert compat.kvm_getprocs(kd, compat.KERN_PROC_TTY, -1) == []


def test_8_threads_have_no_cap(opened, people):
    """Libkvm has room for ten threads a process, and leaves out the rest without a word."""
    kd = opened(*people(lambda population: population.add(1, b"busy", threads=[{}] * 50)))
    op = compat.KERN_PROC_PROC | compat.KERN_PROC_INC_THREAD
    found = compat.kvm_getprocs(kd, op, 0) or ()
    assert [one.tid for one in found] == [100_010 + at for at in range(50)]


def test_zombies_are_listed(opened, people):
    """They are on no list any more, only on the pid hash; libkvm looks for zombproc."""

    def fill(population) -> None:
        population.add(1, b"init")
        population.add(2, b"gone", state=2, parent=1, threads=[{}])

    kd = opened(*people(fill))
    assert compat.kvm_nlist(kd, [compat.Nlist("zombproc")]) == 1
    found = {one.pid: one.state for one in compat.kvm_getprocs(kd, compat.KERN_PROC_PROC, 0) or ()}
    assert found == {1: "waiting", 2: "zombie"}
    [gone] = compat.kvm_getprocs(kd, compat.KERN_PROC_PID, 2) or ()
    assert gone.comm == "gone"


def test_9_full_dumps_with_five_levels(opened, full):
    """Libkvm walks four from KPML4phys: it misreads the direct map at 0xff01…."""
    kernel, core, booted = full("amd64-la57")
    kd = opened(kernel, core)
    address, physical = booted.version
    direct = MODELS["amd64-la57"].direct + physical
    assert read(kd, address, len(VERSION)) == read(kd, direct, len(VERSION)) == VERSION
    assert read(kd, booted.far[0], len(FAR)) == FAR


@pytest.mark.parametrize("name", ["i386", "i386-pae"])
def test_10_i386_with_and_without_pae(opened, full, name):
    """Every kernel since 13 has IdlePDPT: libkvm cannot read PDPT of either."""
    kernel, core, booted = full(name)
    kd = opened(kernel, core)
    nl = [compat.Nlist("IdlePDPT"), compat.Nlist("version")]
    assert compat.kvm_nlist(kd, nl) == 0
    assert read(kd, nl[1].n_value, len(VERSION)) == VERSION
    assert read(kd, booted.far[0], len(FAR)) == FAR


@pytest.mark.parametrize("name", ["amd64", "amd64-stripped", "amd64-la57"])
def test_11_full_dumps_without_pt_dump_delta(opened, full, name):
    """Wherever the kernel was loaded; libkvm refuses, or takes 2 MB for granted."""
    kernel, core, booted = full(name)
    kd = opened(kernel, core)
    assert read(kd, booted.version[0], len(VERSION)) == VERSION
    assert read(kd, booted.far[0], len(FAR)) == FAR
    assert compat.kvm_kerndisp(kd) == 0


@pytest.mark.parametrize(
    "name",
    [
        "aarch64",
        "aarch64-16k",
        "riscv64",
        "riscv64-sv48",
        "armv7",
        "powerpc64",
        "powerpc64le",
        "powerpc64-hashed",
    ],
)
def test_12_full_dumps_of_other_architectures(opened, full, name):
    """Libkvm reads no arm64's, no riscv's, and no radix tree."""
    kernel, core, booted = full(name)
    kd = opened(kernel, core)
    assert read(kd, booted.version[0], len(VERSION)) == VERSION
    assert read(kd, booted.far[0], len(FAR)) == FAR
    nl = [compat.Nlist("version")]
    assert compat.kvm_nlist2(kd, nl) == 0
    assert nl[0].n_value == booted.version[0]
    assert compat.kvm_kerndisp(kd) == booted.version[0] - booted.symbols["version"]


@pytest.mark.parametrize("arch", ["powerpc64", "powerpc64le"])
def test_12_minidumps_of_powerpc_in_both_byte_orders(opened, bare, arch):
    """The hash table is big-endian in either; libkvm swaps it in neither way that fits."""
    base = ROWS[arch].kernbase
    spans = [(base + 0x5000, 0x40000000, 4096, 3), (base + 0x9000, 0x40003000, 4096, 3)]
    pages = {0x40000: b"first", 0x40003: b"second"}
    kd = opened(*bare(arch, pages=pages, mappings=spans))
    assert read(kd, base + 0x5000, 5) == b"first"
    assert read(kd, base + 0x9000, 6) == b"second"
    assert read(kd, base + 0x6000, 1) is None
    assert read(kd, ROWS[arch].dmap[0] + 0x40003000, 6) == b"second"


def test_13_compressed_dumps_are_read(opened, people, tmp_path):
    """Through gzip, as the kernel writes it and as people do, and what is before the dump."""
    kernel, core = people(lambda population: population.add(1, b"init"))
    data = core.read_bytes()
    forms = {
        "kernel.gz": compressed.kernel_gzip(data, flushed=4096),
        "people.gz": gzip.compress(data),
        "device": kerneldump.device(data),
    }
    for name, packed in forms.items():
        (tmp_path / name).write_bytes(packed)
        kd = opened(kernel, tmp_path / name)
        assert [one.comm for one in compat.kvm_getprocs(kd, 8, 0) or ()] == ["init"], name


@pytest.mark.skipif(find_spec("zstandard") is None, reason="needs the package zstandard")
def test_13_zstd_dumps_are_read(opened, people, tmp_path):
    """As the kernel writes them."""
    import zstandard  # noqa: PLC0415 - an optional package

    kernel, core = people(lambda population: population.add(1, b"init"))
    packed = tmp_path / "vmcore.1.zst"
    packed.write_bytes(zstandard.ZstdCompressor().compress(core.read_bytes()))
    kd = opened(kernel, packed)
    assert [one.comm for one in compat.kvm_getprocs(kd, 8, 0) or ()] == ["init"]


@pytest.mark.skipif(find_spec("cryptography") is None, reason="needs the package cryptography")
@pytest.mark.parametrize("algorithm", [1, 2])
def test_13_encrypted_dumps_are_read(people, tmp_path, algorithm):
    """A key is no argument of kvm_open: a descriptor is made around a Kvm that has it."""
    from forge import encrypted  # noqa: PLC0415 - of an optional package

    kernel, core = people(lambda population: population.add(1, b"init"))
    keys = encrypted.pair()
    (tmp_path / "private.pem").write_bytes(keys.pem())
    (tmp_path / "key.3").write_bytes(encrypted.key_file(algorithm, keys))
    secret = tmp_path / "vmcore_encrypted.3"
    secret.write_bytes(encrypted.encrypt(algorithm, core.read_bytes()))
    assert compat.kvm_openfiles(str(kernel), str(secret), None, 0, errbuf := []) is None
    assert "private key" in errbuf[0]
    options = kvm.DumpOptions(private_key=str(tmp_path / "private.pem"))
    with kvm.open(str(kernel), str(secret), dump_options=options) as handle:
        kd = compat.kvm_t(handle)
        assert [one.comm for one in compat.kvm_getprocs(kd, 8, 0) or ()] == ["init"]


def test_13_textdumps_open_and_say_that_they_have_no_memory(opened, tmp_path):
    """Each function fails in its own way, with a text; nothing raises."""
    core = tmp_path / "textdump.tar.0"
    core.write_bytes(textdump.archive({"panic.txt": b"page fault", "version.txt": b"FreeBSD\n"}))
    kd = opened(tmp_path / "kernel", core)
    calls = {
        -1: [
            lambda: compat.kvm_read(kd, KMAP, bytearray(8), 8),
            lambda: compat.kvm_getmaxcpu(kd),
            lambda: compat.kvm_getpcpu(kd, 0),
            lambda: compat.kvm_dpcpu_setcpu(kd, 0),
            lambda: compat.kvm_read_zpcpu(kd, 8, bytearray(8), 8, 0),
            lambda: compat.kvm_getcptime(kd, []),
            lambda: compat.kvm_getswapinfo(kd, [], 4, 0),
            lambda: compat.kvm_getloadavg(kd, [], 3),
            lambda: compat.kvm_nlist(kd, [compat.Nlist("version")]),
            lambda: compat.kvm_write(kd, KMAP, b"x"),
        ],
        0: [
            lambda: compat.kvm_counter_u64_fetch(kd, 8),
            lambda: compat.kvm_walk_pages(kd, lambda _page, _closure: 1),
            lambda: compat.kvm_native(kd),
        ],
        None: [lambda: compat.kvm_getprocs(kd, 8, 0), lambda: compat.kvm_getfiles(kd)],
    }
    for result, functions in calls.items():
        for function in functions:
            assert function() == result
            assert compat.kvm_geterr(kd)


def test_13_symbols_of_modules_are_found(opened, tmp_path):
    """Libkvm knows those of a live kernel's only."""
    variable = Sym("if_bridge_mtu", BASES["amd64"] + 0x800040, 4, section=".data")
    function = Sym("bridge_input", BASES["amd64"] + 0x800100, 64, 2, section=".text")
    module = linker.Loaded(
        "if_bridge.ko",
        "/boot/kernel/if_bridge.ko",
        BASES["amd64"] + 0x800000,
        0x2000,
        [variable, function],
        {".text": ALLOC | EXEC, ".data": ALLOC | WRITE},
    )
    world = World(linker.DECLARATIONS, base=BASES["amd64"])
    linker.load(world, [module])
    kd = opened(*crash(world, tmp_path))
    nl = [compat.Nlist("_if_bridge_mtu"), compat.Nlist("bridge_input"), compat.Nlist("bridge_no")]
    assert compat.kvm_nlist(kd, nl) == 1
    assert [one.n_value for one in nl] == [variable.value, function.value, 0]
    assert nl[2].n_type == 0
    assert compat.kvm_geterr(kd) == ""


def test_dumps_of_this_very_machine_are_native(opened, full):
    """And no other's; libkvm refuses those without a resolver."""
    found = {}
    for name in ("amd64", "i386", "aarch64", "riscv64", "powerpc64", "powerpc64le"):
        kernel, core, booted = full(name)
        found[booted.arch] = compat.kvm_native(opened(kernel, core))
    assert sum(found.values()) == (sys.platform in ("linux", "freebsd") and max(found.values()))
