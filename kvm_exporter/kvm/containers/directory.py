"""Which files are a dump's, among those that savecore(8) leaves?  Numbers, info.N and key.N."""

from __future__ import annotations

import os
import re

from kvm_exporter.kvm.containers.model import DumpInfo
from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.source import File

CRASH_DIRECTORY = "/var/crash"
"""savecore's, and that of dumpdir in rc.conf(5)."""

STEMS = ("vmcore", "vmcore_encrypted", "livecore", "textdump.tar")
SUFFIXES = ("", ".zst", ".gz")
"""How a dump's name begins, and ends after its number."""

NAME = re.compile(
    r"(?P<stem>vmcore_encrypted|vmcore|livecore|textdump\.tar)"
    r"\.(?P<number>\d{1,9}|last)(?P<suffix>\.gz|\.zst)?"
)

LARGEST_INFO = 64 << 10
"""Bytes read of info.N, which has 2 KiB at most."""

FIELDS = {
    "dump header from device": "device",
    "architecture": "architecture",
    "architecture version": "architecture_version",
    "dump length": "dump_length",
    "blocksize": "blocksize",
    "compression": "compression",
    "dumptime": "dumptime",
    "hostname": "hostname",
    "magic": "magic",
    "version string": "version_string",
    "panic string": "panic_string",
    "dump parity": "parity",
    "bounds": "bounds",
    "dump status": "status",
}
"""Labels of sbin/savecore/savecore.c (printheader), case folded: older ones differ in it."""


def find_dump(path: str) -> str:
    """The path of a dump: of a directory or a number, the dump meant; any other stays.

    A number is that of a dump in /var/crash; of a directory it is the last dump (by ``*.last``,
    then ``bounds``, then the highest number).  Errors: KvmError where there is none.
    """
    if path.isascii() and path.isdigit() and not os.path.exists(path):
        return _numbered(CRASH_DIRECTORY, path)
    return _last(path) if os.path.isdir(path) else path


def _numbered(directory: str, number: str) -> str:
    for stem in STEMS:
        for suffix in SUFFIXES:
            path = os.path.join(directory, f"{stem}.{number}{suffix}")
            if os.path.exists(path):
                return path
    raise KvmError(f"{directory}: there is no dump {number}")


def _last(directory: str) -> str:
    """At most one dump is linked to: savecore removes all links before it makes one."""
    for number in ("last", _before_bounds(directory), _highest(directory)):
        try:
            path = _numbered(directory, number) if number else ""
        except KvmError:
            continue
        if path:
            return os.path.realpath(path)
    raise KvmError(f"{directory}: there is no dump in it")


def _before_bounds(directory: str) -> str:
    """``bounds`` holds the number of the next dump."""
    text = _text(os.path.join(directory, "bounds")).strip()
    return str(int(text) - 1) if text.isascii() and text.isdigit() and len(text) < 10 else ""


def _highest(directory: str) -> str:
    try:
        names = os.listdir(directory)
    except OSError as e:
        raise KvmError(f"{directory}: {e.strerror}") from e
    found = (match["number"] for name in names if (match := NAME.fullmatch(name)))
    return max((number for number in found if number != "last"), key=int, default="")


def beside(path: str, stem: str) -> str | None:
    """The path of ``info.N`` or ``key.N`` of the dump at ``path``; None where its name has no N."""
    for name in (path, os.path.realpath(path)):
        match = NAME.fullmatch(os.path.basename(name))
        if match:
            other = os.path.join(os.path.dirname(name), f"{stem}.{match['number']}")
            if os.path.isfile(other):
                return other
    return None


def read_info(path: str) -> DumpInfo | None:
    """info.N beside a dump, as savecore wrote it; None where there is none that can be read."""
    info = beside(path, "info")
    return parse_info(_text(info)) if info else None


def parse_info(text: str) -> DumpInfo:
    """Lines of ``Label: value``; any other line goes on with the value before it."""
    values: dict[str, str] = {}
    field = None
    for line in text.splitlines():
        label, colon, value = line.partition(":")
        known = FIELDS.get(label.strip().lower()) if colon else None
        if known and known not in values:
            field = known
            values[field] = value.strip()
        elif field:
            values[field] += "\n" + line
    text_of = {name: value.strip() for name, value in values.items()}
    return DumpInfo(
        device=text_of.get("device"),
        architecture=text_of.get("architecture"),
        architecture_version=_number(text_of.get("architecture_version")),
        dump_length=_number(text_of.get("dump_length")),
        blocksize=_number(text_of.get("blocksize")),
        compression=text_of.get("compression"),
        dumptime=text_of.get("dumptime"),
        hostname=text_of.get("hostname"),
        magic=text_of.get("magic"),
        version_string=text_of.get("version_string"),
        panic_string=text_of.get("panic_string"),
        parity=_number(text_of.get("parity")),
        bounds=_number(text_of.get("bounds")),
        status=text_of.get("status"),
    )


def _number(value: str | None) -> int | None:
    """The digits it starts with: ``536870912B (512 MB)`` in older releases."""
    digits = re.match(r"\d{1,20}", value or "", re.ASCII)
    return int(digits[0]) if digits else None


def _text(path: str) -> str:
    if not os.path.isfile(path):
        return ""
    try:
        with File(path) as file:
            return file.read(0, LARGEST_INFO).decode("utf-8", "replace")
    except KvmError:
        return ""
