"""How long a test waits for what must come, in one place.

A limit on what must come only keeps a test from hanging: the machine may be many times slower than the one on which
the test was written. So no test has a shorter one, unless that limit is the rule that it tests. What must not come
is shown by something that comes after it; a short silence shows little."""

import time

PATIENCE = 120  # seconds


def until(condition, seconds=PATIENCE, why="it did not happen", every=0.02):
    """Waits until condition() is true, and returns what it returned; fails when it is not true in time. `why` says
    then what is wrong: a text, or a function that makes one."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{why() if callable(why) else why} in {seconds} s"
        time.sleep(every)
    return found
