"""Does a dump together with its kernel file become an open kernel, and nothing else?"""

from __future__ import annotations

import gzip
import os
import threading

import pytest
from forge import cdecl
from forge.crashed import BASES, VERSION, crash, kernel_file
from forge.elf import note
from forge.kernel_structs import MODERN
from forge.population import Population
from forge.world import World

from kvm_exporter import kvm
from kvm_exporter.kvm.dead import freebsd


def people(arch="amd64", names=(b"init", b"sh")):
    """A world with a process of each name."""
    world = World(MODERN, base=BASES[arch])
    population = Population(world)
    for pid, name in enumerate(names, 1):
        population.add(pid, name)
    return population.finish()


@pytest.fixture
def crashed(tmp_path):
    """The kernel's file and its dump."""
    return crash(people(), tmp_path)


def names(opened):
    """What its processes are called."""
    return {process.comm for process in opened.processes(["comm"])}


def open_files():
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


def test_a_dump_and_its_kernel_tell_what_the_kernel_had(crashed):
    """Processes, symbols, memory, types and pages, through the handle that live kernels have."""
    kernel, core = map(str, crashed)
    with kvm.open(kernel, core) as opened:
        assert not opened.live
        assert names(opened) == {"init", "sh"}
        [version] = opened.nlist(["version"])
        assert opened.read(version.value, 7) == b"FreeBSD"
        assert opened.target.variable("hz", "int").value() == 1000
        assert {page.length for page in opened.pages()} == {4096}


def test_facts_name_both_files_and_where_types_are_from(crashed):
    """What inspect info shows first."""
    kernel, core = map(str, crashed)
    with kvm.open(kernel, core) as opened:
        facts = dict(opened.facts())
    assert (facts["core"], facts["kernel"]) == (core, kernel)
    assert facts["types"].startswith("CTF of")
    assert "minidump" in facts["format"]


def test_closing_gives_every_file_back(crashed):
    """The dump's, the kernel's, and that of the types."""
    before = open_files()
    opened = kvm.open(*map(str, crashed))
    names(opened)
    assert open_files() > before
    opened.close()
    assert open_files() == before


def test_a_kernel_of_another_build_is_refused(tmp_path, crashed):
    """Its symbols would make garbage of everything; the message has both versions."""
    _, core = crashed
    other = people()
    other.define("version", "char", b"FreeBSD 15.1-RELEASE another\n\0")
    wrong = tmp_path / "wrong"
    wrong.write_bytes(kernel_file(other))
    before = open_files()
    with pytest.raises(kvm.FormatError, match=r"wrong did not write this dump.*another.*forged"):
        kvm.open(str(wrong), str(core))
    assert open_files() == before


def test_what_is_no_version_string_is_not_shown(tmp_path):
    """Where another kernel's version would be, the dump has anything: that helps nobody."""
    world = people()
    version = world.define("version", "char", VERSION)
    kernel, core = crash(world, tmp_path)
    other = people()
    other.bytes(VERSION, version.address - 4096)
    other.symbol("version", version.address - 4096, len(VERSION))
    kernel.write_bytes(kernel_file(other))
    with pytest.raises(kvm.FormatError, match=r"GENERIC', and the dump has something else there"):
        kvm.open(str(kernel), str(core))


def test_another_build_with_the_same_version_is_refused(tmp_path):
    """Releases are built reproducibly: all their GENERIC kernels have one version string."""
    builds = [people() for _ in range(2)]
    for number, build in enumerate(builds):
        build.define("version", "char", VERSION)
        build.define("__build_id_start", "char", note("<", b"GNU\0", 3, bytes([number]) * 20))
    kernel, core = crash(builds[0], tmp_path)
    with kvm.open(str(kernel), str(core)) as opened:
        assert names(opened) == {"init", "sh"}
    wrong = tmp_path / "wrong"
    wrong.write_bytes(kernel_file(builds[1]))
    with pytest.raises(kvm.FormatError, match=r"wrong did not write this dump: .* another build"):
        kvm.open(str(wrong), str(core))


def test_a_kernel_of_another_architecture_is_refused(tmp_path, crashed):
    """Both architectures are named."""
    folder = tmp_path / "arm"
    folder.mkdir()
    kernel, _ = crash(people("aarch64"), folder, "aarch64")
    with pytest.raises(kvm.FormatError, match=r"kernel of aarch64, but the dump one of amd64"):
        kvm.open(str(kernel), str(crashed[1]))


@pytest.mark.parametrize("told", [True, False])
def test_a_kernel_that_is_not_named_is_found_by_its_version(tmp_path, monkeypatch, crashed, told):
    """By info.N's version string; without one, the first whose version is in the dump."""
    kernel, core = crashed
    boot = tmp_path / "boot"
    for folder, data in (("a", b"no ELF file"), ("kernel", kernel.read_bytes())):
        (boot / folder).mkdir(parents=True)
        (boot / folder / "kernel").write_bytes(data)
    monkeypatch.setattr(freebsd, "KERNELS", (str(boot / "*" / "kernel"),))
    if told:
        (core.parent / "info.0").write_text(
            "Dump header from device: /dev/x\n"
            "  Version String: FreeBSD 15.1-RELEASE forged GENERIC\n"
        )
    with kvm.open(None, str(core)) as opened:
        assert dict(opened.facts())["kernel"] == str(boot / "kernel" / "kernel")
        assert names(opened) == {"init", "sh"}


