"""Do kvm(3)'s names keep their promises on crash dumps, of any architecture?"""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest
from forge.booted import MODELS, VERSION
from forge.crashed import BASES
from forge.minidump import ROWS
from forge.population import Population
from forge.system_world import COUNTERS, TICKS
from forge.world import Thing, World

from kvm_exporter.kvm import compat

KMAP = ROWS["amd64"].kernbase
ARCHES = sorted(BASES)
EVERYTHING = [
    lambda kd: compat.kvm_getloadavg(kd, [], 3),
    lambda kd: compat.kvm_getcptime(kd, []),
    lambda kd: compat.kvm_getswapinfo(kd, [], 9, compat.SWIF_DEV_PREFIX),
    compat.kvm_getmaxcpu,
    compat.kvm_getncpus,
    lambda kd: compat.kvm_getpcpu(kd, 2),
    lambda kd: compat.kvm_dpcpu_setcpu(kd, 2),
    lambda kd: compat.kvm_counter_u64_fetch(kd, 0x1000),
    lambda kd: compat.kvm_read_zpcpu(kd, 0x1000, bytearray(8), 8, 2),
    lambda kd: compat.kvm_getprocs(kd, compat.KERN_PROC_ALL, 0),
    compat.kvm_getfiles,
    lambda kd: compat.kvm_nlist(kd, [compat.Nlist("tdq"), compat.Nlist("ifnet")]),
    lambda kd: compat.kvm_walk_pages(kd, lambda _page, _closure: 1),
    lambda kd: compat.kvm_read(kd, KMAP, bytearray(9000), 9000),
]


def read(kd, address: int, length: int) -> bytes | None:
    """What kvm_read puts into a buffer; None where it fails."""
    buffer = bytearray(length)
    count = compat.kvm_read(kd, address, buffer, length)
    return None if count < 0 else bytes(buffer[:count])


# opening


def test_what_cannot_be_opened_is_null_with_a_text(people, tmp_path):
    """Files that are missing, empty, cut short, no kernels, no dumps, and others' kernels."""
    kernel, core = map(str, people(lambda population: population.add(1, b"init")))
    foreign, _ = people(lambda population: population.add(1, b"init"), "aarch64", "foreign")
    files = {"empty": b"", "garbage": b"\1\2" * 3000, "short": Path(core).read_bytes()[:5000]}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    empty, garbage, short = (str(tmp_path / name) for name in files)
    for execfile, corefile, text in (
        (kernel, "/nonexistent/vmcore", "/nonexistent/vmcore: No such file or directory"),
        ("/nonexistent/kernel", core, "/nonexistent/kernel: No such file or directory"),
        (kernel, empty, "empty file: Invalid argument"),
        (kernel, short, "truncated"),
        (kernel, garbage, "no known dump"),
        (kernel, kernel, "not a core"),
        (core, core, "no ELF file"),
        (empty, core, "no ELF file"),
        (garbage, core, "no ELF file"),
        (str(foreign), core, "kernel of aarch64"),
        ("k" * 1024, core, "exec file name too long"),
    ):
        assert compat.kvm_openfiles(execfile, corefile, None, 0, errbuf := []) is None
        assert text in errbuf[0]
        assert compat.kvm_open2(execfile, corefile, 0, again := []) is None
        assert again == errbuf


def test_failed_opens_are_printed_behind_errstr(people, capsys):
    """kvm_open has no errbuf."""
    _, core = people(lambda population: population.add(1, b"init"))
    assert compat.kvm_open("/nonexistent", str(core), None, os.O_RDONLY, "ps") is None
    assert capsys.readouterr().err == "ps: /nonexistent: No such file or directory\n"


def test_dumps_open_for_writing_are_not_written(opened, people):
    """O_RDWR opens what can be written, as C does; kvm_write is refused all the same."""
    kernel, core = people(lambda population: population.add(1, b"init"))
    before = core.read_bytes()
    kd = opened(kernel, core, os.O_RDWR)
    [hz] = nl = [compat.Nlist("hz")]
    assert compat.kvm_nlist(kd, nl) == 0
    assert compat.kvm_write(kd, hz.n_value, b"\1\2\3\4") == -1
    assert compat.kvm_geterr(kd) == "kvm_write not implemented for dead kernels"
    assert core.read_bytes() == before


