"""Does the parser read expressions as C does, and refuse everything else with a place?"""

from __future__ import annotations

import ast
import re
from dataclasses import fields

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kvm_exporter.kvm.expressions.language import writing
from kvm_exporter.kvm.expressions.language.parsing import DEEPEST, parse, parts
from kvm_exporter.kvm.expressions.language.syntax import (
    Binary,
    Call,
    Cast,
    Every,
    EveryCpu,
    ExpressionError,
    Index,
    Member,
    Members,
    Name,
    Node,
    Number,
    Unary,
)
from kvm_exporter.kvm.expressions.language.tokens import LONGEST

NAMES = st.from_regex(r"[a-zA-Z_][a-z_0-9]{0,8}", fullmatch=True).filter(
    lambda name: (
        name
        not in (
            *("struct", "union", "enum", "const", "volatile", "restrict", "void", "char", "short"),
            *(
                "int",
                "long",
                "signed",
                "unsigned",
                "float",
                "double",
                "sizeof",
                "percpu",
                "ntohs",
                "ntohl",
                "cpu",
            ),
        )
    )
)
STATICS = st.from_regex(r"[a-z]{1,5}\.[a-z0-9]{1,5}", fullmatch=True)
TYPES = st.sampled_from(
    [
        *("struct tcpstat", "union sigval", "enum zone_type", "struct a *", "u_int", "int *"),
        *("unsigned long", "char[16]", "struct a *[2][3]", "counter_u64_t", "void *", "char[]"),
    ]
)
FLOATS = st.floats(0, 1e300, allow_subnormal=False).map(lambda value: float(f"{value:e}"))
NUMBERS = st.integers(0, 2**64 - 1) | FLOATS
BINARY = ("*", "/", "%", "+", "-", "<<", ">>", "<", "<=", ">", ">=", "==", "!=", "&", "^", "|")


def leaves():
    """Nodes without others."""
    names = st.builds(Name, NAMES | STATICS, st.just(0))
    return names | st.builds(Number, NUMBERS, st.just(0))


def grown(inner):
    """Nodes of smaller ones."""
    zero = st.just(0)
    return (
        st.builds(Member, inner, NAMES | STATICS, st.booleans(), zero)
        | st.builds(Members, inner, zero)
        | st.builds(Index, inner, inner, zero)
        | st.builds(Every, inner, st.none() | inner, st.none() | inner, zero)
        | st.builds(EveryCpu, inner, zero)
        | st.builds(Cast, TYPES, inner, zero)
        | st.builds(Unary, st.sampled_from("-~!&*"), inner, zero)
        | st.builds(Binary, st.sampled_from((*BINARY, "&&", "||")), inner, inner, zero)
        | st.builds(Call, st.just("sizeof"), inner | TYPES.filter(is_sure), zero)
        | st.builds(Call, st.sampled_from(["percpu", "sum", "ntohs", "ntohl"]), inner, zero)
    )


def is_sure(type_: str) -> bool:
    """Whether it cannot be an expression as well."""
    return bool(re.match(r"struct|union|enum|unsigned|char|void|int", type_))


TREES = st.recursive(leaves(), grown, max_leaves=12)


def quoted(name: str) -> str:
    """A name as it is written."""
    return f"`{name}`" if "." in name else name


def inner(node: Node | str | None) -> str:
    """A part, in parentheses if it is no type."""
    return f"({written(node)})" if isinstance(node, Node) else node or ""


WRITTEN = {
    Number: lambda n: str(n.value) if isinstance(n.value, int) else f"{n.value:e}",
    Name: lambda n: quoted(n.text),
    Member: lambda n: f"{inner(n.of)}{'->' if n.arrow else '.'}{quoted(n.name)}",
    Members: lambda n: f"{inner(n.of)}.*",
    Index: lambda n: f"{inner(n.of)}[{inner(n.at)}]",
    Every: lambda n: f"{inner(n.of)}[{inner(n.first)}:{inner(n.stop)}]",
    EveryCpu: lambda n: f"{inner(n.of)}[cpu]",
    Cast: lambda n: f"({n.type}){inner(n.of)}",
    Unary: lambda n: f"{n.operator}{inner(n.of)}",
    Binary: lambda n: f"{inner(n.left)} {n.operator} {inner(n.right)}",
    Call: lambda n: f"{n.name}({inner(n.argument)})",
}


