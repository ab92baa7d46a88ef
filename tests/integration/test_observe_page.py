"""R20: the page of what would have waited, in Chromium: empty, full, by keyboard, on small screens and in the dark."""

import json
import re

import pytest

from lib import ports
from lib.browser import CONTRAST, DRAWN, Browser
from lib.mired import BUILD
from lib.smtp import Client, deliver
from lib.waiting import until

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

PEOPLE = [f"p{n}@example.test" for n in range(5)]


@pytest.fixture(scope="module")
def chromium():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def page(chromium, mired):
    """page(tarpit) is the page of a mired with that; at the end nothing was asked of anybody else, without complaints."""
    opened = []

    def open(tarpit="observe = true time = 4s"):
        port = ports.free()
        m = mired(tarpit=tarpit, recipients=PEOPLE, config=f'web {{ listen = "127.0.0.1:{port}" }}')
        opened.append(Page(chromium, m, f"http://127.0.0.1:{port}/"))
        return opened[-1]

    yield open
    for p in opened:
        p.check()
    chromium.driver.get("about:blank")


class Page:
    def __init__(self, browser, m, address):
        self.browser, self.driver, self.m, self.address = browser, browser.driver, m, address
        browser.look(1600)
        browser.open("about:blank")
        browser.gather()
        browser.complaints.clear()
        browser.requests.clear()

    def open(self, path="observe", ready="up to date"):
        self.browser.open(self.address + path)
        self.wait(lambda: self.text("link") == ready)

    def text(self, id):
        return self.driver.execute_script("return document.getElementById(arguments[0])?.innerText.trim()", id)

    def texts(self, selector):
        return self.driver.execute_script("return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText.trim())", selector)

    def shown(self, id):
        return self.driver.find_element(By.ID, id).is_displayed()

    def wait(self, what):
        return until(what, why=lambda: self.driver.find_element(By.TAG_NAME, "body").text)

    def check(self):
        self.browser.gather()
        assert not [r for r in self.browser.requests if not re.match(r"http://127\.0\.0\.1:\d+/|data:image|about:", r)]
        assert self.browser.complaints == []


def make_late(m, source, domain="good.test"):
    """A message, a typo, and a message that would have waited for it; and a stranger that guesses."""
    before = late(m)
    assert deliver(m.port, f"a@{domain}", PEOPLE[0], source=source).ok
    m.booked()
    for who in (source, ports.stranger()):
        with Client(m.port, source=who) as c:
            c.ehlo()
            c.must(f"MAIL FROM:<a@{domain}>")
            assert c.say("RCPT TO:<nobody@example.test>").code == 550
        m.booked()
    assert deliver(m.port, f"a@{domain}", PEOPLE[1], source=source).ok
    until(lambda: late(m) > before)  # when it would have come


def late(m):
    return sum(s["late"] for s in json.loads(m.control("observe", "--json").stdout)["senders"])


def test_it_says_when_there_is_nothing_yet_and_when_it_is_off(page):
    p = page()
    p.open()
    assert p.text("headline") == "Observing: nothing has been seen yet" and p.text("next") == "Nothing has been observed yet."
    assert p.shown("none-late") and not p.shown("late") and p.text("about") == "nothing has been observed in that time"
    off = page("time = 1s")
    off.open()
    assert off.text("headline") == "Not observing: replies wait"


def test_good_mail_stands_first_with_the_line_that_spares_it(page):
    p = page()
    source = ports.stranger()
    make_late(p.m, source)
    p.open()
    assert p.text("headline") == "Observing: 1 good message would have been late"
    assert p.text("next").startswith("1 sender of good mail would still wait")
    (row,) = p.texts("#senders tr")
    assert "good.test" in row and "R3: " in row and f'exempt += {{ "{source}" }}' in row
    assert "1 typo of these senders would have been answered 4 s later" in p.text("typos")
    assert p.text("messages") == "2" and p.text("connections") == "3"
    order = [p.driver.find_element(By.ID, id).location["y"] for id in ("headline", "late", "paid", "chart")]
    assert order == sorted(order)
    p.driver.find_element(By.CSS_SELECTOR, "#past summary").click()
    days = [day.split()[2:6] for day in p.texts("#days tr")]  # two if midnight was just now
    assert [sum(map(int, column)) for column in zip(*days)] == [2, 1, 0, 1]


def test_the_main_page_says_observing_in_its_first_line_and_leads_here(page):
    p = page()
    p.open("", ready="live")
    assert p.text("headline").startswith("Observing, nothing waits; good mail ")
    p.driver.find_element(By.CSS_SELECTOR, "#observed a").send_keys(Keys.ENTER)
    p.wait(lambda: p.driver.current_url.endswith("/observe") and p.text("link") == "up to date")
    p.driver.find_element(By.CSS_SELECTOR, "header a").send_keys(Keys.ENTER)
    p.wait(lambda: p.text("link") == "live")
    other = page("time = 1s")
    other.open("", ready="live")
    assert not other.shown("observed")


def test_the_keyboard_reaches_everything(page):
    p = page()
    make_late(p.m, ports.stranger())
    p.open()
    reached = []
    for _ in range(3):
        p.driver.switch_to.active_element.send_keys(Keys.TAB)
        element = p.driver.switch_to.active_element
        assert element.value_of_css_property("outline-style") == "solid"
        reached.append(element.get_attribute("id") or element.text)
    assert reached == ["What mired is doing now", "since", "The same as a table"]
    p.driver.find_element(By.ID, "since").send_keys("d")  # "day"
    p.wait(lambda: p.driver.find_element(By.ID, "since").get_attribute("value") == "1d")
    p.wait(lambda: any(r.endswith("since=1d") for r in (p.browser.gather(), p.browser.requests)[1]))


def test_it_fits_every_screen_in_light_and_dark(page):
    p = page()
    for n in range(3):
        make_late(p.m, ports.stranger(), f"a-very-long-name-of-a-sender-{n}.of-good-mail.test")
    p.open()
    for width in (400, 800, 1600):
        for dark in (False, True):
            name = f"observe-{width}-{'dark' if dark else 'light'}"
            p.browser.look(width, dark=dark)
            p.browser.picture(BUILD / "results" / "page" / f"{name}.png")
            p.wait(lambda: p.driver.execute_script(DRAWN, "chart") > 10)
            p.wait(lambda: p.driver.execute_script("return document.documentElement.scrollWidth") <= width)
            assert p.driver.execute_script(CONTRAST) == [], name


def test_it_says_when_mired_cannot_be_reached(page):
    p = page()
    p.open()
    p.m.stop()
    p.driver.execute_script("document.getElementById('since').dispatchEvent(new Event('change'))")
    p.wait(lambda: p.text("link") == "mired cannot be reached")
    p.browser.gather()
    assert all(re.search(r"net::ERR_", c) for c in p.browser.complaints)
    p.browser.complaints.clear()
