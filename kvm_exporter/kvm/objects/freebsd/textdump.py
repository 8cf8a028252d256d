"""What does a textdump(4) tell?  The texts that ddb(4) wrote; memory it has none.

System, Memory and Symbols of such a dump: what its texts and its header do not say is Unsupported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from kvm_exporter.kvm.containers import Textdump, Unwrapped
from kvm_exporter.kvm.errors import Unsupported
from kvm_exporter.kvm.memory import Symbol
from kvm_exporter.kvm.objects.freebsd import msgbuf
from kvm_exporter.kvm.objects.freebsd.life import Header
from kvm_exporter.kvm.objects.model import Life, Uname


class NoMemory:
    """Memory and symbols (memory.py) that are not in a dump of texts: each question is refused."""

    def __init__(self, name: str) -> None:
        self._name = name

    def refuse(self, *_asked: object, **_how: object) -> NoReturn:
        """Unsupported, whatever was asked."""
        raise Unsupported(
            f"{self._name}: a textdump holds no memory, only ddb's texts; "
            "info, msgbuf and textdump show them"
        )

    read = write = place = lookup = refuse

    def __iter__(self) -> Iterator[Symbol]:
        self.refuse()

    def close(self) -> None:
        """Nothing is open."""


class FreeBSDTextdump(NoMemory):
    """The FreeBSD that wrote a textdump (objects/system.py's System).

    ``death`` and ``hostname`` are of the header around it, ``machine`` its hw.machine; None where
    nobody tells.
    """

    name = "freebsd"

    def __init__(self, unwrapped: Unwrapped, texts: Textdump, death: Header) -> None:
        super().__init__(unwrapped.source.name)
        told = unwrapped.header or unwrapped.info
        self._hostname = (told.hostname if told else None) or ""
        self._machine = _machine(texts) or (told.architecture if told else None) or ""
        self._texts = texts
        self._death = death

    @property
    def page_size(self) -> int:
        """Unsupported."""
        self.refuse()

    def uname(self) -> Uname:
        """version.txt, and the header around it; what neither says is empty."""
        version = self._texts.version
        if version is None:
            raise Unsupported(f"{self._name}: this textdump has no version.txt")
        words = version.split()
        release = words[1] if len(words) > 1 else ""
        line = " ".join(words)
        return Uname(words[0] if words else "", self._hostname, release, line, self._machine)

    def life(self) -> Life:
        """Of what it died (panic.txt), and when."""
        panic = self._texts.panic
        return Life(
            death_time_seconds=self._death.death_time_seconds,
            panic=panic.rstrip("\n") if panic else self._death.panic,
        )

    def message_buffer(self) -> str:
        """msgbuf.txt."""
        if self._texts.msgbuf is None:
            raise Unsupported(f"{self._name}: this textdump has no msgbuf.txt")
        return msgbuf.text(self._texts.msgbuf.encode())

    load_average = swap_devices = swap_activity = NoMemory.refuse
    cpu_times = cpu_times_per_cpu = memory = kernel = NoMemory.refuse
    jails = mounts = interfaces = NoMemory.refuse
    processes = arguments = environment = executable = open_files = NoMemory.refuse
    copies = sysctls = NoMemory.refuse


def _machine(texts: Textdump) -> str | None:
    """The line ``machine`` of config.txt (config(5)): hw.machine, then the CPU's own name."""
    for line in (texts.config or "").splitlines():
        match line.split():
            case ["machine", machine, *_]:
                return machine
    return None
