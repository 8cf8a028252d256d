"""Are the types of a FreeBSD's modules found behind the kernel's?"""

from __future__ import annotations

import gc

import pytest
from fakes.counting import opened
from fakes.sources import Bytes
from forge import cdecl
from forge.counting import MACHINES, Counting
from forge.ctf import Ctf
from forge.elf import GLOBAL, LOCAL, OBJECT, Section, Sym, write_elf
from forge.linker import Loaded

from kvm_exporter.kvm.errors import TypeMissing
from kvm_exporter.kvm.objects.freebsd.modules import Modules
from kvm_exporter.kvm.objects.freebsd.moduletypes import with_modules
from kvm_exporter.kvm.symbols.module import Module
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.ctf import Ctf as CtfTypes
from kvm_exporter.kvm.types.model import Composite, Pointer, Types, resolve
from kvm_exporter.kvm.types.origin import Origin

MODULE = """
struct pf_status { uint64_t counters[3]; struct shared *kernels; };
struct shared { char other[99]; };
enum pf_state { PF_OFF, PF_ON = 7 };
struct pf_status pf_status; int pf_limit;
"""


class Kernel:
    """A forged kernel with a module, whose file has CTF (with the kernel as parent, or without)."""

    def __init__(
        self, machine: str = "amd64", *, parent: bool = False, loaded: bool = True
    ) -> None:
        self.counting = kernel = Counting(machine)
        kernel.declare("struct shared { int own; };")
        kernel.variable("struct shared mine", {"own": 1})
        abi = MACHINES[machine]
        symbols = [
            Sym("pf_limit", 0xC2000100, 4, OBJECT, LOCAL, ".data"),
            Sym("pf_status", 0xC2000200, 32, OBJECT, GLOBAL, ".data"),
        ]
        self.module = Loaded("pf.ko", "/k/pf.ko", 0xC2000000, 0x2000, symbols, {".data": 3})
        self.other = Loaded("no.ko", "/k/no.ko", 0xC3000000, 0x2000, [], {".data": 3})
        kernel.modules([self.other, self.module] if loaded else [self.other])
        text = MODULE if not parent else MODULE.replace("struct shared { char other[99]; };", "")
        given = Ctf(kernel.c) if parent else None
        self.ctf = Ctf(
            cdecl.Declarations(text, abi), objects=["pf_limit", "pf_status"], parent=given
        ).data
        self.asked: list[str] = []

    def find_file(self, name: str, _path: str) -> Bytes | None:
        """The module's file."""
        self.asked.append(name)
        if name != "pf.ko":
            return None
        machine = self.counting.machine
        return Bytes(write_elf(machine, symbols=[], sections={".SUNW_ctf": Section(self.ctf)}))

    def types(self) -> tuple[Types, Target]:
        """The kernel's with its modules' types, and the target that reads them."""
        target = opened(self.counting)
        modules = Modules(target, self.find_file)
        origin = Origin(target.types, "forged", Bytes(b""))
        return with_modules(origin, modules.loaded, target.tally).types, target


@pytest.mark.parametrize("parent", [False, True])
@pytest.mark.parametrize("machine", MACHINES)
def test_a_modules_types_are_behind_the_kernels(machine: str, parent: bool) -> None:
    """Structs, variables and enums of its own; the kernel's are the kernel's."""
    kernel = Kernel(machine, parent=parent)
    types, target = kernel.types()
    status = types.find("struct pf_status")
    assert isinstance(status, Composite)
    assert types.variable("pf_status") == status
    assert resolve(types.variable("pf_limit")) == resolve(types.find("int"))
    shared = types.find("struct shared")
    assert isinstance(shared, Composite)
    assert [one.name for one in shared.members] == ["own"]
    assert {"struct pf_status", "enum pf_state", "struct pcpu"} <= set(types.names())
    assert [one.values for one in types.enums() if one.name == "pf_state"] == [
        (("PF_OFF", 0), ("PF_ON", 7))
    ]
    assert target.tally.counts() == {}


@pytest.mark.parametrize("parent", [False, True])
def test_a_module_means_its_own_types_first(parent: bool) -> None:
    """What its struct points at is the module's, unless that has the kernel's as its parent's."""
    types, _ = Kernel(parent=parent).types()
    status = types.find("struct pf_status")
    assert isinstance(status, Composite)
    pointer = resolve(status.members[1].type())
    assert isinstance(pointer, Pointer)
    target = resolve(pointer.target())
    assert isinstance(target, Composite)
    assert [one.name for one in target.members] == (["own"] if parent else ["other"])


