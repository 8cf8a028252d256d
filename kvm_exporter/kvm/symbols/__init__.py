"""Which name is at which address?  A kernel's symbol tables, its modules', per-CPU and VNET."""
