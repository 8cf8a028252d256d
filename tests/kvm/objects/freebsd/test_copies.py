"""Are FreeBSD's per-CPU and network-stack variables found, each copy where it lies?"""

from __future__ import annotations

import pytest
from fakes.counting import opened
from forge.counting import DYING, MACHINES, PAGE, SET, Counting
from forge.elf import GLOBAL, OBJECT, Sym
from forge.linker import Loaded

from kvm_exporter.kvm.errors import FormatError, KvmError, Unsupported
from kvm_exporter.kvm.objects.copies import Variable, Vnet
from kvm_exporter.kvm.objects.freebsd.copies import FreeBSDCopies
from kvm_exporter.kvm.objects.freebsd.textdump import FreeBSDTextdump
from kvm_exporter.kvm.target import Target

JAILS = {"db": 9, "web": 3}


def copies(kernel: Counting, *, changing: bool = False, **file: object) -> FreeBSDCopies:
    """The copies of a forged kernel."""
    return FreeBSDCopies(opened(kernel, **file), PAGE, changing=changing)


@pytest.fixture(params=MACHINES)
def kernel(request: pytest.FixtureRequest) -> Counting:
    """A kernel of each machine, with gaps between its CPUs' numbers and three network stacks."""
    return Counting(request.param, jails=JAILS)


def test_a_variable_is_a_plain_one_else_a_stacks_else_a_cpus(kernel: Counting) -> None:
    """In the order of kvm_nlist(3), with its template, its size and its name among the types."""
    plain = kernel.variable("int both", 1)
    kernel.percpu("int both", {})
    kernel.percpu("long twice[2]", {})
    kernel.vnet("int both", {})
    stacks = kernel.vnet("u_short twice", {})
    kernel.percpu("char own[3]", {})
    found = copies(kernel)
    assert found.variable("both") == Variable("both", "plain", plain.address, "both", 4)
    twice = found.variable("twice")
    assert twice is not None
    assert twice._replace(address=0) == Variable("twice", "vnet", 0, "vnet_entry_twice", 2)
    [host, *_] = found.vnets()
    assert found.of_vnet(twice.address, host) == stacks[""].address
    own = found.variable("own")
    assert own is not None
    assert own._replace(address=0) == Variable("own", "percpu", 0, "pcpu_entry_own", 3)
    assert found.variable("nosuch") is None


def test_a_name_means_just_what_it_says(kernel: Counting) -> None:
    """nlist(3) would drop an underscore, and find a copy behind it."""
    inner = kernel.variable("int _hidden", 1)
    kernel.variable("int ticks", 1)
    kernel.percpu("int own", {})
    found = copies(kernel)
    hidden = found.variable("_hidden")
    assert hidden is not None
    assert hidden.address == inner.address
    assert [found.variable(name) for name in ("hidden", "_ticks", "_own")] == [None] * 3


def test_a_template_by_its_own_name_is_a_plain_variable(kernel: Counting) -> None:
    """What the kernel starts each copy with can be asked for as well."""
    kernel.percpu("int own", {})
    found = copies(kernel).variable("pcpu_entry_own")
    assert found is not None
    assert found.kind == "plain"


def test_each_cpu_has_its_copy(kernel: Counting) -> None:
    """Of the CPUs that are there, whose numbers have gaps."""
    own = kernel.percpu("u_long switches", {0: 10, 2: 20, 5: 30})
    found = copies(kernel)
    variable = found.variable("switches")
    assert variable is not None
    assert found.cpus() == (0, 2, 5)
    assert {cpu: found.of_cpu(variable.address, cpu) for cpu in found.cpus()} == {
        cpu: thing.address for cpu, thing in own.items()
    }


@pytest.mark.parametrize("cpu", [1, 6, 8, 2**40, -1])
def test_a_cpu_that_is_not_there_has_none(kernel: Counting, cpu: int) -> None:
    """An error, and no address of something else."""
    own = kernel.percpu("u_long switches", {})
    with pytest.raises(KvmError, match="CPU"):
        copies(kernel).of_cpu(own[0].address, cpu)
    with pytest.raises(KvmError, match="CPU"):
        copies(kernel).of_allocation(64, cpu)


@pytest.mark.parametrize("distance", [False, True])
@pytest.mark.parametrize("machine", MACHINES)
def test_each_cpu_has_its_part_of_an_allocation(machine: str, distance: bool) -> None:
    """UMA_ZONE_PCPU memory: an address, or as on amd64 a distance."""
    kernel = Counting(machine, distance=distance)
    pointer = kernel.counter([11, 22, 33])
    found = copies(kernel)
    parts = {cpu: found.of_allocation(pointer, cpu) for cpu in found.cpus()}
    assert {cpu: opened(kernel).integer(at, 8) for cpu, at in parts.items()} == {
        0: 11,
        2: 22,
        5: 33,
    }


