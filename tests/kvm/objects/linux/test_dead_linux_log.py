"""Is the log of a dead Linux read whole, whatever came of its ring, and its last words found?"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from fakes.world import WorldTypes, target
from forge import cdecl, linux_log, linux_system, linux_system_world
from forge.world import World

from kvm_exporter.kvm.errors import Fault, FormatError, KvmError, TypeMissing
from kvm_exporter.kvm.objects.linux import deadlife, deadlog, printk
from kvm_exporter.kvm.tally import Tally

LOGS = {
    "modern": (linux_system.MODERN, linux_log.modern),
    "old": (linux_system.OLD, linux_log.old),
}
SECOND = 1_000_000_000


def written(kernel: str, texts: Sequence[bytes], abi: cdecl.Abi = cdecl.AMD64) -> World:
    """A kernel that has printed these lines, a second each, and nothing else."""
    declarations, write = LOGS[kernel]
    world = World(declarations, abi)
    write(world, [(SECOND * at, text) for at, text in enumerate(texts)])
    return world


def dying(kernel: str, texts: Sequence[bytes], cpu: int) -> str | None:
    """The last words of a kernel that has printed this."""
    world = written(kernel, texts)
    world.define("panic_cpu", "int", cpu)
    return deadlife.from_memory(target(world)).panic


@pytest.fixture(params=LOGS)
def kernel(request: pytest.FixtureRequest) -> str:
    """Each kind of buffer."""
    return request.param


def test_a_line_of_panic_is_why_it_died(kernel: str) -> None:
    """The message without what comes before it."""
    texts = (b"BUG: first", b"Kernel panic - not syncing: sysrq", b"---[ end Kernel panic")
    assert dying(kernel, texts, cpu=1) == "sysrq"


def test_an_oops_that_dumped_is_why_it_died(kernel: str) -> None:
    """The first line that begins as one does."""
    texts = (b"a BUG: no", b"BUG: kernel NULL", b"Oops: 0002 [#1]")
    assert dying(kernel, texts, cpu=0) == "BUG: kernel NULL"


def test_who_lives_has_no_last_words(kernel: str) -> None:
    """Any program may write into the log that the kernel panics."""
    assert dying(kernel, (b"x", b"Kernel panic - not syncing: no", b"y"), cpu=-1) is None


def test_a_death_without_words_has_none(kernel: str) -> None:
    """Nothing is made up."""
    assert dying(kernel, (b"x", b"y", b"z"), cpu=0) is None


def test_bytes_are_told_as_they_are(kernel: str) -> None:
    """Undecodable ones as surrogates, lines within a record as such."""
    world = written(kernel, (b"\xff", b"two\nlines", b"\xc3\xa9"))
    log = deadlog.from_memory(target(world))
    assert log.encode("utf-8", "surrogateescape") == (
        b"[    0.000000] \xff\n[    1.000000] two\nlines\n[    2.000000] \xc3\xa9\n"
    )


class Vmcoreinfo:
    """Where the kernel says that the members of its log's structs are."""

    def __init__(self, world: World) -> None:
        self._c = world.c

    def value(self, key: str) -> str | None:
        return None

    def number(self, name: str) -> int | None:
        return None

    def offset(self, path: str) -> int | None:
        struct, _, member = path.partition(".")
        return self._c.offset(struct, member) if struct in self._c.structs else None

    def size(self, name: str) -> int | None:
        return self._c.size(f"struct {name}") if name in self._c.structs else None


@pytest.mark.parametrize("abi", [cdecl.AMD64, cdecl.I386, cdecl.POWERPC64])
def test_vmcoreinfo_tells_what_types_do_not(kernel: str, abi: cdecl.Abi) -> None:
    """A kernel without BTF tells where its log's members are."""
    world = written(kernel, (b"one", b"two", b"three"), abi)
    untyped = target(world)
    untyped.types = WorldTypes(cdecl.Declarations("struct other { int x; };", abi))
    texts = [record.text for record in printk.records(untyped, Vmcoreinfo(world))]
    assert texts == [b"one", b"two", b"three"]
    with pytest.raises(TypeMissing):
        list(printk.records(untyped))


