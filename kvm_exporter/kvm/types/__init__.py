"""What are a kernel's C types?  CTF, DWARF or tables, all as types/model.py's values."""
