"""Are two C types the same?  Plain tuples of the forge's types and of ours, to be compared.

Names of arithmetic types are left out: compilers differ (``long int``, ``long``).
"""

from __future__ import annotations

from forge import c_types

from kvm_exporter.kvm.types import model

DEEPEST = 6


def forged(type_: c_types.Type, depth: int = 0) -> object:
    """Of the forge's."""
    type_ = c_types.bare(type_)
    match type_:
        case c_types.Base():
            known = {"void": "void", "float": ("float", type_.size)}
            return known.get(type_.kind, (type_.kind, type_.size, type_.signed))
        case c_types.Pointer():
            return "pointer", type_.size, _target(c_types.bare(type_.to))
        case c_types.Array():
            return "array", type_.count, forged(type_.of, depth)
        case c_types.Enum():
            return "enum", type_.tag, type_.size, tuple(type_.values)
        case c_types.Struct() if depth < DEEPEST and type_.fields is not None:
            fields = [(f.name, f.bit, _width(f), forged(f.type, depth + 1)) for f in type_.fields]
            return type_.kind, type_.tag, type_.size, tuple(fields)
    return _target(type_)


def _width(one: c_types.Field) -> int | None:
    # all bits of a type where a byte starts are no bit-field to whoever reads them
    return None if one.width == one.size * 8 and not one.bit % 8 else one.width


def ours(type_: model.Type, depth: int = 0) -> object:
    """Of the product's."""
    type_ = model.resolve(type_)
    match type_:
        case model.Integer():
            return type_.kind, type_.size, type_.signed
        case model.Pointer():
            return "pointer", type_.size, _target(model.resolve(type_.target()))
        case model.Array():
            return "array", type_.count, ours(type_.element(), depth)
        case model.Enum():
            return "enum", type_.name, type_.size, type_.values
        case model.Composite() if depth < DEEPEST:
            members = [(m.name, m.bit_offset, m.bit_size, ours(m.type(), depth + 1))
                       for m in type_.members]  # fmt: skip
            return type_.kind, type_.name, type_.size, tuple(members)
    return ("float", type_.size) if isinstance(type_, model.Float) else _target(type_)


def _target(type_: model.Type | c_types.Type) -> object:
    # pointers may go in circles: what they point at is known by its name
    match type_:
        case c_types.Struct() | c_types.Enum():
            return type_.tag
        case model.Composite() | model.Enum():
            return type_.name
        case model.Void():
            return type_.name.removeprefix("struct ")
        case c_types.Base(kind="void"):
            return "void"
        case model.Integer() | model.Float() | c_types.Base():
            return "number"
    return type(type_).__name__
