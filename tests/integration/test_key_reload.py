"""Issue 14, 3: what the schema says of each key and a reload is so. `mired --keys` names the keys of the next start;
a reload takes up all others."""

import re
import subprocess

import pytest

from lib import ports
from lib.mired import PROGRAM, UNDER
from lib.smtp import Client
from lib.waiting import PATIENCE, until

# A value of each key before and after; the other values are valid beside them.
MAIN = {
    "hostname": ("mx1.example.test", "mx2.example.test"),
    "domains": ('{ "example.test" }', '{ "example.test", "example.org" }'),
    "workers": ("2", "1"),
    "clerks": ("1", "2"),
    "lookups": ("8", "9"),
    "user": (None, "nobody"),
    "state": (None, "@FOLDER@/elsewhere"),
    "run": (None, "@FOLDER@/elsewhere"),
    "sandbox": ("true", "false"),
    "log": ("text", "json"),
    "log_level": ("info", "warn"),
    "size_max": ("20M", "21M"),
    "connections_max": ("500", "600"),
    "spool_max": ("100M", "101M"),
    "spool_memory": ("40M", "41M"),
    "data_rate": ("100", "50"),
    "timeout": ("1m", "2m"),
    "settle": ("1h", "2h"),
    "exempt": ('{ "192.0.2.0/24" }', '{ "198.51.100.0/24" }'),
    "relay": ('{ "192.0.2.0/24" }', '{ "198.51.100.0/24" }'),
    "suspect": ('{ "203.0.113.0/25" }', '{ "203.0.113.128/25" }'),
    "resolver": ('{ "127.0.0.1:5399" }', '{ "127.0.0.1:5398" }'),
    "recipient_delimiter": ("+", "-"),
    "routing_addresses": ("false", "true"),
    "received_login": ("false", "true"),
    "bare_newline": ("refuse", "normalise"),
    "bare_newline_networks": (None, '{ "192.0.2.0/24" }'),
    "nul": ("refuse", "allow"),
    "balance": ("first", "round_robin"),
}
SECTIONS = {
    'listen "127.0.0.1:@PORT@"': {
        "submission": ("false", "true"), "auth": ("false", "true"), "chunking": ("true", "false"),
        "tls": ("off", "starttls"), "proxy_protocol": ('{ "192.0.2.0/24" }', '{ "198.51.100.0/24" }'),
    },
    "tls": {
        "certificate": ("@FOLDER@/one.pem", "@FOLDER@/two.pem"), "key": ("@FOLDER@/one.pem", "@FOLDER@/two.pem"),
        "minimum": ("1.2", "1.3"), "client_ca": ("@FOLDER@/one.pem", "@FOLDER@/two.pem"),
    },
    "tarpit": {
        "observe": ("false", "true"), "observe_domains": (None, '{ "example.test" }'), "time": ("1s", "2s"),
        "growth": ("2", "3"), "max": ("8s", "9s"), "pace": ("true", "false"), "pace_after": ("4", "5"),
        "shield": ("40", "41"), "good_ratio": ("9", "8"), "correspondents": ("true", "false"), "retry_after": ("5m", "6m"), "half_life": ("2h", "3h"),
        "good_half_life": ("2d", "3d"), "network_share": ("15", "14"), "drip": ("2s", "3s"),
        "patience_offences": ("4", "3"), "null_sender_max": ("2s", "3s"), "login_tries": ("7", "8"),
        "traps": ('{ "one@example.test" }', '{ "two@example.test" }'), "suspect_offences": ("4", "5"),
        "held_max": ("100", "101"), "held_per_client": ("100", "101"), "reserve": ("11%", "12%"),
        "freeze": ("off", "auto"), "freeze_after": ("2s", "3s"), "greet": ("0s", "1s"), "greet_pass": ("10d", "20d"), "ledger_size": ("1M", "2M"),
    },
    "allowance": {
        "recipients_per_hour": ("10", "20"), "recipients_per_day": ("100", "200"), "stolen": ("tell", "refuse"),
        "file": ("@FOLDER@/allowances", "@FOLDER@/others"),
    },
    'recipients "ldap"': {
        "domains": (None, '{ "example.test", "example.org" }'),
        "path": (None, "/unused"), "map": (None, "unused"), "url": ('{ "ldap://127.0.0.1:9" }', '{ "ldap://127.0.0.1:10" }'),
        "base": ("o=a", "o=b"), "filter": ("(mail=%s)", "(m=%s)"), "bind_dn": ("cn=a", "cn=b"),
        "password_file": ("@FOLDER@/one", "@FOLDER@/two"), "start_tls": ("false", "true"), "cache": ("1m", "2m"),
        "negative_cache": ("1m", "2m"),
    },
    'auth "file"': {"domains": (None, '{ "example.test", "example.org" }'), "path": ("@FOLDER@/one", "@FOLDER@/two")},
    'backend "smtp://127.0.0.1:9"': {
        "domains": (None, '{ "example.test", "example.org" }'),
        "xclient": ("false", "true"), "xforward": ("false", "true"), "chunking": ("false", "true"), "proxy_protocol": ("off", "v1"),
        "tls": ("off", "verified"), "connections": ("3", "4"),
    },
    'dnsbl "bl.test"': {"weight": ("2", "3"), "reply": ('{ "127.0.0.2" }', '{ "127.0.0.3" }'), "test": ("true", "false")},
    'dnswl "wl.test"': {"reply": ('{ "127.0.0.2" }', '{ "127.0.0.3" }'), "test": ("true", "false")},
    "web": {
        "listen": ('{ "127.0.0.1:@WEB@" }', '{ "127.0.0.1:@WEB2@" }'), "token_file": ("@FOLDER@/one", "@FOLDER@/two"),
        "names": ('{ "one.test" }', '{ "two.test" }'),
    },
    "fleet": {
        "redis": ('{ "redis://127.0.0.1:9/0" }', '{ "redis://127.0.0.1:10/0" }'), "mode": ("sentinel", "cluster"),
        "name": ("one", "two"), "member": ("one", "two"), "password_file": ("@FOLDER@/one", "@FOLDER@/two"),
        "tls": ("false", "true"), "ca": ("@FOLDER@/one.pem", "@FOLDER@/two.pem"),
    },
}  # fmt: skip


