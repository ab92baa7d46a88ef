"""R16: what the DNS says of a client. Lists know it as bad or good, and its own name may be trusted; asked of a
real unbound while the greeting is on its way, and nobody ever waits for the answer."""

import json
import re
import socket
import statistics

import pytest

from lib import ports
from lib.mired import SANITIZED
from lib.smtp import Client
from lib.unbound import reverse
from lib.waiting import until

# T(1) is 300 ms; T(4), the first error of who begins with three offences, 2.4 s.
TARPIT = "time = 300ms growth = 2 max = 10s drip = 0 freeze = off"
FOURTH = 2.3


def client_questions(dns, zone):
    """Without those about the list's test entries."""
    return [q for q in dns.questions(zone) if "0.0.127." not in q and ".f.f.f.f." not in q]


def offences(m, address):
    """Live ones."""
    done = m.control("--json", "show", address)
    return json.loads(done.stdout)["client"]["offences"] if done.returncode == 0 else 0


def greeted(m, source):
    """A conversation with nothing in it."""
    with Client(m.port, source=source) as c:
        assert c.greeting.code == 220
        c.quit()
        return c.greeting.seconds


def typo(m, source, **options):
    with Client(m.port, source=source, **options) as c:
        assert c.greeting.code == 220
        c.ehlo()
        c.must("MAIL FROM:<a@b.test>")
        return c.say("RCPT TO:<nobody@example.test>")


def held_for_a_typo(m, source):
    """For how many seconds its error is held, as the log says."""
    since = m.log.mark()
    assert typo(m, source).code == 550
    return m.held(source, since)


def begins_in_debt(m, source):
    """It comes, is looked up, and pays for its first error what others pay for their fourth."""
    until(lambda: greeted(m, source) and offences(m, source) > 2.9)
    reply = typo(m, source)
    assert reply.code == 550
    return reply.seconds > FOURTH


def is_trusted(m, source, by):
    """It comes, is looked up, and its error costs it nothing."""

    def told():
        since = m.log.mark()
        greeted(m, source)
        line = m.log.wait(f"event=session (?:level=debug )?client={re.escape(source)} ", since=since)
        return f"trusted={by} " in line

    until(told)
    since = m.log.mark()
    assert typo(m, source).code == 550
    m.booked()
    line = m.log.wait(f"event=session (?:level=debug )?client={re.escape(source)} ", since=since)
    return " held=0.0s " in line and offences(m, source) == 0


@pytest.mark.fast
def test_a_listed_client_starts_with_offences_and_another_does_not(mired, unbound):
    bad, other = ports.stranger(), ports.stranger()
    u = unbound().list("bl.test", bad).start()
    m = mired(config=f'dnsbl "bl.test" {{ weight = 3 }}\n{u.resolver}', tarpit=TARPIT)
    assert begins_in_debt(m, bad)
    m.log.wait(f"event=session (?:level=debug )?client={re.escape(bad)} .*listed=bl.test ")
    assert re.search(r"^listed by +bl\.test$", m.control("show", bad).stdout, re.MULTILINE)
    assert json.loads(m.control("--json", "show", bad).stdout)["listed"] == ["bl.test"]
    greeted(m, other)
    until(lambda: u.questions(reverse(other, "bl.test")))
    assert offences(m, other) == 0
    assert held_for_a_typo(m, other) < FOURTH


def test_only_replies_that_are_asked_for_count(mired, unbound):
    """Several patterns; a list that refuses the resolver (127.255.255.0/24) lists nobody, and is named once."""
    four, ten, refused = ports.stranger(), ports.stranger(), ports.stranger()
    u = unbound().list("bl.test", four, "127.0.0.4").list("bl.test", ten, "127.0.0.10")
    for listed in (four, ten, refused):
        u.list("sieve.test", listed, "127.0.1.9").list("blocked.test", listed, "127.255.255.254")
    u.start()
    m = mired(
        config='dnsbl "bl.test" { reply = { "127.0.0.[2..3;9..11]", "127.0.0.20" } }\n'
        'dnsbl "sieve.test" { reply = "127.0.0.[0..255]" }\n'
        'dnsbl "blocked.test" { weight = 10 }\n' + u.resolver,
        tarpit=TARPIT,
        workers=1,
    )
    assert begins_in_debt(m, ten)
    for source in (four, refused):
        greeted(m, source)
    m.log.wait("blocked.test does not serve this resolver")
    until(lambda: len(u.questions("blocked.test")) >= 3)
    assert held_for_a_typo(m, four) < FOURTH and held_for_a_typo(m, refused) < FOURTH
    assert m.log.text.count("blocked.test does not serve this resolver") == 1


