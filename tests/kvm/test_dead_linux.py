"""Does a Linux core, of any form, become an open kernel by itself, and nothing else?"""

from __future__ import annotations

import os
import threading

import pytest
from forge import elf, linux_memory, linux_whole
from forge.btf import Btf
from forge.crashed import crash
from forge.kernel_structs import MODERN
from forge.population import Population
from forge.world import World

from kvm_exporter import kvm
from kvm_exporter.kvm import DumpOptions
from kvm_exporter.kvm.errors import Fault, Filtered, TypeMissing

PIDS = [1, 2, 40, 41, 50, 60, 77]


@pytest.fixture(scope="module")
def linux():
    """The machine that most of these tests are about."""
    return linux_whole.machine()


@pytest.fixture(scope="module")
def bare():
    """One of which the memory has neither kallsyms nor BTF."""
    return linux_whole.machine("i386-pae", symbols=False, types=False)


@pytest.fixture
def files(tmp_path):
    """Writes files of these names and bytes; their paths."""

    def write(**contents):
        for name, data in contents.items():
            (tmp_path / name).write_bytes(data)
        return [str(tmp_path / name) for name in contents]

    return write


@pytest.fixture
def cache(tmp_path):
    """A directory of its own for indexes, as an option."""
    return DumpOptions(cache_directory=str(tmp_path / "cache"))


def pids(opened):
    """Its processes."""
    return sorted(process.pid for process in opened.processes(["pid"]))


def open_files():
    """How many files this process has open."""
    return len(os.listdir("/dev/fd"))


@pytest.mark.parametrize("name", sorted(linux_whole.ABIS))
def test_a_core_alone_gives_every_object(files, cache, name):
    """Of any word size and byte order; no file of its kernel is needed, and nothing fails."""
    [core] = files(core=linux_whole.machine(name).core)
    with kvm.open(None, core, dump_options=cache) as opened:
        assert not opened.live
        assert pids(opened) == PIDS
        assert opened.arguments(40) == ("sh", "-c", "echo 'two words'", "")
        assert opened.environment(40) == ("PATH=/bin", "LANG=C")
        assert [file.path for file in opened.open_files(40)] == ["/etc/hosts"] * 2
        assert opened.load_average().one == 1.5
        assert opened.uname().release == linux_whole.UNAME[2]
        assert opened.life().panic == linux_whole.PANIC
        assert opened.life().death_time_seconds == linux_whole.CRASHED
        assert [one.name for one in opened.swap_devices()] == ["/dev/zram0", "/swap file"]
        assert [one.path for one in opened.mounts()] == ["/", "/proc", "/mnt/a b"]
        assert {one.name for one in opened.interfaces()} > {"lo", "eth0"}
        assert opened.message_buffer().splitlines()[1] == "[    5.140900] a line"
        assert [one.cpu for one in opened.cpu_times_per_cpu()] == [0, 34]
        assert opened.memory().size_bytes
        assert opened.kernel().forks == 1234
        [shell] = opened.processes(["wait_channel"], kvm.ProcOp.PID, 40)
        assert shell.wait_channel == "do_wait"
        assert opened.refusals() == {}


def test_names_memory_types_and_pages(linux, files, cache):
    """Symbols of the kernel and of a module, and what lies there."""
    [core] = files(core=linux.core)
    with kvm.open(None, core, dump_options=cache) as opened:
        banner, poll, missing = opened.nlist(["linux_banner", "forged_poll", "nowhere"])
        assert missing is None
        assert poll.value % 16 == 0
        assert opened.read(banner.value, 13) == b"Linux version"
        task = opened.target.variable("init_task", "struct task_struct")
        assert task["comm"].string() == "swapper/0"
        held = {page.physical for page in opened.pages() if page.offset is not None}
    start = linux.physical(banner.value) // 4096 * 4096
    assert start in held
    assert held >= {number * 4096 for number in linux.pages if number * 4096 >= 1 << 20}