def test_a_dump_can_be_opened_around_a_callers_own_kernel(opened, people):
    """The text of one descriptor's error is not another's."""
    kernel, core = people(lambda population: population.add(1, b"init"))
    one, two = opened(kernel, core), opened(kernel, core)
    assert compat.kvm_read(one, 8, bytearray(1), 1) == -1
    assert compat.kvm_geterr(one) == "invalid address (0x8)"
    assert compat.kvm_geterr(two) == ""


# memory


def test_reading_stops_at_a_missing_page_with_minus_1(opened, bare):
    """Even in mid-transfer: what came before it is in the buffer, and the text has the address."""
    spans = [(KMAP, 0x10000, 4096, 3), (KMAP + 4096, 0x13000, 4096, 3)]
    kd = opened(*bare(pages={0x10: b"a" * 4096, 0x13: b"b" * 4096}, mappings=spans))
    assert read(kd, KMAP + 4090, 12) == b"a" * 6 + b"b" * 6
    buffer = bytearray(b"." * 6000)
    assert compat.kvm_read2(kd, KMAP + 4096, buffer, 6000) == -1
    assert buffer == b"b" * 4096 + b"." * 1904
    assert compat.kvm_geterr(kd) == f"invalid address ({KMAP + 8192:#x})"
    for address in (0, 1, KMAP + 8192, 2**64 - 8, 2**63, 2**64, 2**70, -8):
        assert compat.kvm_read(kd, address, buffer, 8) == -1
        assert compat.kvm_geterr(kd) == f"invalid address ({address:#x})"
    assert compat.kvm_read(kd, 0, buffer, 0) == 0
    with pytest.raises(ValueError, match="no room"):
        compat.kvm_read(kd, KMAP, bytearray(8), 9)


def test_reading_ends_where_the_file_was_cut_off(opened, full):
    """Of a full dump: the page was there, so it is a short read, and then none; not -1."""
    kernel, core, _ = full("amd64", [(0x300000, b"z" * 8192)])
    os.truncate(core, os.path.getsize(core) - 100)
    kd = opened(kernel, core)
    last = MODELS["amd64"].direct + 0x301000
    assert compat.kvm_read(kd, last - 4096, bytearray(8192), 8192) == 8092
    assert compat.kvm_geterr(kd) == "short read"
    assert compat.kvm_read(kd, last + 3996, bytearray(8), 8) == 0
    assert compat.kvm_read(kd, last + 4096, bytearray(8), 8) == -1
    assert read(kd, last, 8) == b"z" * 8


def test_walks_stop_when_the_callback_says_so(opened, bare):
    """0 is to stop, and the walk's result; nothing is none."""
    kd = opened(*bare(pages=dict.fromkeys(range(16, 24), b"")))
    calls = []
    assert (
        compat.kvm_walk_pages(kd, lambda page, _closure: calls.append(page) or len(calls) < 3) == 0
    )
    assert len(calls) == 3
    assert compat.kvm_geterr(kd) == ""


# symbols


def test_types_are_those_of_the_file(opened, system):
    """nlist(3)'s, where a running kernel has but N_TEXT; what is missing is zeros, and no error."""
    dump = system()
    kd = opened(dump.kernel, dump.core)
    nl = [compat.Nlist("_hz", 1, 1, 1, 1), compat.Nlist("nothing", 1, 1, 1, 1), compat.Nlist("")]
    assert compat.kvm_nlist2(kd, [*nl, compat.Nlist("hz", 7)]) == 1
    [place] = [one.address for one in dump.world.symbols if one.name == "hz"]
    assert nl[0].n_value == place
    assert nl[0].n_type in (5, 7)
    assert nl[1] == compat.Nlist("nothing")
    assert compat.kvm_geterr(kd) == ""


