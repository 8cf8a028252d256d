"""Does the schema for editors agree with what is really accepted?"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from kvm_exporter import config
from kvm_exporter.schema import main, module_schema, schema
from kvm_exporter.typed_yaml import document

jsonschema = pytest.importorskip("jsonschema", reason="PyPI has no wheel for this system")

CONFIG = Path(__file__).parents[1] / "config"
Draft202012Validator = jsonschema.Draft202012Validator
VALIDATOR = Draft202012Validator(schema())

GOOD = (
    "{}",
    "interval: 15\ndeadline: 0.5\nmax_series: 1",
    "interval: 1m30s\ndeadline: 1.5h",
    "collectors: {cpu: null, swap: {}, loadavg: {interval: 30s, deadline: 1s, max_series: 7}}",
    "collectors: {memory: {events: 'pg.*', levels: '.*'}}",
    "collectors: {process: {groups: [], labels: [user, jail], threads: true, group_ttl: 1d}}",
    "collectors: {process: {groups: [{name: a, kernel: null, jail: [-1], cmdline: ['a+']}]}}",
    "compat: [node_exporter]\notlp: null",
    "otlp: {endpoint: 'http://h', headers: {a: b}, resource: {c: d}, semconv: current}",
)
BAD = (
    "[]",
    "a",
    "intervall: 1",
    "interval: '15 s'",
    "interval: 0",
    "interval: true",
    "interval: null",
    "interval: [1]",
    "interval: 32000000",
    "max_series: 0",
    "max_series: '5'",
    "max_series: 1.5",
    "compat: node_exporter",
    "compat: [x]",
    "compat: null",
    "collectors: null",
    "collectors: []",
    "collectors: {cpuu: {}}",
    "collectors: {cpu: []}",
    "collectors: {cpu: {a: 1}}",
    "collectors: {cpu: {interval: x}}",
    "collectors: {memory: {events: 1}}",
    "collectors: {process: {groups: {}}}",
    "collectors: {process: {groups: [a]}}",
    "collectors: {process: {groups: [{}]}}",
    "collectors: {process: {groups: [{name: 1}]}}",
    "collectors: {process: {groups: [{name: a, comm: x}]}}",
    "collectors: {process: {groups: [{name: a, user: [0]}]}}",
    "collectors: {process: {groups: [{name: a, jail: ['0']}]}}",
    "collectors: {process: {groups: [{name: a, per_pid: null}]}}",
    "collectors: {process: {labels: [pid]}}",
    "collectors: {process: {max_groups: 0}}",
    "otlp: {}",
    "otlp: {endpoint: 1}",
    "otlp: {endpoint: 'http://h', headers: {a: 1}}",
    "otlp: {endpoint: 'http://h', semconv: old}",
)
ONLY_LOADING_TELLS = (
    "interval: 1\ninterval: 2",
    "interval: 0s",
    "max_series: 010",
    "collectors: {process: {threads: yes}}",
    "collectors: {process: {groups: [{name: a, cmdline: ['(']}]}}",
    "collectors: {process: {groups: [{name: '{com}'}]}}",
    "collectors: {process: {labels: [user, user]}}",
    "otlp: {endpoint: localhost}",
)


def loads(text: str) -> bool:
    """Whether our own strict reading accepts it."""
    try:
        config.decode(document.parse(text, "test.yml"))
    except config.ConfigError:
        return False
    return True


def valid(text: str) -> bool:
    """Whether another program, with the schema, accepts it."""
    return VALIDATOR.is_valid(yaml.safe_load(text))


def test_shipped_schema(same_as_file: Callable[[str, Path], None]) -> None:
    """The shipped schema is the one that the dataclasses give."""
    same_as_file(json.dumps(schema(), indent=2) + "\n", CONFIG / "kvm_exporter.schema.json")


def test_shipped_schema_of_modules(same_as_file: Callable[[str, Path], None]) -> None:
    """So is that of modules of symbols, which every one that is shipped names and satisfies."""
    same_as_file(json.dumps(module_schema(), indent=2) + "\n", CONFIG / "symbols.schema.json")
    validator = Draft202012Validator(module_schema())
    for path in sorted((CONFIG / "symbols").glob("*.yml")):
        text = path.read_text(encoding="utf-8")
        assert text.startswith("# yaml-language-server: $schema=../symbols.schema.json\n"), path
        assert list(validator.iter_errors(yaml.safe_load(text))) == [], path


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    """``python -m kvm_exporter.schema`` prints the shipped schemas."""
    main([])
    assert json.loads(capsys.readouterr().out) == schema()
    main(["symbols"])
    assert json.loads(capsys.readouterr().out) == module_schema()


@pytest.mark.parametrize("made", [schema(), module_schema()])
def test_is_a_schema(made: dict[str, object]) -> None:
    """It is a schema of the dialect that it names."""
    assert made["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(made)


def test_shipped_configuration_is_valid() -> None:
    """The shipped configuration satisfies the schema, and names it for editors."""
    text = (CONFIG / "kvm_exporter.yml").read_text(encoding="utf-8")
    assert valid(text)
    assert text.startswith("# yaml-language-server: $schema=kvm_exporter.schema.json\n")


def test_defaults_are_valid() -> None:
    """The configuration with every default filled in satisfies the schema."""
    assert valid(config.redacted(config.default()))


def test_every_key_of_ours_is_explained() -> None:
    """Every key has a description for whoever hovers over it."""
    missing = [path for path, key in walk(schema(), "") if "description" not in key]
    assert missing == []


def walk(node: dict[str, object], path: str) -> list[tuple[str, dict[str, object]]]:
    """Every key of a schema with its path."""
    found = []
    for name, key in dict(node.get("properties", {})).items():
        found += [(f"{path}.{name}", key), *walk(key, f"{path}.{name}")]
    for inner in (node.get("items"), *node.get("anyOf", ())):
        found += walk(inner, path) if inner else []
    return found


@pytest.mark.parametrize("text", GOOD)
def test_both_accept(text: str) -> None:
    """The schema accepts what loads."""
    assert (loads(text), valid(text)) == (True, True)


@pytest.mark.parametrize("text", BAD)
def test_both_refuse(text: str) -> None:
    """What the schema refuses does not load either."""
    assert (loads(text), valid(text)) == (False, False)


@pytest.mark.parametrize("text", ONLY_LOADING_TELLS)
def test_only_loading_tells(text: str) -> None:
    """What a schema cannot say is still refused when it is loaded."""
    assert (loads(text), valid(text)) == (False, True)