FORMS = {
    "ELF without a note": lambda linux: [linux.elf(note=False)],
    "kdump": lambda linux: [linux.kdump().data],
    "kdump, filtered": lambda linux: [linux.kdump(filtered=True).data],
    "kdump without VMCOREINFO": lambda linux: [linux.kdump(vmcoreinfo=b"").data],
    "flattened": lambda linux: [linux.flattened()],
    "split": lambda linux: linux.split(),
    "split, the second first": lambda linux: linux.split()[::-1],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_machine(linux, files, cache, form):
    """VMCOREINFO may be in memory only; several files are one dump."""
    parts = files(**{f"part{at}": data for at, data in enumerate(FORMS[form](linux))})
    core = parts[0] if len(parts) == 1 else parts
    with kvm.open(None, core, dump_options=cache) as opened:
        assert pids(opened) == PIDS
        assert opened.life().panic == linux_whole.PANIC
        assert any(page.offset is not None for page in opened.pages())
        if "filtered" not in form:
            assert opened.arguments(40)[0] == "sh"


def test_a_filtered_page_is_told_from_a_missing_one(linux, files, cache):
    """Users' pages are left out (makedumpfile -d 31): so arguments are unknown, and that is why."""
    [core] = files(core=linux.kdump(filtered=True).data)
    with kvm.open(None, core, dump_options=cache) as opened:
        with pytest.raises(Filtered):
            opened.arguments(40)
        with pytest.raises(Fault) as raised:
            opened.read(linux.kernel.row.direct + (1 << 40), 8)
        assert not isinstance(raised.value, Filtered)


def test_a_part_of_a_split_set_has_its_own_pages(linux, files):
    """Of the others it is told in which file they are: in none that was named."""
    one, two, whole = files(one=linux.split()[0], two=linux.split()[1], whole=linux.kdump().data)
    before = open_files()
    for part in (one, two):
        with kvm.open(None, part) as opened:
            assert dict(opened.facts())["split dump"].startswith("1 files")
            with pytest.raises(kvm.KvmError, match=r"in a file not given|no task of this list"):
                pids(opened)
    with pytest.raises(kvm.FormatError, match="no part of a split one"):
        kvm.open(None, [one, whole])
    assert open_files() == before


# kernel files


def test_facts_name_core_kernel_and_where_types_are_from(linux, files, cache):
    """What inspect info shows first."""
    kernel, core = files(kernel=linux.vmlinux, core=linux.core)
    with kvm.open(kernel, core, dump_options=cache) as opened:
        facts = dict(opened.facts())
    assert (facts["core"], facts["kernel"]) == (core, kernel)
    assert facts["kernel release"] == linux_whole.UNAME[2]
    assert facts["types"].startswith("BTF of its memory")
    assert facts["kernel displaced by"] == "0x1e000000"


@pytest.mark.parametrize("detached", [False, True])
def test_a_vmlinux_or_detached_btf_serves_where_memory_has_no_types(detached, files, cache):
    """Types from BTF alone need symbols in memory still; a vmlinux has both."""
    linux = linux_whole.machine(symbols=detached, types=False)
    data = Btf(linux.world.c).data if detached else linux.vmlinux
    kernel, core = files(kernel=data, core=linux.core)
    with kvm.open(kernel, core, dump_options=cache) as opened:
        assert pids(opened) == PIDS
        assert dict(opened.facts())["types"].startswith(f"BTF of {kernel}")


def test_a_machine_without_symbols_says_which_file_would_help(bare, files, cache):
    """Objects are errors, and not empty; with the vmlinux all is well."""
    kernel, core = files(kernel=bare.vmlinux, core=bare.core)
    with kvm.open(None, core, dump_options=cache) as opened:
        with pytest.raises(kvm.KvmError):
            pids(opened)
        with pytest.raises(TypeMissing, match="vmlinux"):
            opened.target.view(0, "struct task_struct")
    with kvm.open(kernel, core, dump_options=cache) as opened:
        assert pids(opened) == PIDS


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        ({"build_id": bytes(20)}, "its build id is 0000.* and the dump's bb603a91"),
        (
            {"build_id": b"", "banner": b"Linux version 5\0"},
            "it is 'Linux version 5', and the dump",
        ),
    ],
    ids=["build id", "banner"],
)
def test_a_vmlinux_of_another_build_is_refused(linux, files, kernel, words):
    """By its build id; where it has none by what it calls itself."""
    wrong, core = files(wrong=linux.file(**kernel), core=linux.core)
    before = open_files()
    with pytest.raises(kvm.FormatError, match=f"wrong did not write this dump: {words}"):
        kvm.open(wrong, core)
    assert open_files() == before


