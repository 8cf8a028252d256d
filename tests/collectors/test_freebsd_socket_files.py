"""Does freebsd-sockets.yml tell how many sockets there are, and what lies in them?

Forged kernels of every word size and byte order, with network stacks of two jails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from fakes.module_files import answer, expected
from forge.counting import MACHINES, Counting
from forge.world import Thing

SOCKETS = """
struct sockbuf { void *sb_sel; u_int sb_acc, sb_ccc, sb_mbcnt, sb_hiwat; };
struct socket {
    u_long so_lock[4]; u_int so_count; int so_options; short so_type;
    union {
        struct { struct sockbuf so_rcv, so_snd; };
        struct { void *sol_incomp[2], *sol_comp[2]; u_int sol_qlen, sol_incqlen, sol_qlimit; };
    };
};
LIST_HEAD(inpcbhead, inpcb);
struct in_endpoints { uint16_t ie_fport, ie_lport; uint32_t ie_addresses[8]; };
struct in_conninfo { uint8_t inc_flags, inc_len; uint16_t inc_fibnum; struct in_endpoints inc_ie; };
struct inpcb {
    u_long inp_lock; struct socket *inp_socket; struct in_conninfo inp_inc;
    LIST_ENTRY(inpcb) inp_list;
};
LIST_HEAD(unp_head, unpcb);
struct unpcb {
    u_long unp_mtx; struct unpcb *unp_conn; struct socket *unp_socket; LIST_ENTRY(unpcb) unp_link;
};
"""
SINCE_14 = "struct inpcbinfo { u_long ipi_lock; struct inpcbhead ipi_listhead; u_int ipi_count; };"
BEFORE_14 = (
    "struct inpcbinfo { u_long ipi_lock; struct inpcbhead *ipi_listhead; u_int ipi_count; };"
)

LISTENS = 2
"""SO_ACCEPTCONN (sys/socket.h)."""

TABLES = ("tcbinfo", "udbinfo", "ulitecbinfo", "ripcbinfo")


@pytest.fixture(params=MACHINES)
def kernel(request: pytest.FixtureRequest) -> Counting:
    """A kernel of each machine that knows sockets."""
    made = Counting(request.param, cpus=(0, 3), jails={"web": 4})
    made.declare(SOCKETS)
    return made


def socket(kernel: Counting, received: int = 0, sent: int = 0) -> Thing:
    """A socket with bytes in its buffers."""
    buffers = {"so_rcv.sb_ccc": received, "so_rcv.sb_hiwat": 4000}
    made = kernel.new("struct socket", so_options=4)
    for path, value in (buffers | {"so_snd.sb_ccc": sent, "so_snd.sb_hiwat": 2000}).items():
        made.put(path, value)
    return made


def listening(kernel: Counting, queue: int, incomplete: int, limit: int) -> Thing:
    """A socket that listens."""
    return kernel.new(
        "struct socket",
        so_options=LISTENS + 4,
        sol_qlen=queue,
        sol_incqlen=incomplete,
        sol_qlimit=limit,
    )


def connection(kernel: Counting, socket: Thing | None, port: int = 0) -> Thing:
    """A protocol's side of a socket; the port lies in network byte order."""
    made = kernel.new("struct inpcb").set(inp_socket=socket)
    kernel.world.write(made.at("inp_inc.inc_ie.ie_lport"), port.to_bytes(2, "big"))
    return made


def tables(
    kernel: Counting, connections: Mapping[tuple[str, str], Sequence[Thing]], *, pointer: bool
) -> None:
    """Each protocol's table in each network stack, with its connections."""
    for name in TABLES:
        stacks = kernel.vnet(f"struct inpcbinfo {name}", {})
        for jail, table in stacks.items():
            inside = connections.get((name, jail), ())
            table.set(ipi_count=len(inside))
            at = table.at("ipi_listhead")
            head = Thing(kernel.world, "struct inpcbhead", at)
            if pointer:
                head = kernel.new("struct inpcbhead")
                table.set(ipi_listhead=head)
            kernel.link_list("LIST", head, inside, "inp_list")


def connections(kernel: Counting) -> dict[tuple[str, str], list[Thing]]:
    """What the two network stacks have."""
    return {
        ("tcbinfo", ""): [
            connection(kernel, socket(kernel, 10, 1), 80),
            connection(kernel, listening(kernel, 3, 1, 128), 443),
            connection(kernel, None, 9),
            connection(kernel, listening(kernel, 4, 0, 128), 443),
            connection(kernel, socket(kernel, 20, 2), 80),
        ],
        ("tcbinfo", "web"): [connection(kernel, listening(kernel, 0, 7, 10), 0x1234)],
        ("udbinfo", "web"): [connection(kernel, socket(kernel, 500), 53)],
        ("ripcbinfo", ""): [connection(kernel, socket(kernel, 0, 6))],
    }