def find(world: World, name: str) -> int:
    """The address of a variable."""
    return next(one.address for one in world.symbols if one.name == name)


def test_a_block_that_ends_where_the_ring_does_has_not_gone_over_its_end() -> None:
    """As later kernels write it: its end is a multiple of the ring's size."""
    world = written("modern", (b"x", b"y", b"z"))
    ring = int.from_bytes(world.read(find(world, "prb"), 8), "little")
    start = int.from_bytes(
        world.read(ring + world.c.offset("printk_ringbuffer", "text_data_ring.data"), 8), "little"
    )
    size = 1 << linux_log.SIZE_BITS
    world.write(start + size - 8, b"the end.")
    shapes = printk.Shapes(target(world), None)
    read = printk._Ring(target(world), shapes)
    assert read._block(5 * size - 16, 5 * size) == b"the end."


DAMAGE = {
    "count_bits": ("desc_ring.count_bits", 31),
    "size_bits": ("text_data_ring.size_bits", 40),
    "no records": ("desc_ring.count_bits", 0),
}


@pytest.mark.parametrize("member", DAMAGE)
def test_a_ring_that_cannot_be_is_an_error(member: str) -> None:
    """Sizes that no kernel has are not read."""
    world = written("modern", (b"x", b"y", b"z"))
    ring = int.from_bytes(world.read(find(world, "prb"), 8), "little")
    path, value = DAMAGE[member]
    at = ring + world.c.offset("printk_ringbuffer", path)
    world.write(at, world.number(value, 4))
    with pytest.raises(FormatError):
        list(printk.records(target(world)))


def test_tables_that_are_too_large_are_an_error() -> None:
    """A million records of a page each, which no log has, are not read."""
    world = written("modern", (b"x", b"y", b"z"))
    ring = int.from_bytes(world.read(find(world, "prb"), 8), "little")
    at = ring + world.c.offset("printk_ringbuffer", "desc_ring.count_bits")
    world.write(at, world.number(20, 4))
    told = Vmcoreinfo(world)
    told.size = lambda name: 4096
    untyped = target(world)
    untyped.types = WorldTypes(cdecl.Declarations("struct other { int x; };", world.abi))
    with pytest.raises(FormatError, match="none of a log"):
        list(printk.records(untyped, told))


def test_a_log_of_which_no_page_is_there_is_an_error(kernel: str) -> None:
    """And one that is there in part gives that part."""
    world = written(kernel, (b"x", b"y", b"z"))
    size = world.abi.pointer
    pointer = find(world, "log_buf") if kernel == "old" else None
    if pointer is None:
        ring = int.from_bytes(world.read(find(world, "prb"), size), "little")
        pointer = ring + world.c.offset("printk_ringbuffer", "text_data_ring.data")
    world.write(pointer, world.pointer(0x10))
    tally = Tally()
    with pytest.raises(Fault):
        list(printk.records(target(world, tally)))
    assert tally.counts()


def test_old_records_that_go_in_circles_end() -> None:
    """A length of 0 leads to the beginning, once."""
    world = written("old", (b"x", b"y", b"z"))
    world.write(find(world, "log_next_idx"), world.number(127, 4))
    texts = [record.text for record in printk.records(target(world))]
    assert 2 < len(texts) < 10


def test_a_kernel_without_a_log_says_so() -> None:
    """Neither prb nor log_buf."""
    with pytest.raises(KvmError):
        deadlog.from_memory(target(World(linux_system.OLD)))


def test_the_whole_kernel_s_log_is_read_in_few_reads() -> None:
    """Rings are read as a whole, not record by record."""
    kernel = target(linux_system_world.modern())
    deadlog.from_memory(kernel)
    assert kernel.memory.read_counts < 40