def written(node: Node) -> str:
    """An expression, with parentheses around every part."""
    return WRITTEN[type(node)](node)


def bare(node):
    """The same without columns."""
    if not isinstance(node, Node):
        return node
    kept = {field.name: bare(getattr(node, field.name)) for field in fields(node)}
    return type(node)(**kept | {"column": 0})


@given(TREES)
def test_what_is_written_out_is_read_back(tree):
    """Every tree, written with all its parentheses, is the tree that the parser finds."""
    assert bare(parse(written(tree))) == bare(tree)


@given(TREES)
def test_the_products_own_text_is_read_back(tree):
    """Written with as few parentheses as it needs, a tree is still the same."""
    assert bare(parse(writing.written(tree))) == bare(tree)


@pytest.mark.parametrize(
    "text",
    [
        *("a.b->c[1]", "(a + b) * c", "a + b * c", "a - (b - c)", "a - b - c", "*(&a)", "(*p).x"),
        *("(struct x)y", "((struct x)y).z", "(int)(-a)", "-(-a)", "a[*].b[1:2][:n][1:]", "a.*"),
        *("a[cpu]", "a[`cpu`]", "`a.0`.`int`", "sizeof(struct x) * 2", "percpu(p)->x", "(5).x"),
    ],
)
def test_it_is_written_as_people_do(text):
    """These texts are already as they should be."""
    assert writing.written(parse(text)) == text


def own_word(node: Node) -> str:
    """What an expression has at a node's column."""
    match node:
        case Name(text) | Member(name=text):
            return quoted(text)
        case Index() | Every() | EveryCpu():
            return "["
        case Members():
            return "*"
        case Cast(type_):
            return type_
        case Number():
            return written(node)
    return node.name if isinstance(node, Call) else node.operator


@given(TREES)
def test_every_column_is_a_place_in_the_text(tree):
    """A node's column is where its own word stands: a name, a sign, a bracket, a type."""
    text = written(tree)
    nodes = [parse(text)]
    for node in nodes:
        nodes += parts(node)
        assert text.startswith(own_word(node), node.column - 1)


WORDS = st.sampled_from(
    [
        *("a", "b", "cpu", "struct", "int", "u_int", "x_t", "sizeof", "percpu", "1", "0x1F", "1.5"),
        *("08", "1e9", "(", ")", "[", "]", ".", "->", "*", "&", "-", "~", "!", "+", "/", "%", "<<"),
        *("==", "<", ":", "&&", "||", "|", "^", " ", "`a.b`", "`", "=", "?", ",", "é", "\n", "\0"),
    ]
)


@given(st.text(max_size=80) | st.lists(WORDS, max_size=40).map("".join))
@example("")
@example("(" * 100)
@example("-" * LONGEST)
@example("a[" * 100)
@example("a" + "+a" * 1000)
@example("a" + ".b" * 1000)
@example("(struct a)" * 100 + "b")
@example("(a||b&&c|d^e&f==g<h<<i+j*" * 100)
@example("(const " * 500)
@example("x" * (LONGEST + 1))
@example("9" * LONGEST)
@example("0x" + "f" * (LONGEST - 2))
@example("`struct`")
def test_any_text_is_read_or_refused(text):
    """Any text gives a tree of bounded height, or an error with a column in or behind it."""
    try:
        root = parse(text)
    except ExpressionError as refused:
        error = refused
    else:
        assert height(root) <= DEEPEST
        return
    assert 1 <= error.column <= len(text) + 1
    assert error.what


def height(root: Node) -> int:
    """Nodes in nodes."""
    level, high = [root], 0
    while level:
        high += 1
        level = [child for node in level for child in parts(node)]
    return high


NUMBER = st.integers(1, 99).map(str)