@pytest.mark.parametrize("told", [True, False])
def test_of_two_kernels_of_one_version_the_right_one_is_taken(tmp_path, monkeypatch, told):
    """/boot/kernel may be a newer build than the one that died, which is /boot/kernel.old."""
    builds = [people() for _ in range(2)]
    for number, build in enumerate(builds):
        build.define("version", "char", VERSION)
        build.define("__build_id_start", "char", note("<", b"GNU\0", 3, bytes([number]) * 20))
    kernel, core = crash(builds[0], tmp_path)
    newer = tmp_path / "newer"
    newer.write_bytes(kernel_file(builds[1]))
    monkeypatch.setattr(freebsd, "KERNELS", (str(newer), str(kernel)))
    if told:
        line = f"  Version String: {VERSION[:-2].decode()}\n"
        (tmp_path / "info.0").write_text(f"Dump header from device: /dev/x\n{line}")
    before = open_files()
    with kvm.open(None, str(core)) as opened:
        assert dict(opened.facts())["kernel"] == str(kernel)
    assert open_files() == before


def test_a_long_version_is_told_by_its_beginning(tmp_path, monkeypatch):
    """A dump header has room for 191 bytes; where and by whom a kernel was built may be longer."""
    world = people()
    version = b"FreeBSD 14.3-STABLE forged\n    root@%s:/usr/obj/sys/GENERIC\n" % (b"host." * 40)
    world.define("version", "char", version + b"\0")
    kernel, core = crash(world, tmp_path)
    monkeypatch.setattr(freebsd, "KERNELS", (str(kernel),))
    told = version[:191].decode()
    (tmp_path / "info.0").write_text(f"Dump header from device: /dev/x\n  Version String: {told}\n")
    with kvm.open(None, str(core)) as opened:
        assert names(opened) == {"init", "sh"}


def test_a_kernel_that_is_nowhere_has_to_be_named(tmp_path, monkeypatch, crashed):
    """The error tells where it was looked for."""
    monkeypatch.setattr(freebsd, "KERNELS", (str(tmp_path / "boot" / "kernel"),))
    with pytest.raises(kvm.KvmError, match=r"no such kernel is in .*boot/kernel: name the kernel"):
        kvm.open(None, str(crashed[1]))


def test_a_kernel_that_did_not_panic_died_of_nothing(crashed):
    """After reboot -d info.N has an empty panic string."""
    kernel, core = crashed
    (core.parent / "info.0").write_text("Dump header from device: /dev/x\n  Panic String: \n")
    with kvm.open(str(kernel), str(core)) as opened:
        assert opened.life().panic is None


def test_a_compressed_dump_is_the_same_dump(tmp_path, crashed):
    """And the facts tell that it is compressed."""
    kernel, core = crashed
    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(core.read_bytes()))
    with kvm.open(str(kernel), str(packed)) as opened:
        assert names(opened) == {"init", "sh"}
        assert "gzip" in dict(opened.facts())["wrapped in"]


def test_dumps_of_a_directory_are_known(crashed):
    """The directory that savecore writes to is enough; the last dump is meant."""
    kernel, core = crashed
    with kvm.open(str(kernel), str(core.parent)) as opened:
        assert dict(opened.facts())["core"] == str(core)


def test_dumps_are_never_written(crashed):
    """Even where the file could be."""
    kernel, core = map(str, crashed)
    with kvm.open(kernel, core) as opened, pytest.raises(kvm.KvmError):
        opened.write(opened.nlist(["hz"])[0].value, b"\0\0\0\0")


@pytest.mark.parametrize("arch", sorted(BASES))
def test_foreign_dumps_are_read_as_native_ones(tmp_path, arch):
    """Any architecture's, on any machine."""
    abi = {"i386": cdecl.I386, "armv7": cdecl.ARMV7, "powerpc64": cdecl.POWERPC64}
    world = World(MODERN, abi.get(arch, cdecl.AMD64), base=BASES[arch])
    population = Population(world)
    population.add(1, b"init")
    kernel, core = crash(population.finish(), tmp_path, arch, version=2)
    with kvm.open(str(kernel), str(core)) as opened:
        assert names(opened) == {"init"}


def test_two_dumps_in_two_threads_answer_as_if_alone(tmp_path):
    """State is the handle's own."""
    dumps = []
    for comm in (b"first", b"second"):
        folder = tmp_path / comm.decode()
        folder.mkdir()
        dumps.append(tuple(map(str, crash(people(names=(comm,) * 50), folder))))
    found: dict[int, set[str]] = {0: set(), 1: set()}
    together = threading.Barrier(2)

    def read(number):
        with kvm.open(*dumps[number]) as opened:
            together.wait()
            for _ in range(10):
                found[number] |= names(opened)

    threads = [threading.Thread(target=read, args=(number,)) for number in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: {"first"}, 1: {"second"}}