def schema():
    """{(section, key): "reload" or "start"}."""
    shown = subprocess.run([PROGRAM, "--keys"], capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
    keys = {}
    for line in shown.splitlines():
        name, _, _, when, _ = line.split("\t")
        section, _, key = name.rpartition(".")
        keys[section, key] = when
    return keys


def written(value):
    return value if re.match(r"[{0-9]|true$|false$", value) and not re.fullmatch(r"1\.[23]", value) else f'"{value}"'


def text(which, fill):
    def lines(keys):
        return [f"{key} = {written(pair[which])}" for key, pair in keys.items() if pair[which] is not None]

    out = lines(MAIN)
    for section, keys in SECTIONS.items():
        out += [f"{section} {{", *lines(keys), "}"]
    return fill("\n".join(out) + "\n")


def shown(m):
    """{(section, key): value} of what `mirectl config` prints."""
    section, values = "", {}
    for line in m.control("config").stdout.splitlines():
        if line.endswith("{"):
            section = line.split()[0]
        elif line == "}":
            section = ""
        elif " = " in line:
            key, value = line.split("  #")[0].strip().split(" = ", 1)
            values[section, key] = value.strip('"')
    return values


def test_every_key_is_in_the_tables_of_this_test():
    mine = {("", key) for key in MAIN} | {(s.split()[0], key) for s, keys in SECTIONS.items() for key in keys}
    assert mine == set(schema())


@pytest.mark.skipif(UNDER, reason="valgrind needs calls that the sandbox refuses")
def test_a_reload_takes_up_what_the_schema_says(mired):
    m = mired()
    for name in ("one", "two"):
        (m.folder / name).write_text("alice:!\n")
    for name in ("allowances", "others"):
        (m.folder / name).write_text("alice 500 5000\n")
    for name in ("one", "two"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=mx",
             "-keyout", m.folder / "key", "-out", m.folder / "certificate"], check=True, capture_output=True, timeout=PATIENCE,
        )  # fmt: skip
        pem = (m.folder / "certificate").read_text() + (m.folder / "key").read_text()
        (m.folder / f"{name}.pem").write_text(pem)
    own = "".join(line + "\n" for line in m.file.read_text().splitlines() if line.split()[:1] in (["user"], ["state"], ["run"]))
    web, web2 = ports.free(), ports.free()

    def fill(lines):
        for mark, value in (("FOLDER", m.folder), ("PORT", m.port), ("WEB", web), ("WEB2", web2)):
            lines = lines.replace(f"@{mark}@", str(value))
        return lines

    m.stop()
    m.file.write_text(own + text(0, fill))
    m.start()
    before = shown(m)
    m.file.write_text(text(1, fill))
    done = m.control("reload")
    assert done.returncode == 0, done.stdout + done.stderr
    after = shown(m)
    for (section, key), when in schema().items():
        now, was = after.get((section, key)), before.get((section, key))
        if when == "reload":
            assert now != was, f"{section} {key} is still {was}"
        else:
            assert now == was, f"{section} {key} was {was} and is {now}"
            m.log.wait(f"`{key}` changes only with a restart")
    assert len([when for when in schema().values() if when == "start"]) == 5


    def greets():
        with Client(m.port) as client:
            return "mx2.example.test" in client.greeting.text

    until(greets)  # the earlier generation may take a connection yet
