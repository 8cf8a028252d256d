"""Does ProcSys say of this machine what sysctl(8) says?"""

from __future__ import annotations

import shutil
import subprocess

import pytest

from kvm_exporter import kvm
from kvm_exporter.kvm.objects.linux.sysctlnames import SECRETS, UNREAD, parts_of
from kvm_exporter.kvm.objects.sysctls import below

pytestmark = pytest.mark.system


OPEN = {"fs.file-nr", "fs.inode-nr", "fs.inode-state", "fs.dentry-state"}
"""What sysctl(8) adds to itself, by running."""


def peer() -> dict[str, str]:
    """Name → text, as procps's sysctl -a prints it."""
    program = shutil.which("sysctl")
    assert program, "apt-get install procps"
    printed = subprocess.run([program, "-a"], capture_output=True, text=True, check=False).stdout
    pairs = (line.partition(" = ") for line in printed.splitlines() if " = " in line)
    return {name: text for name, _, text in pairs}


def hidden(name: str) -> bool:
    """Whether it is left out on purpose."""
    parts = parts_of(name)
    return parts[-1] in SECRETS or below(parts, UNREAD)


def test_every_number_is_what_sysctl_prints():
    """Of those that are the same before and after."""
    before = peer()
    with kvm.open() as kernel:
        ours = {one.sysctl.name: one.value for one in kernel.sysctls()}
    after = peer()
    steady = {
        name: text for name, text in before.items() if after.get(name) == text and name not in OPEN
    }
    numbers = {}
    for name, text in steady.items():
        words = text.split()
        if words and all(word.lstrip("-").isdecimal() for word in words) and not hidden(name):
            numbers[name] = tuple(map(int, words)) if len(words) > 1 else int(words[0])
    assert len(numbers) > 500
    assert {name: ours.get(name) for name in numbers} == numbers