def test_the_heaviest_of_several_lists_counts(mired, unbound):
    bad = ports.stranger()
    u = unbound().list("one.test", bad).list("seven.test", bad).list("none.test", bad).start()
    m = mired(
        config='log_level = \"debug\"\ndnsbl "one.test" { weight = 1 }\ndnsbl "seven.test" { weight = 7 }\n'
        'dnsbl "none.test" { weight = 0 }\n' + u.resolver,
        workers=1,
    )
    greeted(m, bad)
    until(lambda: 6.8 < offences(m, bad) <= 7)

    def told():
        since = m.log.mark()
        greeted(m, bad)
        line = m.log.wait("event=session", since=since)
        return "listed=one.test,seven.test,none.test " in line

    until(told)


def test_who_is_on_an_allow_list_is_exempt_whatever_other_lists_say(mired, unbound):
    good = ports.stranger()
    u = unbound().list("bl.test", good).list("wl.test", good, "127.0.5.1").start()
    m = mired(
        config=f'log_level = \"debug\"\ndnsbl "bl.test" {{ }}\ndnswl "wl.test" {{ reply = "127.0.[2..9].[0..3]" }}\n{u.resolver}',
        tarpit=TARPIT,
        workers=1,  # each learns for itself, and an error may come sooner than the answer
    )
    assert is_trusted(m, good, "wl.test")


def test_a_name_is_trusted_when_it_leads_back_to_the_client_only(mired, unbound):
    """Forward-confirmed reverse names in `exempt`: one by itself, or a domain and all below it."""
    below, exact, liar, sibling = (ports.stranger() for _ in range(4))
    u = unbound()
    u.name(below, "a7.Outbound.Example.test").host("a7.outbound.example.test", below)
    u.name(exact, "mail.example.test").host("mail.example.test", "127.9.9.9").host("mail.example.test", exact)
    u.name(liar, "a7.outbound.example.test")  # which has another address
    u.name(sibling, "www.mail.example.test").host("www.mail.example.test", sibling)
    u.start()
    m = mired(
        config=f'log_level = \"debug\"\nexempt = {{ ".outbound.example.test", "mail.example.test", "192.0.2.0/24" }}\n{u.resolver}',
        tarpit=TARPIT,
        workers=1,
    )
    assert is_trusted(m, below, ".outbound.example.test")
    assert is_trusted(m, exact, "mail.example.test")
    for source in (liar, sibling):
        greeted(m, source)
        until(lambda: u.questions(reverse(source, "in-addr.arpa")))
        assert typo(m, source).seconds > 0.28
        m.booked()
        assert offences(m, source) > 0.9
    assert not u.questions("www.mail.example.test")  # a name that nobody trusts is not asked for


def test_a_held_greeting_goes_out_when_its_client_turns_out_to_be_trusted(mired, unbound):
    good = ports.stranger()
    u = unbound().list("wl.test", good).start()
    m = mired(config=f'dnswl "wl.test" {{ }}\n{u.resolver}', tarpit="time = 60s max = 60s freeze = off", workers=1)
    u.pause()
    with Client(m.port, source=good) as c:  # looked up, and no answer comes
        c.ehlo()
        c.must("MAIL FROM:<a@b.test>")
        c.send("RCPT TO:<nobody@example.test>\r\n")
        until(lambda: offences(m, good) > 0.9)
        u.go_on()
        reply = c.reply()
        assert reply.code == 550 and reply.seconds < 50  # of 60 s


