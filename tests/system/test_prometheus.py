"""Do Prometheus's own programs agree with what we serve?"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.system


def get(url):
    """The body at a URL, as text."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def retry(ask, seconds=60):
    """What ``ask`` gives once it gives something; an error after ``seconds``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if answer := ask():
                return answer
        except urllib.error.URLError:
            pass
        time.sleep(0.2)
    raise TimeoutError(f"nothing after {seconds} seconds")


def check_metrics(text):
    """What promtool has to say of a scrape: its status, and its remarks."""
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_promtool_finds_nothing_to_say(exporter):
    """Promtool check metrics accepts a whole live scrape without a single remark."""
    assert check_metrics(get(f"{exporter}/metrics")) == (0, "", "")


@pytest.mark.parametrize("name", ["linux", "freebsd"])
def test_promtool_finds_nothing_to_say_of_the_reviewed_scrapes(name):
    """Nor of either system's golden scrape, which has families that this machine has not."""
    golden = Path(__file__).parents[1] / "golden" / f"{name}.prom"
    assert check_metrics(golden.read_text(encoding="utf-8")) == (0, "", "")


def test_promtool_takes_the_readmes_configuration(tmp_path):
    """What the README tells to put into prometheus.yml is good, with our rules beside it."""
    root = Path(__file__).parents[2]
    text = (root / "README.md").read_text(encoding="utf-8")
    [example] = re.findall(r"^```yaml\n(scrape_configs:.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "prometheus.yml").write_text(example)
    shutil.copy(root / "dashboards" / "alerts.yml", tmp_path)
    command = ["promtool", "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def prometheus(exporter, tmp_path, free_port):
    """The URL of a real Prometheus that scrapes the exporter every second."""
    config = tmp_path / "prometheus.yml"
    target = urllib.parse.urlsplit(exporter).netloc
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: kvm, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    command = [
        shutil.which("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{free_port}",
    ]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        yield f"http://127.0.0.1:{free_port}"
        process.terminate()


def query(prometheus, path, **arguments):
    """The data of an answer of Prometheus's API."""
    return json.loads(get(f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"))[
        "data"
    ]


def test_prometheus_finds_every_family(exporter, prometheus):
    """A real Prometheus stores each sample name that the exporter serves, with type and help."""
    retry(lambda: query(prometheus, "query", query='up{job="kvm"} == 1')["result"])
    families = list(text_string_to_metric_families(get(f"{exporter}/metrics")))
    served = {sample.name for family in families for sample in family.samples}
    assert len(served) > 50
    match = {"match[]": '{job="kvm"}'}
    assert retry(lambda: served <= set(query(prometheus, "label/__name__/values", **match)))
    # OpenMetrics declares a family without its samples' suffix
    known = query(prometheus, "metadata").keys()
    assert {name for name in served if re.sub("_(total|info)$", "", name) not in known} == set()


def test_prometheus_scrapes_openmetrics(exporter, prometheus):
    """Prometheus asks for OpenMetrics, and its own view of the scrape is error-free."""
    target = retry(
        lambda: [
            target
            for target in query(prometheus, "targets")["activeTargets"]
            if target["health"] == "up"
        ]
    )
    assert target[0]["lastError"] == ""
    assert Path(target[0]["scrapeUrl"]).name == "metrics"


QUIET = {"Swap in use", "Swap by device", "Refused, failed, dropped"}
"""Panels that a healthy host without swap has nothing to show in."""


def test_every_panel_of_the_dashboard_has_data(exporter, prometheus):
    """The real Prometheus understands each panel's query, and has something to answer."""
    dashboard = Path(__file__).parents[2] / "dashboards" / "kvm_exporter.json"
    panels = json.loads(dashboard.read_text(encoding="utf-8"))["panels"]
    retry(
        lambda: query(prometheus, "query", query='count_over_time(up{job="kvm"}[1m]) > 2')["result"]
    )
    values = {"$job": "kvm", "$instance": urllib.parse.urlsplit(exporter).netloc}
    values["$__rate_interval"] = "1m"
    empty = set()
    for panel in panels:
        for target in panel.get("targets", ()):
            text = target["expr"]
            for name, value in values.items():
                text = text.replace(name, value)
            if not query(prometheus, "query", query=text)["result"]:
                empty.add(panel["title"])
    assert empty <= QUIET