def test_a_vmlinux_without_a_build_id_is_known_by_its_banner(linux, files, cache):
    """Which must be in the dump where KASLR put it."""
    kernel, core = files(kernel=linux.file(build_id=b""), core=linux.core)
    with kvm.open(kernel, core, dump_options=cache) as opened:
        assert pids(opened) == PIDS


@pytest.mark.parametrize("name", sorted(linux_whole.ABIS))
def test_a_stripped_vmlinux_tells_types(name, files, cache):
    """It keeps its BTF; symbols are in memory."""
    linux = linux_whole.machine(name, types=False)
    kernel, core = files(kernel=linux.file(stripped=True), core=linux.core)
    with kvm.open(kernel, core, dump_options=cache) as opened:
        assert pids(opened) == PIDS


def test_another_systems_kernel_without_a_build_id_is_refused(linux, files):
    """It has no banner that could be compared."""
    kernel, core = files(kernel=elf.kernel("amd64", [], build_id=b""), core=linux.core)
    with pytest.raises(kvm.FormatError, match="kernel is no Linux kernel"):
        kvm.open(kernel, core)


def test_a_vmlinux_of_another_architecture_is_refused(linux, bare, files):
    """Both architectures are named."""
    kernel, core = files(kernel=bare.vmlinux, core=linux.core)
    with pytest.raises(kvm.FormatError, match="kernel of i386, but the dump one of amd64"):
        kvm.open(kernel, core)


# what is no Linux, and what nobody knows


@pytest.fixture
def freebsd(tmp_path):
    """The kernel and the minidump of a FreeBSD."""
    people = Population(World(MODERN, base=0xFFFFFE0001230000))
    people.add(1, b"init")
    return crash(people.finish(), tmp_path)


def test_freebsd_and_linux_are_not_taken_for_one_another(linux, freebsd, files):
    """A kernel's file and a core that do not belong together are told."""
    kernel, core = map(str, freebsd)
    vmlinux, vmcore = files(vmlinux=linux.vmlinux, core=linux.core)
    with kvm.open(kernel, core) as opened:
        assert opened.system.name == "freebsd"
    with pytest.raises(kvm.FormatError, match="no VMCOREINFO"):
        kvm.open(vmlinux, core)
    with pytest.raises(kvm.FormatError, match="did not write this dump"):
        kvm.open(kernel, vmcore)


def test_a_core_that_says_nothing_of_its_kernel(linux, files):
    """Without VMCOREINFO, in note and memory, it may be anybody's: the message says what to do."""
    silent = linux.elf(note=False).replace(b"OSRELEASE=", b"osrelease=")
    vmlinux, core = files(vmlinux=linux.vmlinux, core=silent)
    before = open_files()
    with pytest.raises(kvm.KvmError, match="name the kernel's file"):
        kvm.open(None, core)
    with pytest.raises(kvm.FormatError, match="no VMCOREINFO, neither in a note nor in memory"):
        kvm.open(vmlinux, core)
    assert open_files() == before


def test_vmcoreinfo_of_another_kernel_leads_nowhere(linux, files):
    """Its addresses lead to no page tables that map that kernel."""
    text = linux_memory.linux("arm64-4k-48").text
    data = linux_memory.note(text)
    own = linux_memory.note(linux.text)
    core = linux.elf().replace(own, data.ljust(len(own), b"\n")[: len(own)])
    core = core.replace(b"OSRELEASE=6.18", b"osrelease=6.18")
    [path] = files(core=core)
    with pytest.raises(kvm.FormatError, match="nothing that VMCOREINFO says leads to page tables"):
        kvm.open(None, path)