@given(
    st.recursive(
        NUMBER,
        lambda inner: (
            st.tuples(inner, st.sampled_from([o for o in BINARY if o not in "<>" and "=" not in o]))
            .map(" ".join)
            .flatmap(lambda left: inner.map(lambda right: f"{left} {right}"))
            | inner.map(lambda value: f"({value})")
            | inner.map(lambda value: f"~{value}")
        ),
        max_leaves=10,
    )
)
def test_operators_bind_as_pythons_do(text):
    """Of arithmetic, shifts and bits Python's precedence is C's: both build the same tree."""
    assert bare(parse(text)) == pythons(ast.parse(text, mode="eval").body)


PYTHONS = {
    ast.Mult: "*",
    ast.Div: "/",
    ast.Mod: "%",
    ast.Add: "+",
    ast.Sub: "-",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.BitAnd: "&",
    ast.BitXor: "^",
    ast.BitOr: "|",
}


def pythons(node: ast.expr) -> Node:
    """Python's tree as one of ours."""
    match node:
        case ast.BinOp(left, operator, right):
            return Binary(PYTHONS[type(operator)], pythons(left), pythons(right), 0)
        case ast.UnaryOp(ast.Invert(), operand):
            return Unary("~", pythons(operand), 0)
        case ast.Constant(int(value)):
            return Number(value, 0)
    raise AssertionError(node)


@pytest.mark.parametrize(
    ("loose", "parenthesized"),
    [
        # C11 6.5: comparisons bind tighter than bits, shifts tighter than comparisons
        ("a & b == c", "a & (b == c)"),
        ("a ^ b < c", "a ^ (b < c)"),
        ("a < b << c", "a < (b << c)"),
        ("a == b < c", "a == (b < c)"),
        ("a || b && c", "a || (b && c)"),
        ("a && b | c", "a && (b | c)"),
        ("a | b ^ c & d", "a | (b ^ (c & d))"),
        ("a - b - c", "(a - b) - c"),
        ("a / b * c", "(a / b) * c"),
        ("-a.b", "-(a.b)"),
        ("*a->b[1]", "*((a->b)[1])"),
        ("&a[1].b", "&((a[1]).b)"),
        ("(u_int)a.b", "(u_int)(a.b)"),
        ("(u_int)a * b", "((u_int)a) * b"),
        ("-(int)a[0]", "-((int)(a[0]))"),
        ("!a == b", "(!a) == b"),
        ("sizeof(a) * b", "(sizeof(a)) * b"),
        ("a[b + 1:c]", "a[(b + 1):(c)]"),
        ("a.*", "(a).*"),
    ],
)
def test_precedence(loose, parenthesized):
    """Without parentheses an expression means what C's precedence says."""
    assert bare(parse(loose)) == bare(parse(parenthesized))


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("(struct x)y", "struct x"),
        ("(struct  x*)y", "struct x *"),
        ("(struct x * *)y", "struct x **"),
        ("(const struct x *)y", "struct x *"),
        ("(struct x volatile *const)y", "struct x *"),
        ("(u_int)y", "u_int"),
        ("(int *)y", "int *"),
        ("(name)name2", "name"),
        ("(name)(y)", "name"),
        ("(name)1", "name"),
        ("(name)~y", "name"),
        ("(name *)-1", "name *"),
        ("(unsigned)-1", "unsigned"),
        ("(uint8_t)-1", "uint8_t"),
        ("(u_long)*p", "u_long"),
        ("(u64)&p", "u64"),
        ("(long unsigned int)y", "long unsigned int"),
        ("(char [16])y", "char[16]"),
        ("(char[0x10])y", "char[16]"),
        ("(struct x *[2][3])y", "struct x *[2][3]"),
        ("(name[4])y", "name[4]"),
    ],
)
def test_casts(text, type_):
    """A type in parentheses before a value is a cast; its type's text has one form."""
    node = parse(text)
    assert isinstance(node, Cast)
    assert node.type == type_


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("(a)", Name("a", 2)),
        ("(x_t)", Name("x_t", 2)),
        ("(a)-1", Binary("-", Name("a", 2), Number(1, 5), 4)),
        ("(a)*b", Binary("*", Name("a", 2), Name("b", 5), 4)),
        ("(a)&b", Binary("&", Name("a", 2), Name("b", 5), 4)),
        ("(x_t)+1", Binary("+", Name("x_t", 2), Number(1, 7), 6)),
        ("(a * b)", Binary("*", Name("a", 2), Name("b", 6), 4)),
        ("(a[2])*b", Binary("*", Index(Name("a", 2), Number(2, 4), 3), Name("b", 8), 7)),
        ("(a).b", Member(Name("a", 2), "b", False, 5)),
        ("(`u_int`)-1", Binary("-", Name("u_int", 2), Number(1, 11), 10)),
        ("a[*]", Every(Name("a", 1), None, None, 2)),
        ("a[:]", Every(Name("a", 1), None, None, 2)),
        ("a[:2]", Every(Name("a", 1), None, Number(2, 4), 2)),
        ("a[1:]", Every(Name("a", 1), Number(1, 3), None, 2)),
        ("a[cpu]", EveryCpu(Name("a", 1), 2)),
        ("a[(cpu)]", Index(Name("a", 1), Name("cpu", 4), 2)),
        ("a[`cpu`]", Index(Name("a", 1), Name("cpu", 3), 2)),
        ("a[cpu + 1]", Index(Name("a", 1), Binary("+", Name("cpu", 3), Number(1, 9), 7), 2)),
        ("a[*p]", Index(Name("a", 1), Unary("*", Name("p", 4), 3), 2)),
        ("a . * * 2", Binary("*", Members(Name("a", 1), 5), Number(2, 9), 7)),
        ("sizeof(struct x *)", Call("sizeof", "struct x *", 1)),
        ("sizeof(unsigned)", Call("sizeof", "unsigned", 1)),
        ("sizeof(a)", Call("sizeof", Name("a", 8), 1)),
        ("percpu(p)->x", Member(Call("percpu", Name("p", 8), 1), "x", True, 12)),
        ("sizeof", Name("sizeof", 1)),
        ("010", Number(8, 1)),
        ("0", Number(0, 1)),
        ("1ULL << 32", Binary("<<", Number(1, 1), Number(32, 9), 6)),
        ("0x1e+5", Binary("+", Number(0x1E, 1), Number(5, 6), 5)),
        ("1e+5", Number(1e5, 1)),
        ("a\n  .b", Member(Name("a", 1), "b", False, 6)),
    ],
)
def test_what_is_no_cast_and_other_borders(text, node):
    """Each form has just the tree that the language's description says, columns included."""
    assert parse(text) == node


