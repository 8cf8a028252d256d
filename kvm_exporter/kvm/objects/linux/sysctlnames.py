"""What are Linux's sysctls called, what do they say, and which of them are never told?

1. Some parts of names are instances of something: those of LABELS.
2. Not told is a secret, and what works when it is read: vm.stat_refresh folds all CPUs' counters,
   kernel.random.uuid spends entropy, and looking into fs.binfmt_misc mounts it
   (proc-sys-fs-binfmt_misc.automount).
3. A text of numbers is a number, or an array of them; hexadecimal ones begin with 0x.
"""

from __future__ import annotations

from kvm_exporter.kvm.objects.sysctls import Sysctl, Value, below

UNREAD = frozenset(
    {
        ("fs", "binfmt_misc"),
        ("kernel", "random", "uuid"),
        ("vm", "stat_refresh"),
    }
)
SECRETS = frozenset({"netdev_rss_key", "stable_secret", "tcp_fastopen_key"})
"""Names, and the last part of names (rule 2)."""

NOTHING = (" ",)
"""A name that no setting has."""

LONGEST = 24
"""Letters of a number of 64 bits, and more."""

ANY = "*"
LABELS: dict[tuple[str, ...], str] = {
    ("net", "ipv4", "conf", ANY): "interface",
    ("net", "ipv4", "neigh", ANY): "interface",
    ("net", "ipv6", "conf", ANY): "interface",
    ("net", "ipv6", "neigh", ANY): "interface",
    ("net", "mpls", "conf", ANY): "interface",
    ("kernel", "sched_domain", ANY): "cpu",
    ("kernel", "sched_domain", ANY, ANY): "domain",
}
"""What the last part of such a name is (rule 1)."""


def parts_of(name: str) -> tuple[str, ...]:
    """``net.ipv4.conf.eth0/100.mtu`` as sysctl(8) has it: a slash is a dot within a part.

    What is no name in a directory gives the name of nothing: none leads out of the tree.
    """
    parts = tuple(part.replace("/", ".") for part in name.split(".")) if name else ()
    return NOTHING if any(part in {"", ".", ".."} or "\0" in part for part in parts) else parts


def told(parts: tuple[str, ...]) -> bool:
    """Whether a setting may be read (rule 2)."""
    return bool(parts) and parts[-1] not in SECRETS and not below(parts, UNREAD)


def described(parts: tuple[str, ...]) -> Sysctl:
    """The setting of that name, with its labels; Linux tells no more."""
    return Sysctl(parts, tuple(_label(parts[: end + 1]) for end in range(len(parts))))


def _label(parts: tuple[str, ...]) -> str:
    for pattern, label in LABELS.items():
        if len(pattern) == len(parts) and all(
            wanted in (ANY, part) for wanted, part in zip(pattern, parts, strict=True)
        ):
            return label
    return ""


def shown(raw: bytes) -> Value | None:
    """What a setting's text says: numbers where all words are such; None for nothing (rule 3)."""
    words = raw.split()
    if not words:
        return None
    try:
        numbers = tuple(map(_number, words))
    except ValueError:
        return raw.decode("utf-8", "surrogateescape").rstrip("\n")
    return numbers[0] if len(numbers) == 1 else numbers


def _number(word: bytes) -> int:
    if len(word) > LONGEST or not word.removeprefix(b"-").isalnum() or not word.isascii():
        raise ValueError("no number of a kernel")
    return int(word, 16 if word.startswith(b"0x") else 10)