def proxied(port, address):
    """An IPv6 client, by way of a balancer (this machine has one IPv6 address, its own)."""
    c = Client(port, source="127.0.0.1", greet=False)
    c.send(f"PROXY TCP6 {address} 2001:db8::25 4000 25\r\n")
    c.greeting = c.reply()
    return c


def test_lists_and_names_speak_of_ipv6_clients_too(mired, unbound):
    port = ports.free()
    bad, good, named, liar = (f"2001:db8:{n}::7" for n in (1, 2, 3, 4))
    u = unbound().list("bl.test", bad).list("wl.test", good)
    u.name(named, "six.example.test").host("six.example.test", named)
    u.name(liar, "six.example.test").start()
    m = mired(
        config=f'log_level = \"debug\"\nlisten "127.0.0.1:{port}" {{ proxy_protocol = "127.0.0.1" }}\n'
        f'dnsbl "bl.test" {{ weight = 6 }}\ndnswl "wl.test" {{ }}\n'
        f'exempt = {{ "six.example.test" }}\nresolver = "[::1]:{u.port}"',
        tarpit=TARPIT,
    )

    def trusted(address, by):
        since = m.log.mark()
        with proxied(port, address) as c:
            c.quit()
        line = m.log.wait(f"event=session (?:level=debug )?client={address} ", since=since)
        return f"trusted={by} " in line

    with proxied(port, bad) as c:
        c.quit()
    until(lambda: offences(m, bad) > 5.8)
    until(lambda: trusted(good, "wl.test"))
    until(lambda: trusted(named, "six.example.test"))
    for _ in range(2):
        assert not trusted(liar, "six.example.test")


AT_ONCE = 4  # s; a question that is not answered is given up after 4.5


def serves_at_once(m, count):
    """So many new clients are greeted. A pause of the machine meets some of them; to wait for answers would meet all."""
    sources = [ports.stranger() for _ in range(count)]
    assert statistics.median(greeted(m, source) for source in sources) < AT_ONCE
    return sources


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_nobody_waits_for_a_resolver_that_says_nothing_and_nobody_is_punished(mired, unbound, how):
    bad, good = ports.stranger(), ports.stranger()
    u = unbound().list("bl.test", bad).list("wl.test", good).start()
    m = mired(
        config=f'dnsbl "bl.test" {{ weight = 3 }}\ndnswl "wl.test" {{ }}\n'
        f'exempt = {{ ".example.test" }}\n{u.resolver}',
        tarpit=TARPIT,
        workers=1,
    )
    u.pause() if how == "stopped" else u.kill()
    sources = [bad, good, *serves_at_once(m, 20)]
    m.log.wait("DNS: no answers")
    assert statistics.median(greeted(m, source) for source in sources) < AT_ONCE
    m.booked()
    assert [offences(m, source) for source in sources] == [0] * len(sources)
    assert m.log.text.count("DNS: no answers") == 1
    assert held_for_a_typo(m, bad) < FOURTH  # its first error is anybody's first
    u.go_on() if how == "stopped" else u.start()
    until(lambda: greeted(m, ports.stranger()) and "DNS: servers answer again" in m.log.text)
    until(lambda: greeted(m, bad) and offences(m, bad) > 2.9)
    assert m.log.text.count("DNS: servers answer again") == 1


def memory(pid):
    """KiB of its own; the ledger is everybody's."""
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"RssAnon:\s+(\d+)", f.read())[1])


@pytest.mark.skipif(SANITIZED, reason="a sanitizer keeps what is freed")
def test_a_flood_of_new_addresses_costs_no_memory_while_nothing_is_answered(mired, unbound):
    u = unbound().start()
    m = mired(config=f'dnsbl "a.test" {{ }}\ndnsbl "b.test" {{ }}\n{u.resolver}', workers=1)
    u.pause()
    (worker,) = m.processes("worker")

    def flood(count):
        for _ in range(count):
            with socket.create_connection(("127.0.0.1", m.port), source_address=(ports.stranger(), 0)) as s:
                assert s.recv(4) == b"220 "

    flood(500)
    before = memory(worker)
    flood(2000)
    assert memory(worker) - before < 1024