@pytest.mark.parametrize(
    ("text", "column", "word"),
    [
        ("", 1, "ends too early"),
        ("a +", 4, "a value"),
        ("a b", 3, "b is unexpected"),
        ("a[1", 4, "the [ of column 2 lacks its ]"),
        ("(a + b", 7, "the ( of column 1 lacks its )"),
        ("a.", 3, "name of a member"),
        ("a.5", 3, "name of a member"),
        ("a->*", 4, "name of a member"),
        ("f(x)", 1, "no f(), only sizeof(), percpu()"),
        ("a[]", 3, "a value"),
        ("struct x", 1, "a cast is (type)value"),
        ("a + int", 5, "a cast is (type)value"),
        ("(struct x)", 11, "a value"),
        ("(struct x *)", 13, "a value"),
        ("08", 1, "08 is no number"),
        ("12kB", 1, "12kB is no number"),
        ("1.", 3, "name of a member"),
        ("1e999", 1, "too large"),
        ("0x10000000000000000", 1, "64 bits"),
        ("a = b", 3, "=="),
        ("a ? b : c", 3, "?:"),
        ("a, b", 2, "comma"),
        ("`a b`", 1, "backquotes"),
        ("a.'b", 3, "texts"),
        ("a\0", 2, "\\x00"),
        ("sizeof(a", 9, "lacks its )"),
        ("sizeof()", 8, "a value"),
        ("percpu(int)", 8, "a cast is (type)value"),
        ("a[1:2:3]", 6, "the [ of column 2 lacks its ]"),
        ("(" * 65 + "a" + ")" * 65, 65, "64 levels"),
        ("a" * 4097, 4097, "4096 characters"),
    ],
)
def test_errors_point(text, column, word):
    """An error names the column where the text is wrong, and what is expected there."""
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert (caught.value.column, word in caught.value.what) == (column, True), caught.value
