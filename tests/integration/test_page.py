"""The page, live numbers and /metrics."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import time

import pytest

from lib import ports
from lib.mired import CONTROL
from lib.smtp import Client, deliver
from lib.waiting import PATIENCE, until


@pytest.fixture
def paged(mired, tmp_path):
    """A mired with a page; m.web is its port."""
    token = tmp_path / "token"
    token.write_text("a long secret\n")
    port = ports.free()

    def start(**options):
        m = mired(config=f'web {{ listen = "127.0.0.1:{port}" token_file = "{token}" }}', **options)
        m.web = port
        return m

    return start


def get(m, path, method="GET", **headers):
    c = http.client.HTTPConnection("127.0.0.1", m.web, timeout=PATIENCE)
    c.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = c.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read().decode()


def hold(m, source=None):
    c = Client(m.port, source=source)
    c.ehlo()
    c.must("MAIL FROM:<a@b.test>")
    c.send("RCPT TO:<nobody@example.test>\r\n")
    return c


def metrics(m):
    """Every sample by its name and labels; fails on a line that Prometheus would not read."""
    status, headers, text = get(m, "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    samples, typed = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in typed, f"{name} stands in two places"
            typed[name] = kind
        elif not line.startswith("# HELP "):
            found = re.fullmatch(r'([a-z_]+)(\{([a-z]+="[^"\n]*",?)*\})? (-?[0-9.e+]+)', line)
            assert found, line
            family = re.sub(r"_(bucket|sum|count)$", "", found[1])
            assert found[1] in typed or family in typed, f"{line} has no type"
            assert line.rsplit(" ", 1)[0] not in samples
            samples[line.rsplit(" ", 1)[0]] = float(found[4])
    return samples


def test_metrics_agree_with_what_has_happened(paged):
    m = paged(tarpit="time = 60s max = 60s freeze = off")
    clients = [hold(m) for _ in range(5)]
    for _ in range(3):
        assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
    m.booked()
    wanted = {
        "mired_held_connections": 5,
        'mired_messages_total{result="passed"}': 3,
        'mired_offences_total{kind="recipient"}': 5,
        "mired_message_seconds_count": 3,
        'mired_message_seconds_bucket{le="+Inf"}': 3,
    }

    def told():
        seen = metrics(m)
        return {name: seen[name] for name in wanted}

    with contextlib.suppress(AssertionError):  # what is missing after that is told in the next line
        until(lambda: told() == wanted)
    assert told() == wanted
    m.booked()
    seen = metrics(m)
    assert seen["mired_ledger_entries"] >= 5
    assert any(name.startswith("mired_build_info") for name in seen)
    for c in clients:
        c.close()


def test_the_page_is_served_and_asks_nobody_else(paged):
    m = paged()
    status, headers, text = get(m, "/")
    assert status == 200 and "<title>mired</title>" in text
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert not re.search(r"https?://", text)
    for path in re.findall(r'(?:src|href)="([^"]+)"', text):
        assert get(m, path)[0] == 200, path
    assert get(m, "/../etc/passwd")[0] == 404
    assert get(m, "/nothing")[0] == 404
    assert get(m, "/", method="DELETE")[0] == 405


def test_live_numbers_come_every_second(paged):
    m = paged(tarpit="time = 60s max = 60s freeze = off")
    c = http.client.HTTPConnection("127.0.0.1", m.web, timeout=PATIENCE)
    c.request("GET", "/events")
    stream = c.getresponse()
    assert stream.getheader("Content-Type") == "text/event-stream"

    def event():
        while not (line := stream.readline()).startswith(b"data: "):
            assert line
        return json.loads(line[6:])

    assert event()["status"]["held"] == 0
    held = hold(m)
    for _ in range(60):  # events, not seconds: a busy machine sends them late
        live = event()
        if live["status"]["held"] == 1 and live["clients"]:
            break
    assert [x["address"] for x in live["clients"]] == [held.source]
    assert live["status"]["held"] == json.loads(m.control("--json", "status").stdout)["held"]
    held.close()
    c.close()


def test_changes_need_the_token(paged):
    m = paged(tarpit="time = 60s max = 60s freeze = off")
    held = hold(m)
    until(lambda: metrics(m)["mired_held_connections"] == 1)  # else there is nothing to release yet
    path = f"/release?address={held.source}"
    assert get(m, path, method="POST")[0] == 403
    assert get(m, path, method="POST", X_Mired_Token="a wrong one")[0] == 403
    assert get(m, "/release?address=x", method="POST", X_Mired_Token="a long secret")[0] == 400
    assert get(m, path, method="POST", X_Mired_Token="a long secret")[0] == 200
    assert held.reply().code == 550 and time.monotonic() - held.begun < 50  # not by its time
    held.close()


def test_a_reload_keeps_the_page_and_refuses_nobody(paged):
    m = paged()
    reload = subprocess.Popen([CONTROL, "-s", m.folder / "run" / "control", "reload"])
    asked = 0
    while reload.poll() is None or asked < 50:
        assert get(m, "/metrics")[0] == 200
        asked += 1
    assert reload.returncode == 0


def quantile(q, buckets):
    """As Prometheus' histogram_quantile(), over (upper bound, how many up to it), +Inf last."""
    rank = q * buckets[-1][1]
    below, start = 0, 0.0
    for bound, count in buckets:
        if count >= rank:
            return start if bound == float("inf") else start + (bound - start) * (rank - below) / (count - below)
        below, start = count, bound
    raise AssertionError("the last bucket holds all")


