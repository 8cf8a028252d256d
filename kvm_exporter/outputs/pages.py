"""What does a person see in a browser?  Small HTML without scripts or anything from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kvm_exporter import __version__
from kvm_exporter.self_metrics import State

CONTENT_TYPE = "text/html; charset=utf-8"
SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --dim: #888; --good: #2e8b57; --bad: #d1495b }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
p { margin: .25rem 0 } .dim, small { color: var(--dim) }
nav { display: flex; flex-wrap: wrap; gap: .5rem; margin: 1.25rem 0 }
nav a { border: 1px solid var(--line); border-radius: .5rem; padding: .3rem .8rem;
  text-decoration: none }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--line) }
th { font-weight: 600; color: var(--dim); font-size: .85rem }
.number { text-align: right; font-variant-numeric: tabular-nums; padding-right: 0 }
.good { color: var(--good) } .bad { color: var(--bad) }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere }
"""

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})

LINKS = (
    ("config", "Configuration"),
    ("-/healthy", "Health"),
    ("-/ready", "Readiness"),
)


@dataclass(frozen=True, slots=True)
class Overview:
    """What the landing page tells; ``kernel`` is uname(3)'s line, None where it is unknown."""

    kernel: str | None
    states: Sequence[State]
    series: int | None


def landing(overview: Overview, telemetry_path: str) -> bytes:
    """The page at ``/``."""
    series = "no snapshot yet" if overview.series is None else f"{overview.series:,} series"
    links = ((telemetry_path.lstrip("/"), "Metrics"), *LINKS)
    return _page(
        "kvm_exporter",
        "<p>Kernel metrics through kvm(3), for Prometheus and OpenTelemetry</p>"
        f'<p class="dim">Version {escape(__version__)} · {series}</p>'
        f"<nav>{''.join(_link(*link) for link in links)}</nav>"
        f"<h2>Kernel</h2><p><code>{escape(overview.kernel or 'unknown')}</code></p>"
        f"<h2>Collectors</h2>{_table(overview.states)}"
        f"<p><small>One of them alone: <code>{escape(telemetry_path)}?collect[]=NAME</code>,"
        f" all but one: <code>{escape(telemetry_path)}?exclude[]=NAME</code></small></p>",
    )


def not_found(path: str) -> bytes:
    """The page for an address that nothing answers at."""
    return _page(
        "Not found",
        f"<p>Nothing answers at <code>{escape(path)}</code>.</p>"
        f"<nav>{_link('', 'What there is')}</nav>",
    )


def escape(text: str) -> str:
    """Text for HTML and its attributes; the html module does it too, for half a MiB of names."""
    return text.translate(_ESCAPES)


def _page(title: str, body: str) -> bytes:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{body}</body></html>\n"
    ).encode("utf-8", "replace")


def _link(path: str, text: str) -> str:
    return f'<a href="/{escape(path)}">{escape(text)}</a>'


def _table(states: Sequence[State]) -> str:
    head = "<tr><th>Name</th><th>State</th><th class=number>Last run took</th></tr>"
    return f"<table>{head}{''.join(_rows(states))}</table>"


def _rows(states: Sequence[State]) -> Iterable[str]:
    for state in states:
        mark, word = _word(state)
        took = state.duration_seconds
        yield (
            f"<tr><td>{escape(state.name)}</td>"
            f"<td class={mark}>{word} <small>{escape(state.error)}</small></td>"
            f"<td class=number>{'' if took is None else f'{took * 1000:,.1f} ms'}</td></tr>"
        )


def _word(state: State) -> tuple[str, str]:
    if state.success:
        return "good", "ok"
    return ("bad", "failed") if state.failures.total() else ("dim", "has not run yet")
