"""What would the kernel write into struct kinfo_proc and struct xfile?

The offsets are those that the DWARF of FreeBSD 15.1's kernels gives (sys/sys/user.h,
sys/sys/file.h), written out for three ABIs; nothing is shared with the package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

Value = int | bytes | Sequence[int]
Order = Literal["little", "big"]

# member, and offset:size on 64-bit machines, i386 and armv7
_KINFO_PROC = """
ki_structsize                      0:4      0:4      0:4
ki_paddr                           16:8     12:4     12:4
ki_wchan                           64:8     36:4     36:4
ki_pid                             72:4     40:4     40:4
ki_ppid                            76:4     44:4     44:4
ki_pgid                            80:4     48:4     48:4
ki_tpgid                           84:4     52:4     52:4
ki_sid                             88:4     56:4     56:4
ki_tsid                            92:4     60:4     60:4
ki_uid                             168:4    136:4    136:4
ki_ruid                            172:4    140:4    140:4
ki_svuid                           176:4    144:4    144:4
ki_rgid                            180:4    148:4    148:4
ki_svgid                           184:4    152:4    152:4
ki_ngroups                         188:2    156:2    156:2
ki_groups                          192:64   160:64   160:64
ki_size                            256:8    224:4    224:4
ki_rssize                          264:8    228:4    228:4
ki_tsize                           280:8    236:4    236:4
ki_dsize                           288:8    240:4    240:4
ki_ssize                           296:8    244:4    244:4
ki_xstat                           304:2    248:2    248:2
ki_pctcpu                          308:4    252:4    252:4
ki_slptime                         316:4    260:4    260:4
ki_cow                             324:4    268:4    268:4
ki_runtime                         328:8    272:8    272:8
ki_start.tv_sec                    336:8    280:4    280:8
ki_start.tv_usec                   344:8    284:4    288:4
ki_flag                            368:8    296:4    312:4
ki_kiflag                          376:8    300:4    316:4
ki_stat                            388:1    308:1    324:1
ki_nice                            389:1    309:1    325:1
ki_tdname                          394:17   314:17   330:17
ki_wmesg                           411:9    331:9    347:9
ki_login                           420:18   340:18   356:18
ki_lockname                        438:9    358:9    374:9
ki_comm                            447:20   367:20   383:20
ki_emul                            467:17   387:17   403:17
ki_loginclass                      484:18   404:18   420:18
ki_moretdname                      502:4    422:4    438:4
ki_tdev                            560:8    480:8    496:8
ki_oncpu                           568:4    488:4    504:4
ki_lastcpu                         572:4    492:4    508:4
ki_tracer                          576:4    496:4    512:4
ki_fibnum                          584:4    504:4    520:4
ki_jid                             592:4    512:4    528:4
ki_numthreads                      596:4    516:4    532:4
ki_tid                             600:4    520:4    536:4
ki_pri.pri_class                   604:1    524:1    540:1
ki_pri.pri_level                   605:1    525:1    541:1
ki_rusage.ru_utime.tv_sec          608:8    528:4    544:8
ki_rusage.ru_utime.tv_usec         616:8    532:4    552:4
ki_rusage.ru_stime.tv_sec          624:8    536:4    560:8
ki_rusage.ru_stime.tv_usec         632:8    540:4    568:4
ki_rusage.ru_maxrss                640:8    544:4    576:4
ki_rusage.ru_minflt                672:8    560:4    592:4
ki_rusage.ru_majflt                680:8    564:4    596:4
ki_rusage.ru_nswap                 688:8    568:4    600:4
ki_rusage.ru_inblock               696:8    572:4    604:4
ki_rusage.ru_oublock               704:8    576:4    608:4
ki_rusage.ru_msgsnd                712:8    580:4    612:4
ki_rusage.ru_msgrcv                720:8    584:4    616:4
ki_rusage.ru_nsignals              728:8    588:4    620:4
ki_rusage.ru_nvcsw                 736:8    592:4    624:4
ki_rusage.ru_nivcsw                744:8    596:4    628:4
ki_rusage_ch.ru_utime.tv_sec       752:8    600:4    632:8
ki_rusage_ch.ru_utime.tv_usec      760:8    604:4    640:4
ki_rusage_ch.ru_stime.tv_sec       768:8    608:4    648:8
ki_rusage_ch.ru_stime.tv_usec      776:8    612:4    656:4
ki_tdflags                         1080:8   764:4    812:4
"""

# machine → column of the table, sizeof(struct kinfo_proc), byte order
MACHINES: Mapping[str, tuple[int, int, Order]] = {
    "amd64": (0, 1088, "little"),
    "aarch64": (0, 1088, "little"),
    "riscv64": (0, 1088, "little"),
    "powerpc64": (0, 1088, "big"),
    "i386": (1, 768, "little"),
    "armv7": (2, 816, "little"),
}

_XFILE = {
    "xf_size": (0, 8),
    "xf_pid": (8, 4),
    "xf_uid": (12, 4),
    "xf_fd": (16, 4),
    "xf_file": (24, 8),
    "xf_type": (32, 2),
    "xf_count": (36, 4),
    "xf_offset": (48, 8),
    "xf_data": (56, 8),
    "xf_vnode": (64, 8),
    "xf_flag": (72, 4),
}


def kinfo_proc(machine: str, members: Mapping[str, Value]) -> bytes:
    """One record; what is not given is 0, but for the size and the kernel's idea of nothing."""
    column, size, order = MACHINES[machine]
    places = {}
    for line in _KINFO_PROC.split("\n"):
        if line:
            name, *columns = line.split()
            offset, width = columns[column].split(":")
            places[name] = (int(offset), int(width))
    nothing = {"ki_structsize": size, "ki_tdev": -1, "ki_oncpu": -1, "ki_stat": 2}
    return _record(size, order, places, {**nothing, **members})


def xfile(members: Mapping[str, Value], order: Order = "little") -> bytes:
    """One record of kern.file."""
    return _record(128, order, _XFILE, {"xf_size": 128, **members})


def _record(
    size: int, order: Order, places: Mapping[str, tuple[int, int]], members: Mapping[str, Value]
) -> bytes:
    record = bytearray(size)
    for name, value in members.items():
        offset, width = places[name]
        if isinstance(value, int):
            raw = (value % (1 << 8 * width)).to_bytes(width, order)
        elif isinstance(value, bytes):
            raw = value
        else:
            raw = b"".join(number.to_bytes(4, order) for number in value)
        assert len(raw) <= width, f"{name} has {width} bytes"
        record[offset : offset + len(raw)] = raw
    return bytes(record)
