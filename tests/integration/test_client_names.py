"""Field notes 12: a server behind goes by the client's name as if the client had come to it."""

import re
import threading

import pytest

from lib import ports
from lib.smtp import Client
from lib.waiting import until

USER = "alice@example.test"
UNKNOWN_NAME = (
    "smtpd_authorized_xclient_hosts = static:all\n"
    "smtpd_client_restrictions = reject_unknown_client_hostname\nsmtpd_delay_reject = yes\n"
)


def behind(mired, postfix, dns, backend="xclient = true", extra=UNKNOWN_NAME, **options):
    p = postfix(extra=extra)
    m = mired(
        backend=f'backend "smtp://127.0.0.1:{p.port}" {{ {backend} }}', config=dns.resolver, tarpit="time = 300ms", **options
    )
    return p, m


def test_reject_unknown_client_hostname_keeps_working(mired, postfix, unbound):
    named, unnamed, liar = (ports.stranger() for _ in range(3))
    dns = unbound().name(named, "mail.far.test").host("mail.far.test", named)
    dns.name(liar, "mail.far.test")  # a name that does not lead back
    dns.start()
    p, m = behind(mired, postfix, dns)


    def answer(source):
        with Client(m.port, source=source) as client:
            client.ehlo()
            return client.message("a@b.test", USER)

    until(lambda: answer(named).code == 250)  # a name that takes more than a second is 450, and the client comes again
    for source in (unnamed, liar):
        reply = answer(source)
        assert reply.code == 450 and "4.7.25" in reply, (source, reply)
    (message,) = p.delivered(USER)
    assert f"(mail.far.test [{named}])".encode() in message
    p.wait_log(rf"client=mail\.far\.test\[{re.escape(named)}\]")


@pytest.mark.parametrize(
    "helo",
    ["\u00e4" * 127, "+" * 255, "a" * 255, "[TEMPUNAVAIL]", "=\u202e="],
    ids=["beyond ASCII", "signs", "longest", "a word of XCLIENT", "direction"],
)
def test_no_name_in_ehlo_lets_a_client_pass_for_mired(mired, postfix, helo):
    """Postfix refuses the whole XCLIENT for a value of more than 255 octets. Its filters (milters) then see the address of
    mired, which they may trust."""
    bad, good = ports.stranger(), ports.stranger()
    p = postfix(
        extra="smtpd_authorized_xclient_hosts = static:all\n"
        f"smtpd_client_restrictions = check_client_access inline:{{{bad}=REJECT}}\n"
    )
    m = mired(backend=f'backend "smtp://127.0.0.1:{p.port}" {{ xclient = true }}', tarpit="time = 0")
    for source, code in ((bad, 554), (good, 250)):
        with Client(m.port, source=source) as client:
            client.send(f"EHLO {helo}\r\n")
            assert client.reply().code == 250
            reply = client.message("a@b.test", USER)
            assert reply.code == code, reply
    p.wait_log(rf"client=unknown\[{re.escape(good)}\]")


def test_postfix_hears_the_reverse_name_port_and_destination(mired, postfix, unbound):
    """As its own policy delegation protocol tells them on."""
    source = ports.stranger()
    dns = unbound().name(source, "says.far.test").start()
    asked = {}
    with PolicyServer(asked) as policy:
        p, m = behind(
            mired, postfix, dns,
            extra="smtpd_authorized_xclient_hosts = static:all\n"
            f"smtpd_end_of_data_restrictions = check_policy_service inet:127.0.0.1:{policy.port}\n",
        )  # fmt: skip
        with Client(m.port, source=source) as client:
            port = client.socket.getsockname()[1]
            client.ehlo()
            assert client.message("a@b.test", USER).code == 250
    assert asked["client_name"] == "unknown" and asked["reverse_client_name"] == "says.far.test"
    assert asked["client_address"] == source and asked["client_port"] == str(port)
    assert asked["server_address"] == "127.0.0.1" and asked["server_port"] == str(m.port)


class PolicyServer:
    """Says DUNNO to what Postfix asks, and keeps it."""

    def __init__(self, asked):
        import socket

        self.asked = asked
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        for connection in ports.accepted(self.listener):
            with connection, connection.makefile("rw") as talk:
                for line in talk:
                    if "=" in line:
                        name, value = line.rstrip("\n").split("=", 1)
                        self.asked[name] = value
                    else:
                        talk.write("action=DUNNO\n\n")
                        talk.flush()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.close()


def test_a_silent_resolver_costs_a_moment_and_the_mail_passes(mired, postfix):
    """[TEMPUNAVAIL], which is not "has no name": without a restriction on names nothing is put off."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        dns = type("Dns", (), {"resolver": f'resolver = {{ "127.0.0.1:{silent.getsockname()[1]}" }}'})
        p, m = behind(mired, postfix, dns, extra="smtpd_authorized_xclient_hosts = static:all\n")
        with Client(m.port) as client:
            client.ehlo()
            reply = client.message("a@b.test", USER)
            assert reply.code == 250 and reply.seconds < 30
    assert len(p.delivered(USER)) == 1


def test_behind_a_proxy_header_helo_is_the_clients_own(mired, postfix, unbound):
    dns = unbound().start()
    p, m = behind(
        mired, postfix, dns, backend="proxy_protocol = v2",
        extra="smtpd_upstream_proxy_protocol = haproxy\n"
        "smtpd_helo_restrictions = reject_non_fqdn_helo_hostname\nsmtpd_helo_required = yes\n",
    )  # fmt: skip
    source = ports.stranger()
    with Client(m.port, source=source) as client:
        client.ehlo("mail.far.elsewhere.test")
        assert client.message("a@b.test", USER).code == 250
    (message,) = p.delivered(USER)
    assert f"from mail.far.elsewhere.test (unknown [{source}])".encode() in message
    with Client(m.port) as client:
        client.ehlo("desktop")  # Postfix does not take it, as it would not without us
        assert client.message("a@b.test", USER).code in (451, 504)
    p.wait_log(r"504 5.5.2 <desktop>: Helo command rejected")
