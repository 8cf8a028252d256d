"""What does libkdumpfile read?  For the system's own Python, which has Debian's binding of it.

Arguments: the core, and the number of bytes in a page.  Input: physical addresses, one a line.
Output: for each a line, the CRC-32 of the page there, or ``-`` where it says that there is none.
"""

import sys
import zlib

import kdumpfile
from kdumpfile.exceptions import KDumpBaseException


def checksum(context, address, size):
    """The line for one page."""
    try:
        data = context.read(kdumpfile.KDUMP_MACHPHYSADDR, address, size)
    except KDumpBaseException:
        return "-"
    return str(zlib.crc32(data))


def main():
    """Answer every line."""
    context = kdumpfile.kdumpfile(sys.argv[1])
    lines = (checksum(context, int(line), int(sys.argv[2])) for line in sys.stdin)
    sys.stdout.writelines(f"{line}\n" for line in lines)


main()
