"""Connections that wait for the answer to an unknown recipient: holdload in the background."""

import json
import subprocess

TARPIT = (
    "time = {time}s max = {time}s growth = 1 pace = false drip = {drip} freeze = {freeze} shield = 0 patience_offences = 0 "
    "held_max = {held_max} held_per_client = {held_per_client} reserve = 2%"
)
HOLD_SECONDS = 280


def tarpit(connections, addresses, drip=0, freeze=False):
    """A configuration of the tarpit that holds them all, each for HOLD_SECONDS."""
    return TARPIT.format(
        time=HOLD_SECONDS,
        drip=drip,
        freeze="auto" if freeze else "off",
        held_max=connections * 2,
        held_per_client=max(1000, connections // addresses * 2),
    )


class Attack:
    """holdload, and what it last said: so many connections from so many addresses, of which `together` are
    neighbours. It ends by itself after so many seconds."""

    def __init__(self, tools, port, connections, addresses, together=1, seconds=HOLD_SECONDS):
        self.last = {"held": 0}
        self.process = subprocess.Popen(
            [tools.path("holdload"), "-n", str(connections), "-c", str(addresses)]
            + ["-g", str(together), "-t", str(seconds), f"127.0.0.1:{port}"],
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_held(self, wanted):
        """Until all are held, or nothing has moved for five seconds."""
        still = 0
        for line in self.process.stdout:
            before, self.last = self.last, json.loads(line)
            still = still + 1 if self.last["held"] == before["held"] else 0
            if self.last["held"] >= wanted or still >= 5 or self.last["final"]:
                break

    def stop(self):
        self.process.terminate()
        for line in self.process.stdout:
            self.last = json.loads(line)
        self.process.wait()
        return self.last
