"""What /metrics says, as Prometheus would read it."""

import re
import urllib.request

from .waiting import PATIENCE


def text(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
        return answer.read().decode()


def samples(port):
    """Value by name and labels, as they stand there: samples(port)['mired_replies_total{class="5xx"}']."""
    found = re.findall(r"^([a-z_]+(?:\{.*\})?) (\S+)$", text(port), re.M)
    return {name: float(value) for name, value in found}
