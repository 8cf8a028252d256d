"""Is VMCOREINFO understood as the kernel writes it, and whatever else it may be?"""

from __future__ import annotations

import pytest
from forge.linux_memory import linux
from hypothesis import example, given
from hypothesis import strategies as st

from kvm_exporter.kvm.vmcore.facts import facts
from kvm_exporter.kvm.vmcore.vmcoreinfo import Vmcoreinfo


def parse(*lines: str) -> Vmcoreinfo:
    """From lines, with the page's zeros after them."""
    return Vmcoreinfo.parse("\n".join(lines).encode() + b"\n" + bytes(100))


def test_each_kind_of_line() -> None:
    """Symbols are bare hex, numbers decimal or 0x, signs count, and the rest is as printed."""
    info = parse(
        "OSRELEASE=6.1.0-50-cloud-amd64",
        "BUILD-ID=bb603a9147d3efe4744bf83c83eee397c591cc20",
        "PAGESIZE=4096",
        "SYMBOL(init_uts_ns)=ffffffffb9ff9b60",
        "OFFSET(list_head.next)=0",
        "SIZE(page)=64",
        "LENGTH(zone.free_area)=11",
        "NUMBER(phys_base)=-857735168",
        "NUMBER(kimage_voffset)=0xffff7fffc0000000",
        "KERNELOFFSET=37400000",
        "CONFIG_X86_PAE=y",
        "CRASHTIME=1795435200",
    )
    assert info.release == "6.1.0-50-cloud-amd64"
    assert info.build_id == "bb603a9147d3efe4744bf83c83eee397c591cc20"
    assert info.page_size == 4096
    assert info.symbol("init_uts_ns") == 0xFFFFFFFFB9FF9B60
    assert info.offset("list_head.next") == 0
    assert info.size("page") == 64
    assert info.length("zone.free_area") == 11
    assert info.number("phys_base") == -857735168
    assert info.number("kimage_voffset") == 0xFFFF7FFFC0000000
    assert info.kernel_offset == 0x37400000
    assert info.config("X86_PAE") == "y"
    assert info.value("PAGESIZE") == "4096"


def test_what_is_not_there_is_none() -> None:
    """An empty text answers every question with None."""
    info = Vmcoreinfo.parse(b"")
    asked = (info.symbol, info.number, info.offset, info.size, info.length, info.config, info.value)
    assert [ask("swapper_pg_dir") for ask in asked] == [None] * len(asked)
    assert info.release is info.build_id is info.page_size is info.kernel_offset is None
    assert facts(info) == ()


def test_the_first_of_two_lines_counts() -> None:
    """A key that is there twice has its first value."""
    assert parse("NUMBER(VA_BITS)=48", "NUMBER(VA_BITS)=39").number("VA_BITS") == 48


def test_the_text_ends_with_the_first_nul() -> None:
    """What lies behind it in the page is not the kernel's."""
    assert Vmcoreinfo.parse(b"PAGESIZE=4096\n\0OSRELEASE=9\n").release is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "0x",
        "-",
        "--1",
        "1e3",
        "1_000",
        "\u0663",
        "12 34",
        "ff",
        "9" * 5000,
        "18446744073709551616",
        "-9223372036854775809",
        "0x1ffffffffffffffff",
    ],
)
def test_what_is_no_number_is_absent(value: str) -> None:
    """Nothing but decimal or 0x numbers of 64 bits is taken for one."""
    info = parse(f"NUMBER(x)={value}", f"OFFSET(x)={value}", f"SIZE(x)={value}")
    assert info.number("x") is info.offset("x") is info.size("x") is None


@pytest.mark.parametrize("value", ["", "xyz", "-1", "fffffffffffffffff", "1_0", "+1"])
def test_what_is_no_address_is_absent(value: str) -> None:
    """Nothing but hex of 64 bits is an address."""
    info = parse(f"SYMBOL(x)={value}", f"KERNELOFFSET={value}")
    assert info.symbol("x") is info.kernel_offset is None


def test_sizes_are_not_negative() -> None:
    """A negative offset or size is none."""
    info = parse("OFFSET(x)=-8", "SIZE(x)=-8", "LENGTH(x)=-1", "PAGESIZE=-4096")
    assert info.offset("x") is info.size("x") is info.length("x") is None
    assert info.page_size is None


@pytest.mark.parametrize("size", ["0", "1", "4095", "12288", "2097152"])
def test_a_page_has_a_size_that_kernels_have(size: str) -> None:
    """Any other PAGESIZE is none at all."""
    assert parse(f"PAGESIZE={size}").page_size is None


@given(
    st.binary(max_size=2000)
    | st.text(alphabet="=()\n\0-x0123456789abcdefSYMBOLNUMER").map(str.encode)
)
@example(linux("x86_64").text * 100)
def test_any_bytes_are_understood(data: bytes) -> None:
    """Whatever the bytes are, every question has an answer."""
    info = Vmcoreinfo.parse(data)
    for key in [*info.values, "SYMBOL(x)"]:
        name = key.partition("(")[2].rstrip(")")
        for ask in (info.symbol, info.number, info.offset, info.size, info.length):
            number = ask(name)
            assert number is None or -(2**63) <= number < 2**64
    facts(info)
