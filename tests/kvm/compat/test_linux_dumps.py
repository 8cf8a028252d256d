"""Do kvm(3)'s names keep their promises on a Linux core?"""

from __future__ import annotations

import pytest
from forge import linux_whole
from forge.linux_system_world import NR_CPU_IDS

from kvm_exporter.kvm import compat
from kvm_exporter.kvm.errors import Unsupported

KASLR = 0x1E000000


@pytest.fixture(scope="module")
def linux():
    """The machine."""
    return linux_whole.machine()


@pytest.fixture
def vmcore(linux, tmp_path):
    """The path of its core."""
    path = tmp_path / "vmcore"
    path.write_bytes(linux.core)
    return str(path)


@pytest.fixture
def kd(vmcore):
    """A descriptor of it; no kernel is named."""
    opened = compat.kvm_openfiles(None, vmcore, None, compat.O_RDONLY, errbuf := [])
    assert opened is not None, errbuf
    yield opened
    compat.kvm_close(opened)


def address(linux, name):
    """Where the forge put a variable."""
    return next(one.address for one in linux.world.symbols if one.name == name)


def test_numbers_of_the_system(kd):
    """Load averages, CPU times in ticks of a hundredth of a second, swap."""
    assert compat.kvm_getloadavg(kd, load := [0.0] * 3, 3) == 3
    assert load == [1.5, 0.08, 0.0]
    assert compat.kvm_getcptime(kd, ticks := []) == 0
    assert ticks[0] == 112
    assert compat.kvm_getswapinfo(kd, swap := [], 9, compat.SWIF_DEV_PREFIX) == 2
    assert [one.ksw_devname for one in swap[:2]] == ["/dev/zram0", "/swap file"]
    assert swap[2].ksw_total == 6000
    assert compat.kvm_geterr(kd) == ""


def test_processes_their_arguments_and_files(kd):
    """By operation; arguments and environment from their own memory."""
    found = compat.kvm_getprocs(kd, compat.KERN_PROC_PROC, 0)
    assert [one.pid for one in found] == [1, 2, 40, 41, 50, 60, 77]
    threads = compat.kvm_getprocs(kd, compat.KERN_PROC_PID | compat.KERN_PROC_INC_THREAD, 41)
    assert [one.tid for one in threads] == [41, 42]
    [shell] = compat.kvm_getprocs(kd, compat.KERN_PROC_PID, 40)
    assert shell.comm == "sh"
    assert compat.kvm_getargv(kd, shell, 0) == ["sh", "-c", "echo 'two words'", ""]
    assert compat.kvm_getenvv(kd, shell, 0) == ["PATH=/bin", "LANG=C"]
    assert {file.path for file in compat.kvm_getfiles(kd)} == {"/etc/hosts"}


def test_names_and_memory(kd, linux):
    """kvm_nlist and kvm_read; what is missing is counted, and an address that is none told."""
    nl = [compat.Nlist("linux_banner"), compat.Nlist("_linux_banner"), compat.Nlist("nowhere")]
    assert compat.kvm_nlist(kd, nl) == 1
    assert nl[0].n_value == nl[1].n_value == address(linux, "linux_banner")
    assert compat.kvm_read(kd, nl[0].n_value, buffer := bytearray(13), 13) == 13
    assert buffer == b"Linux version"
    assert compat.kvm_read(kd, 0x10, buffer, 13) == -1
    assert compat.kvm_geterr(kd) == "invalid address (0x10)"
    assert compat.kvm_write(kd, nl[0].n_value, b"x") == -1


def test_pages_are_walked(kd, linux):
    """Each that the core holds, with its kernel address; until the callback has enough."""
    seen = []
    assert compat.kvm_walk_pages(kd, lambda page, _: seen.append(page) or 1) == 1
    held = {page.kp_paddr: page for page in seen if page.kp_offset >= 0}
    banner = address(linux, "linux_banner")
    page = next(page for page in held.values() if 0 <= banner - page.kp_kmap_vaddr < page.kp_len)
    at = page.kp_offset + banner - page.kp_kmap_vaddr
    assert linux.core[at : at + 13] == b"Linux version"
    assert compat.kvm_walk_pages(kd, lambda _page, _: 0) == 0


def test_a_dump_tells_what_a_running_linux_does_not(kd):
    """How far KASLR moved it, and how many CPUs it could have."""
    assert compat.kvm_kerndisp(kd) == KASLR
    assert compat.kvm_getmaxcpu(kd) == NR_CPU_IDS
    assert compat.kvm_getncpus(kd) == 2
    assert compat.kvm_native(kd) in (0, 1)
    assert compat.kvm_geterr(kd) == ""


@pytest.mark.parametrize(
    "call",
    [
        lambda kd: compat.kvm_getpcpu(kd, 0),
        lambda kd: compat.kvm_dpcpu_setcpu(kd, 0),
        lambda kd: compat.kvm_read_zpcpu(kd, 0x1000, bytearray(8), 8, 0),
        lambda kd: compat.kvm_counter_u64_fetch(kd, 0x1000),
    ],
)
def test_what_only_freebsd_has_is_unsupported(kd, call):
    """A struct pcpu for one, which an error code would pass off as an absent CPU."""
    with pytest.raises(Unsupported, match="only FreeBSD's per-CPU data"):
        call(kd)


def test_a_kernel_of_another_build_is_null_with_a_text(linux, vmcore, tmp_path):
    """As every dump that cannot be opened."""
    wrong = tmp_path / "vmlinux"
    wrong.write_bytes(linux.file(build_id=bytes(20)))
    assert compat.kvm_openfiles(str(wrong), vmcore, None, 0, errbuf := []) is None
    assert "did not write this dump" in errbuf[0]
