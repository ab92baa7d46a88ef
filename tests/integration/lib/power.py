"""What of the store's work a power cut leaves: a model of a disk that keeps only what was flushed.

strace tells of each call of a running store. An entry of a folder survives when that folder was flushed after it, and a
file's octets when the file was. Nothing else is believed: not the order of writes, and not that a flush of one thing
writes another, which file systems in use do and POSIX does not promise."""

import os
import pathlib
import re
import subprocess

PROGRAM = "/usr/bin/strace"
CALL = re.compile(r'(?P<thread>\d+) +(?P<name>\w+)\((?P<said>.*)\) += (?P<result>-?\d+)')
AT = re.compile(r'\d+<([^>]*)>, "([^"]*)"')
FD = re.compile(r"\d+<([^>]*)>")


class Tracer:
    """Calls of a process from now on; `end()` returns them in order, each with its thread. `fault`: the call, its error and
    which one of each thread fails."""

    def __init__(self, pid, folder, fault=None):
        self.file = pathlib.Path(folder) / f"calls-{pid}"
        inject = ["-e", "inject={}:error={}:when={}".format(*fault)] if fault else []
        self.process = subprocess.Popen(
            [PROGRAM, "-f", "-y", "-s", "2000", *inject, "-o", self.file, "-p", str(pid)], stderr=subprocess.PIPE, text=True
        )
        assert "attached" in self.process.stderr.readline()

    def end(self):
        self.process.terminate()
        self.process.wait()
        begun, calls = {}, []
        text = self.file.read_text(errors="backslashreplace")
        self.failed = text.count("(INJECTED)")
        for line in text.splitlines():
            thread = line.split(" ", 1)[0]
            if line.endswith((" <unfinished ...>", " <detached ...>")):
                begun[thread] = line.rsplit(" <", 1)[0]
                continue
            line = re.sub(r"^\d+ +<\.\.\. \w+ resumed>", lambda _: begun.pop(thread, ""), line)
            found = CALL.match(line)
            if found:
                calls.append(found.groupdict())
        # The client hears the last reply before strace sees the end of the call that sends it.
        rest = [re.match(r"(?P<thread>\d+) +(?P<name>sendto)\((?P<said>.*)", line) for line in begun.values()]
        return [*calls, *({**found.groupdict(), "result": "0"} for found in rest if found)]


class Disk:
    """root: the folder that is flushed to begin with; what is in it then has not been."""

    def __init__(self, root):
        self.root = os.path.normpath(root)
        self.now, self.flushed = {}, {}  # folder: {name: file or None}
        for folder, folders, files in os.walk(self.root):
            self.now[folder] = dict.fromkeys(folders)
            assert not files
        self.makers = {}  # thread: the one that made it; those that touch mailboxes work for the one that made them
        self.linked = {}  # maker: {file in `new` that it has not confirmed: whether it is still there}
        self.confirmed = self.refused = self.flushes = 0
        self.lost = []
        self.come_back = []  # files that were taken out of `new` before the refusal, and that a power cut brings back
        self.lies = []  # replies to the data, and the files in `new` when it said them

    def add(self, path, node=None):
        self.now.setdefault(os.path.dirname(path), {})[os.path.basename(path)] = node

    def survives(self, path):
        folder, name = os.path.split(path)
        while True:
            if name not in self.flushed.get(folder, {}):
                return f"the entry of {name} in {folder.removeprefix(self.root)}/"
            if folder == self.root:
                break
            folder, name = os.path.split(folder)
        node = self.now[os.path.dirname(path)][os.path.basename(path)]
        return None if node["flushed"] == node["size"] else "octets of the file"

    def play(self, calls):
        self.makers |= {call["result"]: call["thread"] for call in calls if call["name"] in ("clone", "clone3")}
        for call in calls:
            result = int(call["result"])
            if result >= 0:
                self._one(call["thread"], call["name"], call["said"], result)

    def _one(self, thread, name, said, result):
        paths = [os.path.normpath(os.path.join(*at)) for at in AT.findall(said)]
        if name == "mkdirat":
            self.add(paths[0])
        elif name == "openat" and "O_CREAT" in said and paths and paths[0].startswith(self.root):
            self.add(paths[0], {"size": 0, "flushed": 0})
        elif name == "linkat":
            source, target = paths
            node = self.now[os.path.dirname(source)][os.path.basename(source)]
            self.add(target, node)
            self.linked.setdefault(self.makers[thread], {})[target] = True
        elif name == "unlinkat":
            self.now[os.path.dirname(paths[0])].pop(os.path.basename(paths[0]), None)
            linked = self.linked.get(self.makers[thread], {})
            if paths[0] in linked:
                linked[paths[0]] = False
        elif name == "write":
            node = self._file(FD.match(said)[1])
            if node:
                node["size"] += result
        elif name in ("fsync", "fdatasync"):
            self.flushes += 1
            path = FD.match(said)[1]
            node = self._file(path)
            if node:
                node["flushed"] = node["size"]
            else:
                self.flushed[path] = dict(self.now.get(path, {}))
        elif name == "sendto" and self.linked.get(thread):
            self._reply(self.linked.pop(thread), re.findall(r"(?:^|n|\")(250 2\.0\.0 Ok|45\d )", said))

    def _reply(self, linked, replies):
        """Each recipient is another mailbox, and hears whether its own has the message: never in the dark, never a lie."""
        there = [path for path in linked if linked[path]]
        self.confirmed += len(there)
        self.refused += len(replies) - len(there)
        if replies.count("250 2.0.0 Ok") != len(there):
            self.lies.append((replies, list(linked)))
        for path in there:
            why = self.survives(path)
            if why:
                self.lost.append((path.removeprefix(self.root), why))
        for path in linked:
            if not linked[path] and os.path.basename(path) in self.flushed.get(os.path.dirname(path), {}):
                self.come_back.append(path.removeprefix(self.root))

    def _file(self, path):
        return self.now.get(os.path.dirname(path), {}).get(os.path.basename(path))
