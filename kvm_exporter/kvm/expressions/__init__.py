"""How does an expression such as ``tcpstat.tcps_connects`` become a number?

language → compiling → program → running: text becomes parts, parts of the kernel's types and
symbols a program, and a program reads memory, again and again.
"""