def test_modules_are_not_looked_for_while_the_kernel_knows() -> None:
    """Their files are opened at the first name that is not the kernel's, and once."""
    kernel = Kernel()
    types, _ = kernel.types()
    types.find("struct shared")
    types.variable("mine")
    assert kernel.asked == []
    for _ in range(3):
        types.find("struct pf_status")
        with pytest.raises(TypeMissing, match="struct nosuch"):
            types.find("struct nosuch")
        with pytest.raises(TypeMissing, match="nosuch"):
            types.variable("nosuch")
    assert sorted(kernel.asked) == ["no.ko", "pf.ko"]


def test_a_module_that_is_loaded_later_is_found() -> None:
    """A running kernel's list is looked at again, and a module that is gone is forgotten."""
    kernel = Kernel(loaded=False)
    types, target = kernel.types()
    with pytest.raises(TypeMissing):
        types.find("struct pf_status")
    kernel.counting.world.symbols = [
        one for one in kernel.counting.world.symbols if one.name != "linker_files"
    ]
    before = next(one for one in opened(kernel.counting).symbols if one.name == "mp_maxid")
    kernel.counting.modules([kernel.other, kernel.module])
    new = next(one for one in kernel.counting.world.symbols if one.name == "linker_files")
    assert before
    [old] = target.symbols.lookup(["linker_files"])
    assert old
    size = 2 * target.abi.pointer_size
    kernel.counting.world.write(old.value, kernel.counting.world.read(new.address, size))
    assert isinstance(types.find("struct pf_status"), Composite)
    kernel.counting.world.write(old.value, bytes(size))
    with pytest.raises(TypeMissing):
        types.find("struct pf_status")


def test_types_of_modules_that_were_unloaded_are_forgotten() -> None:
    """A module that is loaded again and again costs no more memory than a few."""
    target = opened(Kernel().counting)
    data = Ctf(cdecl.Declarations(MODULE)).data
    loaded: list[Module] = []
    origin = Origin(target.types, "forged", Bytes(b""))
    types = with_modules(origin, lambda: loaded, target.tally).types
    few = 0
    for number in range(30):
        loaded[:] = [Module("pf.ko", "/k/pf.ko", number, 0, 0, None, ctf=lambda: data)]
        assert isinstance(types.find("struct pf_status"), Composite)
        if number in (0, 29):
            gc.collect()
            known = sum(isinstance(one, CtfTypes) for one in gc.get_objects())
            few = few or known
    assert known <= few + 2


@pytest.mark.parametrize("damage", [b"", b"\xf1\xcf", b"garbage" * 20])
def test_damaged_types_of_a_module_cost_only_themselves(damage: bytes) -> None:
    """They are counted; the kernel's stay."""
    kernel = Kernel()
    kernel.ctf = damage
    types, target = kernel.types()
    with pytest.raises(TypeMissing, match="pf_status"):
        types.find("struct pf_status")
    assert isinstance(types.find("struct shared"), Composite)
    assert list(target.tally.counts()) == [("types of modules", "unknown")]


def test_a_kernel_whose_ctf_lacks_what_modules_are_read_by() -> None:
    """Modules are found by the kernel's types, types in modules: no circle."""
    kernel = Kernel()
    target = opened(kernel.counting)
    few = CtfTypes(Ctf(cdecl.Declarations("struct shared { int own; };")).data, 8)
    alone = Target(target.memory, target.symbols, few, target.abi, target.tally)
    modules = Modules(alone, kernel.find_file)
    alone.types = with_modules(Origin(few, "forged", Bytes(b"")), modules.loaded, alone.tally).types
    with pytest.raises(TypeMissing, match="pf_status"):
        alone.types.find("struct pf_status")
    assert isinstance(alone.types.find("struct shared"), Composite)


def test_types_from_elsewhere_stay_alone() -> None:
    """Without CTF of the kernel no module is asked."""
    kernel = Kernel()
    target = opened(kernel.counting)
    assert isinstance(target.types, CtfTypes)

    class Others:
        def find(self, name: str) -> None:
            raise TypeMissing(name)

    origin = Origin(Others(), "dwarf", Bytes(b""))  # type: ignore[arg-type]
    assert with_modules(origin, Modules(target, kernel.find_file).loaded, target.tally) is origin
