"""What are a kernel's C types?  CTF, BTF, DWARF or tables, all as types/model.py's values."""