@pytest.mark.parametrize("arch", ARCHES)
def test_per_cpu_names_are_the_chosen_cpus(opened, system, arch):
    """CPU 0's to begin with; a CPU that is absent, or past the last, changes nothing."""
    dump = system(arch)
    kd = opened(dump.kernel, dump.core)
    nl = [compat.Nlist("tdq"), compat.Nlist("pcpu_entry_tdq")]

    def values() -> list[int]:
        assert compat.kvm_nlist(kd, nl) == 0
        return [entry.n_value - dump.template for entry in nl]

    assert values() == [0x100, 0]
    assert compat.kvm_dpcpu_setcpu(kd, 2) == 0
    assert values() == [0x200, 0]
    for cpu, text in ((1, "1 not found"), (8, "8 too big"), (-1, "4294967295 too big")):
        assert compat.kvm_dpcpu_setcpu(kd, cpu) == -1
        assert compat.kvm_geterr(kd) == f"_kvm_dpcpu_setcpu: CPU {text}"
    assert values() == [0x200, 0]


def test_a_resolver_stands_for_the_file(opened, system):
    """It finds bare names of per-CPU and network-stack variables, too; type 7, as libkvm has it."""

    def network(world: World) -> None:
        symbols = {one.name: one for one in world.symbols}
        template = symbols["vnet_entry_ifnet"]
        world.symbol("__start_set_vnet", template.address)
        world.symbol("__stop_set_vnet", template.address + template.size)
        jail = Thing(
            world,
            "struct vnet",
            int.from_bytes(world.read(symbols["vnet_head"].address, 8), "little"),
        )
        world.define("vnet0", "pointer", jail.get("vnet_le.le_next"))

    dump = system(fill=network)
    known = {one.name: one.address for one in dump.world.symbols} | {"_odd": 0x1234}
    asked: list[str] = []

    def resolver(name: str) -> int | None:
        asked.append(name)
        return known.get(name)

    names = ["_odd", "odd", "hz", "tdq", "_ifnet"]
    kd = opened(dump.kernel, dump.core, resolver=resolver)
    nl = [compat.Nlist(name) for name in names]
    assert compat.kvm_nlist2(kd, nl) == 1
    assert asked[:5] == names
    plain = opened(dump.kernel, dump.core)
    own = [compat.Nlist(name) for name in names]
    assert compat.kvm_nlist2(plain, own) == 2
    assert [one.n_value for one in nl] == [0x1234, *(one.n_value for one in own[1:])]
    assert {one.n_type for one in nl if one.n_value} == {7}
    # the kernel's own objects are none of the resolver's business
    assert compat.kvm_getloadavg(kd, load := [], 3) == 3
    assert load == [0.5, 0.25, 0.125]


# objects


@pytest.mark.parametrize("arch", ARCHES)
def test_foreign_dumps_answer_everything(opened, system, arch):
    """Any architecture's, on any machine: libkvm refuses all but its own."""
    dump = system(arch)
    kd = opened(dump.kernel, dump.core)
    assert compat.kvm_getloadavg(kd, load := [], 5) == 3
    assert load == [0.5, 0.25, 0.125]
    assert compat.kvm_getcptime(kd, ticks := []) == 0
    assert ticks == [sum(both) for both in zip(*TICKS.values(), strict=True)]
    assert compat.kvm_getswapinfo(kd, rows := [], 3, compat.SWIF_DEV_PREFIX) == 2
    assert [(row.ksw_devname, row.ksw_used) for row in rows] == [
        ("/dev/vtbd4", 100),
        ("[NFS swap]", 5),
        ("", 105),
    ]
    assert (compat.kvm_getmaxcpu(kd), compat.kvm_getncpus(kd)) == (8, 2)
    assert compat.kvm_counter_u64_fetch(kd, dump.counter("v_trap")) == sum(COUNTERS["v_trap"])
    own = compat.kvm_getpcpu(kd, 2)
    assert isinstance(own, bytes)
    assert len(own) == dump.world.c.size("struct pcpu")
    at = dump.world.place("struct pcpu", "pc_cpuid").offset
    assert int.from_bytes(own[at : at + 4], dump.world.byteorder) == 2
    assert [compat.kvm_getpcpu(kd, cpu) for cpu in (1, 3, 8, 99999, -1)] == [None] * 5
    assert compat.kvm_geterr(kd) == ""