def test_network_stacks_are_the_hosts_and_the_jails(kernel: Counting) -> None:
    """The host's first, then by the jails' numbers; each with its copy."""
    stacks = kernel.vnet("u_int packets", {"": 1, "web": 2, "db": 3})
    found = copies(kernel)
    variable = found.variable("packets")
    assert variable is not None
    assert found.vnets() == (
        Vnet(kernel.stacks[""].address, "", 0),
        Vnet(kernel.stacks["web"].address, "web", 3),
        Vnet(kernel.stacks["db"].address, "db", 9),
    )
    assert {vnet.jail: found.of_vnet(variable.address, vnet) for vnet in found.vnets()} == {
        jail: thing.address for jail, thing in stacks.items()
    }


def test_jails_without_a_stack_of_their_own_have_none(kernel: Counting) -> None:
    """They use another's; and one that is dying has lost its name, which may be another's now."""
    kernel.prisons["web"].set(pr_flags=0, pr_vnet=kernel.stacks[""])
    kernel.prisons["db"].set(pr_state=DYING)
    assert [vnet.jail for vnet in copies(kernel).vnets()] == [""]


def test_a_jail_that_is_being_made_has_no_stack_yet(kernel: Counting) -> None:
    """Its flag is set before its pointer."""
    kernel.prisons["web"].set(pr_vnet=None)
    assert [vnet.jail for vnet in copies(kernel).vnets()] == ["", "db"]


def test_a_damaged_list_of_jails_costs_only_the_jails() -> None:
    """The host's network stack is not found by it; what failed is counted."""
    kernel = Counting(jails=JAILS)
    [head] = [one.address for one in kernel.world.symbols if one.name == "allprison"]
    kernel.world.write(head, kernel.world.pointer(0x10))
    target = opened(kernel)
    assert [vnet.jail for vnet in FreeBSDCopies(target, PAGE).vnets()] == [""]
    assert list(target.tally.counts()) == [("allprison", "unknown")]


@pytest.mark.parametrize("where", [0x18, 0])
def test_a_damaged_stack_costs_no_other_jails(where: int) -> None:
    """It is left out: a number that all jails are asked for has theirs."""
    kernel = Counting(jails=JAILS)
    if where:
        kernel.prisons["web"].set(pr_vnet=where)
    else:
        kernel.stacks["web"].set(vnet_magic_n=0)
    assert [vnet.jail for vnet in copies(kernel).vnets()] == ["", "db"]


def test_the_hosts_stack_is_the_first_even_if_it_is_damaged() -> None:
    """No jail's number is ever the host's."""
    kernel = Counting(jails=JAILS)
    kernel.vnet("int packets", {})
    kernel.stacks[""].set(vnet_magic_n=0)
    found = copies(kernel)
    variable = found.variable("packets")
    assert variable is not None
    host, *others = found.vnets()
    assert (host.jid, host.jail) == (0, "")
    with pytest.raises(FormatError, match="no struct vnet"):
        found.of_vnet(variable.address, host)
    assert [found.of_vnet(variable.address, one) for one in others]


def test_without_types_there_is_the_hosts_stack() -> None:
    """Who owns the others is in structs that nobody knows."""
    kernel = Counting(jails=JAILS)

    class NoTypes:
        def find(self, name: str) -> None:
            raise Unsupported(name)

        variable = names = find

    known = opened(kernel)
    target = Target(known.memory, known.symbols, NoTypes(), known.abi, known.tally)  # type: ignore[arg-type]
    found = FreeBSDCopies(target, PAGE, changing=True)
    assert [vnet.jail for vnet in found.vnets()] == [""]
    assert found.generation() == found.generation()


def test_a_kernel_without_vimage_has_no_stacks(kernel: Counting) -> None:
    """Its variables are plain ones."""
    plain = Counting(kernel.machine)
    variable = plain.variable("int packets", 4)
    found = copies(plain)
    assert found.vnets() == ()
    assert found.variable("packets") == Variable("packets", "plain", variable.address, "packets", 4)


def test_what_is_no_network_stack_has_no_copies() -> None:
    """Its magic number tells."""
    kernel = Counting(jails=JAILS)
    kernel.vnet("int packets", {})
    host, web, _ = copies(kernel).vnets()
    kernel.stacks["web"].set(vnet_magic_n=0)
    found = copies(kernel)
    variable = found.variable("packets")
    assert variable is not None
    with pytest.raises(FormatError, match="no struct vnet"):
        found.of_vnet(variable.address, web)
    assert found.of_vnet(variable.address, host)


