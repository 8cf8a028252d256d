"""Worlds that lie: words are others than were written, and types not what they were."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Mapping

from fakes.world import WorldMemory, target
from forge.world import World

from kvm_exporter.kvm.target import Target

EXTREMES = [0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]
MOST_READS = 30_000
"""Some hundred times what a whole world takes when nothing is damaged."""

SAME_SIZE = {
    "int": ["char {}[4]", "float {}", "struct {{ char a[4]; }} {}"],
    "long": ["char {}[8]", "double {}", "struct {{ int a; int b; }} {}"],
    "u_char": ["char {}[1]", "struct {{ char a[1]; }} {}"],
}
"""What else has the size of a type, on a machine of 64 bits."""


class BoundedMemory(WorldMemory):
    """Memory that is not to be read for ever, nor in pieces larger than a damaged length's."""

    def read(self, address: int, length: int) -> bytes:
        assert length <= 1 << 26
        data = super().read(address & 2**64 - 1, length)
        assert self.read_counts <= MOST_READS, "this does not end"
        return data


def bounded(world: World) -> Target:
    """The world as a Target with such memory."""
    dead = target(world)
    dead.memory = BoundedMemory(world)
    return dead


def words(world: World) -> list[int]:
    """Addresses of every word of the world."""
    size = world.abi.pointer
    return [at for start, data in world.pages() for at in range(start, start + len(data), size)]


def damaged(world: World, changes: Mapping[int, int]) -> Target:
    """A Target that reads some words otherwise than they are."""
    size = world.abi.pointer

    class Damaged(BoundedMemory):
        def read(self, address: int, length: int) -> bytes:
            data = bytearray(super().read(address, length))
            for at, value in changes.items():
                if address <= at and at + size <= address + len(data):
                    data[at - address : at - address + size] = world.number(value, size)
            return bytes(data)

    dead = target(world)
    dead.memory = Damaged(world)
    return dead


def shuffled(world: World, seed: int) -> Target:
    """A Target that reads addresses of others in place of half of all words."""
    places = words(world)
    chance = random.Random(seed)
    return damaged(world, {at: chance.choice(places) for at in places if chance.random() < 0.5})


def retyped(
    text: str, kinds: Mapping[str, str], kept: Collection[str], seed: int, share: float = 0.3
) -> str:
    """The declarations with a ``share`` of plain members (but those ``kept``) of other types.

    ``kinds`` says of which of SAME_SIZE a type is.
    """
    chance = random.Random(seed)
    plain = re.compile(rf"(?<=;) ({'|'.join(kinds)}) (\w+);")

    def declared(member: re.Match[str]) -> str:
        kind, name = member.groups()
        same = name in kept or chance.random() >= share
        shape = f"{kind} {name}" if same else chance.choice(SAME_SIZE[kinds[kind]]).format(name)
        return f" {shape};"

    return plain.sub(declared, text)
