"""How is a number in memory read?  Integers, floats, enums and bit-fields as reads of a program."""

from __future__ import annotations

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.compiling.operands import Number, Place
from kvm_exporter.kvm.expressions.compiling.reads import Reads
from kvm_exporter.kvm.expressions.program import Apply, Constant, Read, Value
from kvm_exporter.kvm.types.flatten import INTEGER_CODES, is_signed, type_code
from kvm_exporter.kvm.types.model import Enum, Float, Integer

Scalar = Integer | Enum | Float


def scalar(kernel: Kernel, reads: Reads, place: Place, type_: Scalar) -> Number:
    """The number there.  KvmError for a width that no machine has."""
    read = _plain(kernel, place, type_) if place.bits is None else _field(kernel, place, type_)
    value = Value(reads.number(read))
    if isinstance(type_, Integer) and type_.kind == "bool":
        # C has no other truths, a damaged or careless kernel may
        return Number(Apply("!=", (value, Constant(0))), type_)
    return Number(value, type_)


def _plain(kernel: Kernel, place: Place, type_: Scalar) -> Read:
    code = type_code(type_, kernel.abi)
    if code is None or code.endswith("s"):
        raise KvmError(f"{type_.name} of {type_.size} bytes is no number that can be read")
    return Read(place.base, place.offset, code)


def _field(kernel: Kernel, place: Place, type_: Scalar) -> Read:
    """A bit-field: from the smallest aligned integer in which it lies, in packed structs from one
    that ends where it does."""
    first, width = place.bits or (0, 0)
    at = place.offset + first // 8
    end = place.offset + (first + width + 7) // 8
    widest = max(INTEGER_CODES)
    for size, start in (*((one, at - at % one) for one in INTEGER_CODES), (widest, end - widest)):
        skipped = 8 * (place.offset - start) + first
        if skipped >= 0 and 0 < width <= 8 * size - skipped:
            little = kernel.abi.order == "<"
            shift = skipped if little else 8 * size - skipped - width
            code = INTEGER_CODES[size].upper()
            return Read(place.base, start, code, shift, width, is_signed(type_))
    raise KvmError(f"a bit-field of {width} bits from bit {first} on cannot be read")