@pytest.mark.parametrize("arch", ARCHES)
def test_processes_of_foreign_dumps(opened, people, arch):
    """With their arguments, their files and their threads."""

    def fill(population: Population) -> None:
        world = population.world
        text = b"sh\0-c\0\0"
        kept = Thing(world, "struct pargs", world.allocate(world.c.size("struct pargs") + 16))
        kept.put("ar_length", len(text))
        world.write(kept.at("ar_args"), text)
        population.add(2, b"sh", members={"p_args": kept}, threads=[{}, {}])
        credentials = population.credentials(uid=1001)
        file = world.new("struct file", f_type=2, f_count=1, f_cred=credentials)
        population.open(2, {3: file})

    kd = opened(*people(fill, arch))
    [shell] = compat.kvm_getprocs(kd, compat.KERN_PROC_PID, 2) or ()
    assert shell.comm == "sh"
    assert compat.kvm_getargv(kd, shell) == ["sh", "-c", ""]
    assert compat.kvm_getargv(kd, shell, 5) == ["sh", "-"]
    assert [(one.pid, one.fd, one.kind) for one in compat.kvm_getfiles(kd) or ()] == [
        (2, 3, "socket")
    ]
    both = compat.kvm_getprocs(kd, compat.KERN_PROC_PID | compat.KERN_PROC_INC_THREAD, 2) or ()
    assert [one.tid for one in both] == [100_020, 100_021]


def test_processes_by_op(opened, people):
    """As a running kernel chooses them; no match is no error but for a PID."""

    def fill(population: Population) -> None:
        mine = population.credentials(uid=1001, gid=2001, cr_ruid=1002, cr_rgid=2002)
        group = population.group(70, population.session(60))
        population.add(10, b"a", members={"p_ucred": mine, "p_pgrp": group}, threads=[{}, {}])
        population.add(11, b"b")

    kd = opened(*people(fill))
    chosen = {
        (compat.KERN_PROC_PROC, 0): [10, 11],
        (compat.KERN_PROC_ALL, 0): [10, 10, 11],
        (compat.KERN_PROC_PID, 11): [11],
        (compat.KERN_PROC_PGRP, 70): [10],
        (compat.KERN_PROC_SESSION, 60): [10],
        (compat.KERN_PROC_UID, 1001): [10],
        (compat.KERN_PROC_RUID, 1002): [10],
        (compat.KERN_PROC_GID, 2001): [10],
        (compat.KERN_PROC_RGID, 2002): [10],
        (compat.KERN_PROC_PGRP, 99999): [],
        (compat.KERN_PROC_UID, 99999): [],
    }
    for (op, arg), pids in chosen.items():
        found = compat.kvm_getprocs(kd, op, arg)
        assert found is not None
        assert sorted(one.pid for one in found) == pids
        assert compat.kvm_geterr(kd) == ""
    for op, arg, text in (
        (compat.KERN_PROC_PID, 99999, "kvm_getprocs: No such process"),
        (77, 0, "kvm_getprocs: No such file or directory"),
    ):
        assert compat.kvm_getprocs(kd, op, arg) is None
        assert compat.kvm_geterr(kd) == text


def test_strings_that_are_not_in_a_minidump(opened, people):
    """A process's own memory is left out of it: NULL, and a text that says so."""
    kd = opened(*people(lambda population: population.add(5, b"daemon")))
    [daemon] = compat.kvm_getprocs(kd, compat.KERN_PROC_PID, 5) or ()
    assert compat.kvm_getenvv(kd, daemon) is None
    assert compat.kvm_geterr(kd)


