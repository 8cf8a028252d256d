"""How does YAML become frozen dataclasses?  Strictly, by type hints, each mistake located."""
