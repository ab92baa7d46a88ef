"""Runs through two mireds that take turns, so that what else the machine does meets both alike."""

import pathlib

from common import judged, median


def on_processor(pid):
    """Seconds that a process with all its children has run, from the scheduler's own count."""
    from lib import processes

    nanoseconds = 0
    for each in [pid, *processes.children(pid)]:
        nanoseconds += int(pathlib.Path(f"/proc/{each}/schedstat").read_text().split()[0])
    return nanoseconds / 1e9


def good_mail(tools, mired, args, kept):
    """One run of good mail through one of the two: what mailload says, and `cost`, the seconds of processor time that
    all of mired's processes took for a message."""
    options = ["-s", args.sessions, "-t", args.seconds, "-z", args.octets, "-r", "alice@example.test"]
    begin = on_processor(mired.pid)
    result = tools.mail(mired.port, *(["-k"] if kept else []), *options)
    return result | {"cost": (on_processor(mired.pid) - begin) / result["messages"]}


def rounds(count, names, measure):
    """{name: [what `measure` returned in each round]}; the names change their order from round to round."""
    runs = {name: [] for name in names}
    for turn in range(count):
        for name in sorted(names, reverse=turn % 2):
            runs[name].append(measure(name))
    return runs


def compare_mail(table, tools, paths, args, this, other):
    """Good mail on new and on kept connections through {name: mired}, and the ratio of this one to the other."""
    for mode, kept in (("new", False), ("kept", True)):
        runs = rounds(args.rounds, paths, lambda name: good_mail(tools, paths[name], args, kept))
        for name in paths:
            cost = median(runs[name], "cost") * 1e6
            table.row(mode, name, f"{median(runs[name], 'rate'):.0f}", f"{cost:.1f}")
        ratio = median(runs[this], "rate") / median(runs[other], "rate")
        cost = median(runs[this], "cost") / median(runs[other], "cost")
        table.note(f"{mode} connections, {this} to {other}: {judged(ratio, 0.97)}; processor time: {cost:.2f}.")