def test_what_a_kernel_lacks_is_an_error_with_a_text(opened, people):
    """A dump of processes and nothing else: no swap, no load, no CPUs."""
    kd = opened(*people(lambda population: population.add(1, b"init")))
    assert compat.kvm_getmaxcpu(kd) == compat.kvm_getncpus(kd) == -1
    assert compat.kvm_geterr(kd) == "unable to find cpuid_to_pcpu"
    assert compat.kvm_getpcpu(kd, 0) == -1
    assert compat.kvm_geterr(kd) == "unable to find cpuid_to_pcpu"
    assert compat.kvm_dpcpu_setcpu(kd, 0) == -1
    assert compat.kvm_geterr(kd) == "kvm_dpcpu_setcpu: init failed"
    for call in (
        lambda: compat.kvm_getswapinfo(kd, [], 4, 0),
        lambda: compat.kvm_getloadavg(kd, [], 3),
        lambda: compat.kvm_getcptime(kd, []),
        lambda: compat.kvm_read_zpcpu(kd, 8, bytearray(8), 8, 0),
    ):
        assert call() == -1
        assert compat.kvm_geterr(kd)
    assert compat.kvm_counter_u64_fetch(kd, 8) == 0
    assert compat.kvm_geterr(kd)


def test_counters_that_are_not_allocated(opened, system):
    """0, and a text, where libkvm gives what lies at the base of all per-CPU memory."""
    dump = system()
    kd = opened(dump.kernel, dump.core)
    assert compat.kvm_counter_u64_fetch(kd, 0) == 0
    assert compat.kvm_geterr(kd) == "counter 0x0: it is not allocated yet"


# several at once


def crowd(population: Population, name: bytes) -> None:
    """Processes of one name."""
    for pid in range(1, 30):
        population.add(pid, name)


def test_two_dumps_in_two_threads(opened, system, people):
    """Of two architectures, each answering as if alone."""
    one, two = system("amd64", "one"), system("powerpc64", "two")
    crowds = [
        people(lambda population, name=name: crowd(population, name), name=name.decode())
        for name in (b"first", b"second")
    ]
    wrong: list[object] = []
    together = threading.Barrier(2)

    def ask(dump, many, name) -> None:
        kd, others = opened(dump.kernel, dump.core), opened(*many)
        base = dump.counter("v_swtch")
        together.wait(10)
        for cpu in (0, 2) * 10:
            compat.kvm_dpcpu_setcpu(kd, cpu)
            compat.kvm_nlist(kd, nl := [compat.Nlist("tdq")])
            answers = (
                nl[0].n_value - dump.template,
                compat.kvm_counter_u64_fetch(kd, base),
                {one.comm for one in compat.kvm_getprocs(others, 8, 0) or ()},
            )
            if answers != (0x200 if cpu else 0x100, 1234, {name}):
                wrong.append(answers)

    threads = [
        threading.Thread(target=ask, args=(dump, many, name))
        for dump, many, name in zip((one, two), crowds, ("first", "second"), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# damage


@pytest.mark.parametrize("seed", range(24))
def test_damaged_dumps_give_answers_or_texts(tmp_path, system, seed):
    """Whatever bytes are changed in the dump's memory, no function raises or never ends."""
    dump = system()
    data = bytearray(dump.core.read_bytes())
    chance = random.Random(seed)
    extremes = (b"\0" * 8, b"\xff" * 8, b"\x7f" * 8, (2**31).to_bytes(8, "little"))
    for _ in range(200):
        at = chance.randrange(0x4000, len(data)) & ~7
        data[at : at + 8] = chance.choice((*extremes, chance.randbytes(8)))
    damaged = tmp_path / "damaged"
    damaged.write_bytes(data)
    kd = compat.kvm_open2(str(dump.kernel), str(damaged), 0, errbuf := [])
    if kd is None:
        assert errbuf[0]
        return
    for function in EVERYTHING:
        function(kd)
    for name in ("v_swtch", "v_trap"):
        compat.kvm_counter_u64_fetch(kd, dump.counter(name))
    assert compat.kvm_close(kd) == 0


def test_version_is_read_as_c_would(opened, full):
    """The usual first program: kvm_nlist, then kvm_read of what it found."""
    kernel, core, _ = full("amd64")
    kd = opened(kernel, core)
    nl = [compat.Nlist("_version"), compat.Nlist(None)]
    assert compat.kvm_nlist(kd, nl) == 0
    assert read(kd, nl[0].n_value, len(VERSION)) == VERSION