def test_what_is_known_is_not_asked_again_and_known_clients_are_not_asked_for(mired, unbound):
    source = ports.stranger()
    u = unbound().list("bl.test", source).start()
    m = mired(config=f'exempt = {{ "127.3.0.0/16" }}\ndnsbl "bl.test" {{ }}\n{u.resolver}', workers=1)
    greeted(m, source)
    until(lambda: offences(m, source) > 2.9)
    asked = len(client_questions(u, "bl.test"))  # more than one if the answer to the first was late
    for again in (source, source, "127.0.0.1", "127.3.4.5"):
        greeted(m, again)
    with Client(m.submission, source=ports.stranger()) as c:  # who will log in there
        c.quit()
    last = ports.stranger()
    greeted(m, last)
    until(lambda: u.questions(reverse(last, "bl.test")))
    assert asked and not [q for q in client_questions(u, "bl.test")[asked:] if reverse(last, "bl.test") not in q]


def test_a_reload_takes_new_lists_up(mired, unbound):
    bad = ports.stranger()
    u = unbound().list("bl.test", bad).start()
    m = mired(config=u.resolver, tarpit=TARPIT)
    greeted(m, bad)
    m.file.write_text(m.file.read_text() + 'dnsbl "bl.test" { }\n')
    assert m.control("reload").returncode == 0
    assert begins_in_debt(m, bad)


def lists_of(m):
    return {l["zone"]: l for l in json.loads(m.control("--json", "status").stdout)["lists"]}


@pytest.mark.parametrize(
    "kind, what, state, said",
    [
        ("dnsbl", "everything", "lists everybody", r"world\.test lists 127\.0\.0\.1 and so every address"),
        ("dnswl", "everything", "lists everybody", r"world\.test lists 127\.0\.0\.1 and so every address"),
        ("dnsbl", "nothing", "has no test entry", r"world\.test does not list its test entry 127\.0\.0\.2"),
        ("dnsbl", "refuses", "refuses this resolver", r"world\.test does not serve this resolver"),
    ],
)
def test_a_list_that_does_not_pass_its_test_counts_for_nothing_and_is_named(mired, unbound, kind, what, state, said):
    """Field notes 9."""
    dns = unbound()
    if what == "everything":
        dns.everything("world.test")
    elif what == "refuses":
        dns.everything("world.test", "127.255.255.254")
    bad = ports.stranger()
    dns.list("sound.test", bad).start()
    m = mired(config=f'{dns.resolver}\n{kind} "world.test" {{ }}\ndnsbl "sound.test" {{ }}', tarpit=TARPIT)
    m.log.wait(said)
    lists = until(lambda: all(l["state"] != "not tried yet" for l in lists_of(m).values()) and lists_of(m))
    assert lists["world.test"] == {"kind": kind, "zone": "world.test", "state": state, "counts": False}
    assert lists["sound.test"]["counts"] is True and lists["sound.test"]["state"] == "sound"
    assert re.search(rf"lists +.*world\.test {state}: ignored|{kind} world\.test {state}: ignored", m.control("status").stdout)
    innocent = ports.stranger()
    greeted(m, innocent)
    until(lambda: greeted(m, bad) and offences(m, bad) > 2.5)  # the sound one counts
    assert offences(m, innocent) == 0 and offences(m, bad) < 3.1
    if kind == "dnswl":  # nobody is trusted by it
        assert "trusted=" not in m.log.text


def test_a_list_of_ones_own_may_have_no_test_entries(mired, unbound):
    dns = unbound()
    bad = ports.stranger()
    dns.add(reverse(bad, "own.test"), "A", "127.0.0.2").start()
    m = mired(config=f'{dns.resolver}\ndnsbl "own.test" {{ test = false }}', tarpit=TARPIT)
    until(lambda: greeted(m, bad) and offences(m, bad) > 2.5)
    assert lists_of(m)["own.test"]["state"] == "not tested"
    assert not dns.questions("2.0.0.127.own.test")
