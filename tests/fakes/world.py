"""A forged world (forge/world.py) as a reader's Target: its memory, its symbols and its types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from forge import cdecl
from forge.world import World

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import AccessDenied, Fault, TypeMissing
from kvm_exporter.kvm.memory import Symbol
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types import model


class WorldMemory:
    """Memory that faults where the world has nothing."""

    def __init__(self, world: World) -> None:
        self.read_counts = 0
        self._world = world

    def read(self, address: int, length: int) -> bytes:
        self.read_counts += 1
        data = self._world.read(address, length)
        if length and not data:
            raise Fault(address, "nothing is there")
        return data

    def write(self, address: int, data: bytes) -> int:
        raise AccessDenied("a world is read only")

    def close(self) -> None:
        pass


class UserMemory(WorldMemory):
    """A process's own memory."""

    def __init__(self, pages: dict[int, bytes], page_size: int) -> None:
        self._pages = pages
        self._size = page_size

    def read(self, address: int, length: int) -> bytes:
        data = b""
        while length > 0:
            within = address % self._size
            page = self._pages.get(address - within)
            if page is None:
                break
            part = page[within : within + length]
            data += part
            address += len(part)
            length -= len(part)
        if length and not data:
            raise Fault(address, "nothing is there")
        return data


class WorldSymbols:
    """Kernel symbols by name."""

    def __init__(self, world: World) -> None:
        self._world = world

    def lookup(self, names: Sequence[str]) -> list[Symbol | None]:
        table = {one.name: one for one in self._world.symbols}
        # as kvm_nlist(3): one leading underscore may be too many
        found = [table.get(name.removeprefix("_")) or table.get(name) for name in names]
        return [one and Symbol(one.name, one.address, 4, one.size) for one in found]


class WorldTypes:
    """The declarations as the package's types: a second way to them, beside CTF."""

    def __init__(self, declarations: cdecl.Declarations) -> None:
        self._c = declarations
        self._made: dict[int, model.Type] = {}

    def find(self, name: str) -> model.Type:
        try:
            return self._of(self._c.type(name))
        except (KeyError, AssertionError):
            raise TypeMissing(f"there is no {name}") from None

    def variable(self, name: str) -> model.Type:
        if name not in self._c.variables:
            raise TypeMissing(f"nobody knows the type of {name}")
        return self._of(self._c.variables[name])

    def names(self) -> Iterator[str]:
        yield from self._c.typedefs
        yield from (f"{one.kind} {tag}" for tag, one in self._c.structs.items())

    def enums(self) -> Iterator[model.Enum]:
        found = (self._of(one) for one in self._c.enums.values())
        return (one for one in found if isinstance(one, model.Enum))

    def _of(self, type_: cdecl.Type) -> model.Type:
        if id(type_) not in self._made:
            self._made[id(type_)] = self._make(type_)
        return self._made[id(type_)]

    def _make(self, type_: cdecl.Type) -> model.Type:
        if isinstance(type_, cdecl.Base):
            return _base(type_)
        if isinstance(type_, cdecl.Struct):
            return self._composite(type_)
        if isinstance(type_, cdecl.Enum):
            return model.Enum(type_.tag, type_.size, tuple(type_.values))
        return self._derived(type_)

    def _derived(self, type_: cdecl.Type) -> model.Type:
        match type_:
            case cdecl.Pointer():
                return model.Pointer(type_.size, lambda: self._of(type_.to))
            case cdecl.Array():
                return model.Array(lambda: self._of(type_.of), type_.count)
            case cdecl.Qualified():
                return model.Named(type_.kind, lambda: self._of(type_.to))
            case cdecl.Typedef():
                return model.Named(type_.name, lambda: self._of(type_.to))
        return model.Function()

    def _composite(self, type_: cdecl.Struct) -> model.Type:
        if type_.fields is None:
            return model.Void(f"{type_.kind} {type_.tag}")
        members = tuple(
            model.Member(one.name, lambda to=one.type: self._of(to), one.bit, one.width)
            for one in type_.fields
        )
        return model.Composite(type_.kind, type_.tag, type_.size, members)


def _base(type_: cdecl.Base) -> model.Type:
    if type_.kind == "void":
        return model.Void()
    if type_.kind == "float":
        return model.Float(type_.name, type_.size)
    return model.Integer(type_.name, type_.size, type_.signed, type_.kind)


def target(world: World, tally: Tally | None = None) -> Target:
    """The world as a dead kernel's Target."""
    abi = Abi(world.abi.order, world.abi.pointer)
    symbols = WorldSymbols(world)
    types = WorldTypes(world.c)
    return Target(WorldMemory(world), symbols, types, abi, tally or Tally())
