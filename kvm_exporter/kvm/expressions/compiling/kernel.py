"""What is asked of a kernel while its module is compiled?  Names and types, each only once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import KvmError, SymbolMissing, TypeMissing
from kvm_exporter.kvm.expressions.compiling.enumerators import Enumerators
from kvm_exporter.kvm.expressions.compiling.operands import Operand
from kvm_exporter.kvm.expressions.compiling.spreads import Spread
from kvm_exporter.kvm.expressions.compiling.surroundings import ALL, HOST
from kvm_exporter.kvm.expressions.compiling.type_names import find_type
from kvm_exporter.kvm.expressions.language.phrases import quoted
from kvm_exporter.kvm.expressions.language.syntax import ExpressionError
from kvm_exporter.kvm.objects.copies import Copies, Variable, Vnet
from kvm_exporter.kvm.objects.spelling import nearest
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.flatten import MOST_ANONYMOUS, Place, member, size_of
from kvm_exporter.kvm.types.model import Composite, Type, resolve

PCPU, EARLY = "struct pcpu", "pc_early_dummy_counter"
MOST_MEMBERS = 1 << 12
"""Members of a struct among which near names are looked for."""

MOST_HINTS = 4
"""Names of variables for which near ones are looked for."""


class Kernel:
    """A kernel, its copies, and what a module declares of its variables' types.

    ``places`` are those of variables that were looked up, by name and network stacks.
    """

    def __init__(self, target: Target, copies: Copies, declared: Mapping[str, str]) -> None:
        self.target = target
        self.copies = copies
        self._declared = declared
        self._variables: dict[str, Variable | None] = {}
        self._types: dict[str, Type | KvmError] = {}
        self._typed: dict[str, Type | None] = {}
        self.places: dict[tuple[str, str | Vnet, bool], Spread[Operand]] = {}
        self._members: dict[tuple[int, str], tuple[Composite, Place | None]] = {}
        self._unknown: dict[str, bool] = {}
        self._hints: dict[str, str] = {}
        self._enumerators = Enumerators(target.types)

    @property
    def abi(self) -> Abi:
        """Its byte order and width."""
        return self.target.abi

    def type(self, text: str) -> Type:
        """The type that is spelled so.  Errors: as find_type's."""
        if text not in self._types:
            try:
                self._types[text] = find_type(self.target.types, self.abi, text)
            except KvmError as e:
                self._types[text] = e
        found = self._types[text]
        if isinstance(found, KvmError):
            raise found
        return found

    def variable(self, name: str) -> Variable | None:
        """As Copies has it."""
        if name not in self._variables:
            self._variables[name] = self.copies.variable(name)
        return self._variables[name]

    def type_of(self, variable: Variable) -> Type | None:
        """The type that the kernel tells of a variable; None where it tells none."""
        if variable.name not in self._typed:
            self._typed[variable.name] = self._told(variable)
        return self._typed[variable.name]

    def _told(self, variable: Variable) -> Type | None:
        try:
            return self.target.types.variable(variable.type_name)
        except TypeMissing:
            return None

    def declared(self, variable: Variable) -> Type | None:
        """The type that the module declares of a variable; None where it declares none."""
        text = self._declared.get(variable.name)
        try:
            return None if text is None else self.type(text)
        except KvmError as e:
            what = f"{text}: {e.what}" if isinstance(e, ExpressionError) else str(e)
            raise TypeMissing(f"types: {variable.name}: {what}") from e

    def enumerator(self, name: str) -> int | None:
        """The value of an enum's constant; None where no enum has one of that name."""
        return self._enumerators.value(name)

    def member(self, struct: Composite, name: str) -> Place:
        """A member, an anonymous one's among them; TypeMissing with near names."""
        place = self.find_member(struct, name)
        if place is None:
            near = nearest(name, self.member_names(struct))
            told = f"; near names: {_told(near)}" if near else ""
            raise TypeMissing(f"{struct.kind} {struct.name} has no member {name} here{told}")
        return place

    def find_member(self, struct: Composite, name: str) -> Place | None:
        """As ``member``; None where there is none."""
        key = id(struct), name
        if key not in self._members:
            # the struct is kept, so that no other one has its id
            self._members[key] = struct, member(struct, name)
        return self._members[key][1]

    def member_names(self, struct: Composite) -> Sequence[str]:
        """A struct's members in their order, anonymous ones' among them."""
        found: dict[str, None] = {}
        within = [struct]
        for inside in within:
            found |= dict.fromkeys(one.name for one in inside.members if one.name)
            unnamed = (resolve(one.type()) for one in inside.members if not one.name)
            within += (one for one in unnamed if isinstance(one, Composite))
            # damaged types may lie in themselves
            if len(within) > MOST_ANONYMOUS or len(found) > MOST_MEMBERS:
                break
        return tuple(found)

    def size(self, type_: Type) -> int:
        """sizeof(); TypeMissing where the kernel does not tell."""
        size = size_of(type_)
        if not size:
            raise TypeMissing("this kernel does not tell the size of its type")
        return size

    def unknown(self, name: str, *, constants: bool, near: Sequence[str] = ()) -> SymbolMissing:
        """The error for what is no variable (and no enum's constant, if it could be one); ``near``
        are members that could be meant, of other near names ``hints`` will tell."""
        self._unknown[name] = constants
        if near:
            told = f"no member of the element, and no variable, is called {name}"
            return SymbolMissing(f"{told}; near members: {_told(near)}")
        also = ", and no constant," if constants else ""
        why = "" if name.isupper() else self.copies.untold()  # else a constant is meant
        return SymbolMissing(f"the kernel has no variable{also} {name}{why and ': '}{why}")

    def forget_unknown(self) -> None:
        """What was unknown so far needs no hints."""
        self._unknown.clear()

    def hints(self) -> str:
        """Words behind an error: what was unknown since the last call, and what is spelled nearly
        so.  Looking for that takes long; it is done for MOST_HINTS names only."""
        names, self._unknown = self._unknown, {}
        return "".join(self._hint(name, constants=also) for name, also in names.items())

    def _hint(self, name: str, *, constants: bool) -> str:
        if name not in self._hints and len(self._hints) < MOST_HINTS:
            near = self._names_like(name)
            if constants:
                known = (*near, *self._enumerators.like(name))
                near = nearest(name, known) or known
            self._hints[name] = f"; near {name}: {_told(near)}" if near else ""
        return self._hints.get(name, "")

    def _names_like(self, name: str) -> Sequence[str]:
        try:
            return self.copies.names_like(name)
        except KvmError:  # a hint is no more than that
            return ()

    @cached_property
    def cpus(self) -> Sequence[int]:
        """The CPUs that have copies; KvmError for none."""
        found = tuple(self.copies.cpus())
        if not found:
            raise KvmError("this kernel has no CPU")
        return found

    @cached_property
    def running(self) -> Sequence[int]:
        """Those of ``cpus`` of which there is a series each."""
        found = set(self.copies.running())
        return tuple(cpu for cpu in self.cpus if cpu in found)

    @cached_property
    def vnets(self) -> Sequence[Vnet]:
        """The network stacks, the host's first."""
        return tuple(self.copies.vnets())

    def stacks(self, wanted: str | Vnet) -> Sequence[Vnet]:
        """The network stacks that are meant: as Metric.vnet has it, or just that one.

        KvmError where there is none, for a jail that is not there or has none of its own.
        """
        if isinstance(wanted, Vnet):
            return (wanted,)
        if wanted in (HOST, ALL):
            if not self.vnets:
                raise KvmError("it belongs to a network stack, and there is none")
            return self.vnets if wanted == ALL else self.vnets[:1]
        for one in self.vnets:
            if one.jid and wanted in (one.jail, str(one.jid)):
                return (one,)
        raise KvmError(f"no jail {wanted} has a network stack of its own")

    @cached_property
    def allocations(self) -> Mapping[int, int]:
        """For each CPU: how far its copy is from the address that a per-CPU pointer has."""
        return {cpu: self.copies.of_allocation(0, cpu) for cpu in self.cpus}

    @cached_property
    def early(self) -> int | None:
        """EARLY_COUNTER: what a counter_u64_t is before it is allocated (FreeBSD's counter.h).

        Every CPU's copy of it is the same member of its struct pcpu.
        """
        target = self.target
        if not target.has(PCPU, EARLY):
            return None
        first = self.cpus[0]
        array = target.address("cpuid_to_pcpu") + first * self.abi.pointer_size
        place = target.pointer(array) + target.offset(PCPU, EARLY)
        return place - self.allocations[first] & self.abi.address_mask


def _told(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, names))
