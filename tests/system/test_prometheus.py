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


def test_promtool_finds_nothing_to_say(exporter):
    """Promtool check metrics accepts a whole live scrape without a single remark."""
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=get(f"{exporter}/metrics"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


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
    stored = retry(
        lambda: set(query(prometheus, "label/__name__/values", **{"match[]": '{job="kvm"}'}))
    )
    assert len(served) > 50
    assert served <= stored
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