@pytest.mark.alone
def test_the_pulse_of_good_mail_is_what_prometheus_would_say(paged):
    m = paged()
    for _ in range(25):
        assert deliver(m.port, "a@b.test", "alice@example.test").code == 250


    def mail():
        return json.loads(get(m, "/live")[2])["mail"]

    until(lambda: mail()["per_second"] is not None and mail()["p99_ms"] is not None, every=0.05)
    buckets = [
        (float(re.search(r'le="([^"]+)"', name)[1].replace("+Inf", "inf")), count)
        for name, count in metrics(m).items()
        if name.startswith("mired_message_seconds_bucket")
    ]
    # All are younger than ten seconds, unless the machine is very busy; then the pulse has forgotten some.
    wanted = quantile(0.99, buckets) * 1000
    seen = until(lambda: abs((now := mail())["p99_ms"] - wanted) <= 1e-6 and now, every=0.05)
    assert 25 / 11.5 < seen["per_second"] < 50  # the first second may be short


def past(m):
    return json.loads(get(m, "/history")[2])["samples"]


def test_an_hour_is_remembered_over_reloads_and_restarts(paged):
    m = paged()
    until(lambda: len(past(m)) >= 2, every=0.1)
    known = past(m)
    assert m.control("reload").returncode == 0
    assert past(m)[: len(known)] == known
    m.stop()
    m.start()
    after = past(m)
    assert after[: len(known)] == known
    times = [sample[0] for sample in after]
    assert times == sorted(set(times)) and all(t % 5 == 0 for t in times)


def test_whether_backends_are_up_is_told(paged):
    down = f"smtp://127.0.0.1:{ports.free()}"
    m = paged(backend=f'backend "maildir" {{ }}\nbackend "{down}" {{ }}')

    def told():
        return {b["name"]: b["up"] for b in json.loads(m.control("--json", "status").stdout)["backends"]}

    until(lambda: told() == {"maildir": True, down: False})
    samples = metrics(m)
    assert samples['mired_backend_up{backend="maildir"}'] == 1
    assert samples[f'mired_backend_up{{backend="{down}"}}'] == 0
    m.deaths_expected = True
    (web,) = m.processes("web")
    os.kill(web, signal.SIGKILL)  # its successor is told by the workers that are there
    until(lambda: m.processes("web") not in ([], [web]))
    until(lambda: told() == {"maildir": True, down: False})


def test_an_empty_token_opens_nothing(mired, tmp_path):
    (tmp_path / "token").write_text("\n")
    port = ports.free()
    m = mired(config=f'web {{ listen = "127.0.0.1:{port}" token_file = "{tmp_path}/token" }}')
    m.web = port
    assert json.loads(get(m, "/live")[2])["may_change"] is False
    for token in ({}, {"X_Mired_Token": ""}):
        assert get(m, "/unlock", method="POST", **token)[0] == 403