# handles


def test_closing_gives_every_file_back(linux, files, cache):
    """Of each part of a dump, and of its kernel."""
    kernel, *parts = files(kernel=linux.vmlinux, **dict(zip("ab", linux.split(), strict=True)))
    before = open_files()
    opened = kvm.open(kernel, parts, dump_options=cache)
    assert pids(opened) == PIDS
    opened.target.types.find("struct task_struct")
    assert open_files() > before
    opened.close()
    assert open_files() == before


def test_two_cores_in_two_threads_answer_as_if_alone(linux, bare, files, cache):
    """State is the handle's own."""
    kernel, one, other = files(kernel=bare.vmlinux, one=linux.kdump().data, other=bare.core)
    found: list[set[tuple[int, str]]] = [set(), set()]
    together = threading.Barrier(2)

    def read(number, *paths):
        with kvm.open(*paths, dump_options=cache) as opened:
            together.wait()
            for _ in range(3):
                found[number].add((len(pids(opened)), opened.uname().machine))

    threads = [
        threading.Thread(target=read, args=(0, None, one)),
        threading.Thread(target=read, args=(1, kernel, other)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [{(7, "x86_64")}, {(7, "i686")}]


# the index on disk


def indexes(options):
    """The files that were kept, and when each was written."""
    folder = options.cache_directory
    return {
        os.path.join(at, name): os.stat(os.path.join(at, name)).st_mtime_ns
        for at, _, names in os.walk(folder)
        for name in names
    }


def test_an_index_is_kept_and_used(linux, files, cache, monkeypatch):
    """The second open expands no names again, and writes nothing."""
    [core] = files(core=linux.core)
    with kvm.open(None, core, dump_options=cache) as opened:
        first = pids(opened), opened.nlist(["linux_banner"])
    kept = indexes(cache)
    assert kept

    def expanded(*_arguments):
        raise AssertionError("names are expanded although an index is kept")

    monkeypatch.setattr("kvm_exporter.kvm.symbols.kallsyms_reading.names_of", expanded)
    with kvm.open(None, core, dump_options=cache) as opened:
        assert (pids(opened), opened.nlist(["linux_banner"])) == first
    assert indexes(cache) == kept


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "foreign"])
def test_a_damaged_index_is_not_believed(linux, files, cache, damage):
    """Answers are the same as without one."""
    [core] = files(core=linux.core)
    with kvm.open(None, core, dump_options=cache) as opened:
        expected = list(opened.symbols), sorted(opened.target.types.names())
    for path in indexes(cache):
        with open(path, "r+b") as file:
            data = file.read()
            file.seek(0)
            file.truncate(0)
            middle = len(data) // 2
            file.write(
                {
                    "empty": b"",
                    "cut": data[:middle],
                    "flipped": data[:middle] + bytes(byte ^ 0xFF for byte in data[middle:]),
                    "foreign": b"#!/bin/sh\nexit 1\n" * 99,
                }[damage]
            )
    with kvm.open(None, core, dump_options=cache) as opened:
        assert (list(opened.symbols), sorted(opened.target.types.names())) == expected


def test_an_index_of_another_kernel_with_that_build_id_is_not_believed(linux, files, cache):
    """Two machines that claim one build id, but whose symbols differ."""
    other = linux_whole.machine(more="another_variable")
    one, two = files(one=linux.core, two=other.core)
    with kvm.open(None, one, dump_options=cache) as opened:
        assert opened.nlist(["another_variable"]) == [None]
    with kvm.open(None, two, dump_options=cache) as opened:
        assert opened.nlist(["another_variable"]) != [None]
        assert pids(opened) == PIDS


def test_where_no_index_can_be_kept_there_is_none(linux, files, tmp_path):
    """A directory that cannot be made is no reason to fail."""
    [core] = files(core=linux.core)
    (tmp_path / "file").write_bytes(b"")
    options = DumpOptions(cache_directory=str(tmp_path / "file" / "cache"))
    with kvm.open(None, core, dump_options=options) as opened:
        assert pids(opened) == PIDS