INTERNET = """
    sockets_protocol{jail="",protocol="tcp"} 5
    sockets_protocol{jail="web",protocol="tcp"} 1
    sockets_protocol{jail="",protocol="udp"} 0
    sockets_protocol{jail="web",protocol="udp"} 1
    sockets_protocol{jail="",protocol="udplite"} 0
    sockets_protocol{jail="web",protocol="udplite"} 0
    sockets_protocol{jail="",protocol="raw"} 1
    sockets_protocol{jail="web",protocol="raw"} 0
    sockets_receive_bytes{jail="",protocol="tcp"} 30
    sockets_receive_bytes{jail="web",protocol="udp"} 500
    sockets_receive_bytes{jail="",protocol="raw"} 0
    sockets_send_bytes{jail="",protocol="tcp"} 3
    sockets_send_bytes{jail="web",protocol="udp"} 0
    sockets_send_bytes{jail="",protocol="raw"} 6
    sockets_receive_buffer_bytes{jail="",protocol="tcp"} 8000
    sockets_receive_buffer_bytes{jail="web",protocol="udp"} 4000
    sockets_receive_buffer_bytes{jail="",protocol="raw"} 4000
    sockets_send_buffer_bytes{jail="",protocol="tcp"} 4000
    sockets_send_buffer_bytes{jail="web",protocol="udp"} 2000
    sockets_send_buffer_bytes{jail="",protocol="raw"} 2000
    sockets_listening{jail="",port="443"} 2
    sockets_listening{jail="web",port="4660"} 1
    sockets_listen_queue{jail="",port="443"} 7
    sockets_listen_queue{jail="web",port="4660"} 0
    sockets_listen_incomplete{jail="",port="443"} 1
    sockets_listen_incomplete{jail="web",port="4660"} 7
    sockets_listen_queue_max{jail="",port="443"} 256
    sockets_listen_queue_max{jail="web",port="4660"} 10
"""

NONE = """
    sockets_receive_bytes{jail="",protocol="udp"} 0
    sockets_receive_bytes{jail="web",protocol="tcp"} 0
    sockets_receive_bytes{jail="web",protocol="raw"} 0
    sockets_send_bytes{jail="",protocol="udp"} 0
    sockets_send_bytes{jail="web",protocol="tcp"} 0
    sockets_send_bytes{jail="web",protocol="raw"} 0
    sockets_receive_buffer_bytes{jail="",protocol="udp"} 0
    sockets_receive_buffer_bytes{jail="web",protocol="tcp"} 0
    sockets_receive_buffer_bytes{jail="web",protocol="raw"} 0
    sockets_send_buffer_bytes{jail="",protocol="udp"} 0
    sockets_send_buffer_bytes{jail="web",protocol="tcp"} 0
    sockets_send_buffer_bytes{jail="web",protocol="raw"} 0
"""
"""Of what has no sockets: known, and 0."""


def local(kernel: Counting) -> None:
    """Sockets of the local domain: of streams one listens and two are connected."""
    one, other = (kernel.new("struct unpcb") for _ in range(2))
    one.set(unp_socket=socket(kernel, 100), unp_conn=other)
    other.set(unp_socket=socket(kernel, 11), unp_conn=one)
    waiting = kernel.new("struct unpcb").set(unp_socket=listening(kernel, 1, 1, 1))
    alone = kernel.new("struct unpcb").set(unp_socket=socket(kernel, 5))
    for name, members in {
        "unp_shead": [waiting, one, other],
        "unp_sphead": [],
        "unp_dhead": [alone],
    }.items():
        kernel.link_list("LIST", kernel.variable(f"struct unp_head {name}"), members, "unp_link")


def rest(kernel: Counting) -> None:
    """What there is one of."""
    kernel.variable("u_int numopensockets", 321)
    kernel.variable("int maxsockets", 4000)
    kernel.vnet("u_int somaxconn", {"": 128, "web": 64})
    kernel.variable("u_long sb_max", 2 << 20)
    kernel.variable("u_int unp_count", 44)
    kernel.variable("int unp_rights", 2)


REST = """
    sockets_open 321
    sockets_max 4000
    sockets_backlog_max{jail=""} 128
    sockets_backlog_max{jail="web"} 64
    sockets_buffer_max_bytes 2097152
    sockets_unix 44
    sockets_unix_descriptors_in_flight 2
    sockets_unix_connections{type="stream"} 2
    sockets_unix_connections{type="datagram"} 0
    sockets_unix_receive_bytes{type="stream"} 111
    sockets_unix_receive_bytes{type="datagram"} 5
    sockets_unix_connections{type="seqpacket"} 0
    sockets_unix_receive_bytes{type="seqpacket"} 0
"""


@pytest.mark.parametrize("declaration", [SINCE_14, BEFORE_14])
def test_sockets(kernel: Counting, declaration: str) -> None:
    """Of each network stack; those that listen have queues, those that are gone nothing."""
    kernel.declare(declaration)
    tables(kernel, connections(kernel), pointer=declaration is BEFORE_14)
    local(kernel)
    rest(kernel)
    found = answer(kernel, "freebsd-sockets")
    assert found.missing == {}
    assert found.series == expected(INTERNET + NONE + REST)
