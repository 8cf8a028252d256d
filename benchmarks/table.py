"""How are figures printed?  As a Markdown table, numbers rounded to three digits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Cell = str | float | None


def text(cell: Cell) -> str:
    """A cell as it is printed; None is an empty cell."""
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else f"{cell:.3g}" if cell < 1000 else f"{cell:.0f}"


def print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table under its title."""
    cells = [tuple(header), *(tuple(map(text, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    print(f"\n{title}\n\n" + "\n".join(lines), flush=True)
