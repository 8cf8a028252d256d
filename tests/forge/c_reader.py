"""What does C text declare?  Structs, unions, enums, typedefs, variables and functions of an ABI.

``#define NAME number`` and the queue(3) macros LIST_HEAD, TAILQ_ENTRY … are understood; other
preprocessor lines and function bodies are not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from forge.c_types import (
    VOID,
    Abi,
    Array,
    Base,
    Enum,
    Function,
    Pointer,
    Qualified,
    Struct,
    Type,
    Typedef,
    bare,
    lay_out,
    size_of,
)

NAMES = """
typedef unsigned char u_char; typedef unsigned short u_short; typedef unsigned int u_int;
typedef unsigned long u_long; typedef unsigned short ushort; typedef unsigned int uint;
typedef signed char int8_t; typedef short int16_t; typedef int int32_t;
typedef unsigned char uint8_t; typedef unsigned short uint16_t; typedef unsigned int uint32_t;
typedef unsigned char u_int8_t; typedef unsigned short u_int16_t; typedef unsigned int u_int32_t;
typedef char *caddr_t; typedef int pid_t; typedef int lwpid_t; typedef unsigned int uid_t;
typedef unsigned int gid_t; typedef unsigned short mode_t; typedef int boolean_t;
typedef long ssize_t; typedef long register_t; typedef long ptrdiff_t; typedef long intptr_t;
typedef unsigned long size_t; typedef unsigned long uintptr_t;
typedef unsigned long vm_offset_t; typedef unsigned long vm_size_t;
"""
WIDE_NAMES = """
typedef {0} int64_t; typedef unsigned {0} uint64_t; typedef unsigned {0} u_int64_t;
typedef {0} quad_t; typedef unsigned {0} u_quad_t; typedef {0} off_t; typedef {0} sbintime_t;
typedef unsigned {0} dev_t; typedef unsigned {0} vm_paddr_t; typedef unsigned {0} vm_pindex_t;
typedef unsigned {0} vm_ooffset_t; typedef {0} daddr_t; typedef uint64_t *counter_u64_t;
"""

MACROS: dict[str, Callable[..., str]] = {
    "LIST_HEAD": lambda n, t: f"struct {n} {{ struct {t} *lh_first; }}",
    "SLIST_HEAD": lambda n, t: f"struct {n} {{ struct {t} *slh_first; }}",
    "TAILQ_HEAD": lambda n, t: f"struct {n} {{ struct {t} *tqh_first; struct {t} **tqh_last; }}",
    "STAILQ_HEAD": lambda n, t: f"struct {n} {{ struct {t} *stqh_first; struct {t} **stqh_last; }}",
    "LIST_ENTRY": lambda t: f"struct {{ struct {t} *le_next; struct {t} **le_prev; }}",
    "SLIST_ENTRY": lambda t: f"struct {{ struct {t} *sle_next; }}",
    "TAILQ_ENTRY": lambda t: f"struct {{ struct {t} *tqe_next; struct {t} **tqe_prev; }}",
    "STAILQ_ENTRY": lambda t: f"struct {{ struct {t} *stqe_next; }}",
}
TOKEN = re.compile(
    r"\s+|/\*.*?\*/|//[^\n]*|(?P<token>[A-Za-z_]\w*|0[xX][0-9a-fA-F]+|\d+|'.'|\.\.\.|<<|>>|.)",
    re.DOTALL,
)
QUALIFIERS = {
    "const": "const",
    "volatile": "volatile",
    "restrict": "restrict",
    "__restrict": "restrict",
}
IGNORED = {"extern", "static", "register", "inline", "__inline", "_Noreturn"}
BASIC = {"void", "char", "short", "int", "long", "signed", "unsigned", "float", "double", "_Bool"}
BASIC |= {"bool"}


class Reader:
    """Reads C text, again and again; what it declared so far is in the attributes."""

    def __init__(self, abi: Abi) -> None:
        self.abi = abi
        self.structs: dict[str, Struct] = {}
        self.enums: dict[str, Enum] = {}
        self.typedefs: dict[str, Type] = {}
        self.variables: dict[str, Type] = {}
        self.functions: dict[str, Function] = {}
        self.constants: dict[str, int] = {}
        self._base: dict[str, Base] = {}
        self._made: dict[tuple, Type] = {}
        wide = "long" if abi.pointer == 8 else "long long"
        time = "int" if abi.wide == 4 else wide
        self.read(NAMES + WIDE_NAMES.format(wide) + f"typedef {time} time_t;")

    def type(self, name: str) -> Type:
        """``struct proc``, ``proc``, ``pid_t``, ``unsigned int``."""
        kind, _, tag = name.rpartition(" ")
        if kind == "enum":
            return self.enums[tag]
        if tag in self.structs and kind in ("", "struct", "union"):
            return self.structs[tag]
        return self.typedefs[name] if name in self.typedefs else self._basic(name.split())

    def read(self, text: str) -> None:
        """Declare what ``text`` says."""
        for name, value in re.findall(r"^\s*#\s*define\s+(\w+)\s+(.+?)\s*$", text, re.MULTILINE):
            self.constants[name] = self._evaluate(tokens(value))
        text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
        text = re.sub(
            rf"\b(?:CK_)?({'|'.join(MACROS)})\s*\(([^()]*)\)",
            lambda m: MACROS[m[1]](*(part.strip() for part in m[2].split(","))),
            text,
        )
        self._tokens = tokens(text)
        self._at = 0
        while self._peek():
            self._declaration()

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        assert token, "the declarations end too early"
        self._at += 1
        return token

    def _take(self, token: str) -> bool:
        if self._peek() == token:
            self._at += 1
            return True
        return False

    def _expect(self, token: str) -> None:
        near = " ".join(self._tokens[max(self._at - 5, 0) : self._at + 3])
        assert self._take(token), f"expected {token} near: {near}"

    def _until(self, *ends: str) -> list[str]:
        taken, depth = [], 0
        while depth or self._peek() not in ends:
            token = self._next()
            depth += (token == "(") - (token == ")")
            taken.append(token)
        return taken

    def _evaluate(self, words: list[str]) -> int:
        text = " ".join(self._number(word) for word in words)
        text = re.sub(
            r"sizeof \( ([^()]*) \)", lambda m: str(size_of(self.type(m[1].strip()))), text
        )
        return int(eval(text.replace("/", "//"), {"__builtins__": {}}))

    def _number(self, word: str) -> str:
        if word in self.constants:
            return str(self.constants[word])
        return str(ord(word[1])) if word.startswith("'") else word

    def _declaration(self) -> None:
        if self._take(";"):
            return
        typedef = self._take("typedef")
        base = self._specifiers()
        if self._take(";"):
            return
        while True:
            name, type_ = self._declarator(base)
            align = self._attributes().get("aligned")
            if typedef:
                self._typedef(name, type_)
            elif isinstance(type_, Function):
                self.functions[name] = type_
            else:
                self.variables[name] = type_
            assert align is None or not typedef, "an aligned typedef"
            if self._take("="):
                self._until(",", ";")
            if not self._take(","):
                break
        self._expect(";")

    def _typedef(self, name: str, type_: Type) -> None:
        self.typedefs[name] = Typedef(name, type_)
        if isinstance(type_, Struct) and not type_.tag:
            self.structs.setdefault(name, type_)

    def _attributes(self) -> dict[str, int]:
        found: dict[str, int] = {}
        while True:
            if self._take("__packed"):
                found["packed"] = 1
            elif self._take("__aligned") or self._take("_Alignas"):
                self._expect("(")
                found["aligned"] = self._evaluate(self._until(")"))
                self._expect(")")
            elif self._take("__attribute__"):
                words = self._until(";", ",", "{", "=") if self._peek() != "(" else self._group()
                text = " ".join(words)
                if "packed" in text:
                    found["packed"] = 1
                if match := re.search(r"aligned\w* \( (.*?) \)", text):
                    found["aligned"] = self._evaluate(tokens(match[1]))
            else:
                return found

    def _group(self) -> list[str]:
        self._expect("(")
        words = self._until(")")
        self._expect(")")
        return words

    def _specifiers(self) -> Type:
        words: list[str] = []
        qualifiers: list[str] = []
        found: Type | None = None
        while True:
            token = self._peek()
            if token in QUALIFIERS:
                qualifiers.append(QUALIFIERS[self._next()])
            elif token in IGNORED:
                self._next()
            elif token in BASIC:
                words.append(self._next())
            elif token in KEYWORDS and not words:
                found = KEYWORDS[self._next()](self, token)
            elif token in self.typedefs and found is None and not words:
                found = self.typedefs[self._next()]
            else:
                break
        return self._qualified(found or self._basic(words), qualifiers)

    def _qualified(self, type_: Type, kinds: Iterable[str]) -> Type:
        for kind in sorted(set(kinds), reverse=True):
            type_ = self._once(("q", kind, id(type_)), lambda k=kind, t=type_: Qualified(k, t))
        return type_

    def _once(self, key: tuple, make: Callable[[], Type]) -> Type:
        # the same pointer type twice is one type, as debuggers' formats have it
        return self._made.setdefault(key, make())

    def _basic(self, words: list[str]) -> Type:
        assert words, f"no type near {' '.join(self._tokens[max(self._at - 4, 0) : self._at + 4])}"
        count = {word: words.count(word) for word in BASIC}
        if count["void"]:
            return self._base.setdefault("void", VOID)
        name, size, kind = self._arithmetic(count)
        signed = not count["unsigned"] and kind != "bool"
        if kind == "char" and not count["signed"] and not count["unsigned"]:
            signed = self.abi.plain_char_signed
        align = min(size, self.abi.wide) if size == 8 else size
        if name == "long double":
            align = 16 if size == 16 else min(4 if size == 12 else 8, self.abi.wide)
        return self._base.setdefault(name, Base(name, size, kind, signed, align))

    def _arithmetic(self, count: Mapping[str, int]) -> tuple[str, int, str]:
        sign = "unsigned " if count["unsigned"] else ""
        if count["_Bool"] or count["bool"]:
            return "_Bool", 1, "bool"
        if count["double"] and count["long"]:
            return "long double", self.abi.long_double, "float"
        if count["float"] or count["double"]:
            return ("double", 8, "float") if count["double"] else ("float", 4, "float")
        if count["char"]:
            return f"{sign or 'signed ' * count['signed']}char", 1, "char"
        sizes = {"short": 2, "int": 4, "long": self.abi.pointer, "long long": 8}
        name = " ".join(["long"] * count["long"]) or ("short" if count["short"] else "int")
        return sign + name, sizes[name], "int"

    def _struct(self, kind: str) -> Struct:
        before = self._attributes()
        tag = self._next() if self._peek() != "{" else ""
        found = self.structs.setdefault(tag, Struct(kind, tag)) if tag else Struct(kind, "")
        if not self._take("{"):
            return found
        assert found.fields is None, f"{kind} {tag} is defined twice"
        members = []
        while not self._take("}"):
            members.extend(self._members())
        lay_out(found, members, before | self._attributes())
        return found

    def _members(self) -> Iterator[tuple[str, Type, int | None, int]]:
        align = self._attributes().get("aligned", 0)
        base = self._specifiers()
        if self._take(";"):
            yield "", base, None, align
            return
        while True:
            name, type_ = ("", base) if self._peek() == ":" else self._declarator(base)
            width = self._evaluate(self._until(",", ";")) if self._take(":") else None
            yield name, type_, width, max(align, self._attributes().get("aligned", 0))
            if not self._take(","):
                break
        self._expect(";")

    def _enum(self, _: str) -> Enum:
        self._attributes()
        tag = self._next() if self._peek() != "{" else ""
        found = self.enums.setdefault(tag, Enum(tag, [])) if tag else Enum("", [])
        if self._take("{"):
            value = -1
            while not self._take("}"):
                name = self._next()
                value = self._evaluate(self._until(",", "}")) if self._take("=") else value + 1
                self.constants[name] = value
                found.values.append((name, value))
                self._take(",")
            packed = self._attributes().get("packed")
            found.size = 1 if packed else 4
        return found

    def _declarator(self, base: Type) -> tuple[str, Type]:
        while self._take("*"):
            base = self._once(("p", id(base)), lambda b=base: Pointer(b, self.abi.pointer))
            while self._peek() in QUALIFIERS:
                base = self._qualified(base, [QUALIFIERS[self._next()]])
        if self._peek() == "(" and self._tokens[self._at + 1] in ("*", "("):
            # what stands within applies last: remember it, read what follows, come back
            self._next()
            start = self._at
            depth = 1
            while depth:
                token = self._next()
                depth += (token == "(") - (token == ")")
            base = self._suffixes(base)
            end, self._at = self._at, start
            name, base = self._declarator(base)
            self._expect(")")
            self._at = end
            return name, base
        name = self._next() if re.match(r"[A-Za-z_]", self._peek() or "0") else ""
        return name, self._suffixes(base)

    def _suffixes(self, base: Type) -> Type:
        if self._take("("):
            arguments, variadic = self._arguments()
            return Function(base, arguments, variadic)
        counts = []
        while self._take("["):
            counts.append(self._evaluate(self._until("]") or ["0"]))
            self._expect("]")
        for count in reversed(counts):
            base = self._once(("a", count, id(base)), lambda b=base, c=count: Array(b, c))
        return base

    def _arguments(self) -> tuple[list[Type], bool]:
        found: list[Type] = []
        while not self._take(")"):
            if self._take("..."):
                self._expect(")")
                return found, True
            name, type_ = self._declarator(self._specifiers())
            if bare(type_) is not VOID or name:
                found.append(type_)
            self._take(",")
        return found, False


KEYWORDS: dict[str, Callable[[Reader, str], Type]] = {
    "struct": Reader._struct,
    "union": Reader._struct,
    "enum": Reader._enum,
}


def tokens(text: str) -> list[str]:
    """C's words; suffixes of numbers are left off."""
    text = re.sub(r"\b(0[xX][0-9a-fA-F]+|\d+)[uUlL]+\b", r"\1", text)
    return [m["token"] for m in TOKEN.finditer(text) if m["token"]]