def test_what_is_in_no_linker_set_has_no_copies() -> None:
    """No address is moved that is none of a template."""
    kernel = Counting(jails=JAILS)
    plain = kernel.variable("int ticks", 1)
    found = copies(kernel)
    with pytest.raises(FormatError, match="no linker set"):
        found.of_cpu(plain.address, 0)
    with pytest.raises(FormatError, match="no linker set"):
        found.of_vnet(plain.address, found.vnets()[0])


@pytest.mark.parametrize("changing", [False, True])
@pytest.mark.parametrize("machine", MACHINES)
def test_a_modules_copies_are_in_the_space_that_it_was_given(machine: str, changing: bool) -> None:
    """A shared module's templates lie in itself; the kernel's sets were carved for it."""
    kernel = Counting(machine, jails=JAILS)
    start = 0xC2000000
    pcpu, vnet = (kernel.sets[name] + SET - 0x100 for name in ("set_pcpu", "set_vnet"))
    symbols = [
        Sym("pcpu_entry_spin", 0x410, 8, OBJECT, GLOBAL, ".data"),
        Sym("vnet_entry_gif", 0x510, 8, OBJECT, GLOBAL, ".data"),
    ]
    sets = (start + 0x400, start + 0x480, pcpu, start + 0x500, start + 0x580, vnet)
    kernel.modules(
        [
            Loaded(
                "s.ko", "/s.ko", start, 0x2000, symbols, {".data": 3}, relocatable=False, sets=sets
            )
        ]
    )
    found = copies(kernel, changing=changing)
    spin, gif = found.variable("spin"), found.variable("gif")
    assert spin is not None
    assert gif is not None
    assert (spin.kind, gif.kind) == ("percpu", "vnet")
    assert found.of_cpu(spin.address, 5) == kernel.area[5] + SET - 0x100 + 0x10
    web = found.vnets()[1]
    assert found.of_vnet(gif.address, web) == kernel.data["web"] + SET - 0x100 + 0x10


def test_near_names_are_those_of_variables() -> None:
    """Without the prefixes of templates, and no functions."""
    kernel = Counting(jails=JAILS)
    kernel.variable("int tcp_count", 1)
    kernel.vnet("int tcpstat", {})
    kernel.percpu("int tcpstats", {})
    found = copies(kernel)
    assert set(found.names_like("tcpstatt")) == {"tcpstat", "tcpstats"}
    assert found.names_like("zzz") in ((), [])


def test_a_dead_kernel_stays_as_it_is() -> None:
    """Its generation is always the same, whatever its memory is."""
    kernel = Counting(jails=JAILS)
    found = copies(kernel)
    before = found.generation()
    kernel.prisons["web"].set(pr_name=b"other")
    assert found.generation() == before


def test_a_running_kernels_generation_changes_with_modules_and_stacks() -> None:
    """When one is loaded or unloaded; when a jail comes, goes or is renamed, or is another by now;
    not otherwise."""
    kernel = Counting(jails=JAILS)
    kernel.declare("struct file_numbers { int first; };")
    files = kernel.modules([Loaded(f"{name}.ko", "/x", 0x1000, 64, []) for name in "ab"])
    found = copies(kernel, changing=True)
    seen = [found.generation()]
    assert found.generation() == seen[0]

    def changed() -> bool:
        seen.append(found.generation())
        return seen[-1] not in seen[:-1]

    files[1].put("lf.loadcnt", 7)
    assert changed()
    kernel.prisons["web"].set(pr_name=b"other")
    assert changed()
    kernel.stacks["web"].put("vnet_data_base", 0x4000)
    assert changed()
    del kernel.prisons["db"]
    kernel.link()
    assert changed()
    files[0].put("lf.link.tqe_next", None)
    assert changed()
    assert not changed()


def test_a_textdump_has_no_copies() -> None:
    """It has no memory: Unsupported."""
    with pytest.raises(Unsupported, match="no memory"):
        FreeBSDTextdump.copies(type("T", (), {"_name": "x"}))  # type: ignore[arg-type]


def test_damaged_numbers_are_errors() -> None:
    """No struct.error, no endless reading: mp_maxid and the pointers may say anything."""
    kernel = Counting(jails=JAILS)
    own = kernel.percpu("int own", {})
    at = {one.name: one.address for one in kernel.world.symbols}
    for name, value in (("mp_maxid", 2**31 - 1), ("mp_maxcpus", 2**31), ("vnet0", 3)):
        kernel.world.write(at[name], kernel.world.number(value, 4))
    found = copies(kernel)
    with pytest.raises(KvmError):
        found.cpus()
    with pytest.raises(KvmError):
        found.of_cpu(own[0].address, 2)
    with pytest.raises(KvmError):
        found.of_vnet(at["__start_set_vnet"], found.vnets()[0])
