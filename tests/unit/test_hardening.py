"""What the compiler and the linker were told to harden is in the programs: test_hardening.py COMMANDS PROGRAM...

Programs are read with readelf, as hardening-check and checksec do. They do not show which level of FORTIFY_SOURCE they
have, nor that jumps over guard pages are prevented: for that, COMMANDS is the build's compile_commands.json. Of a program
whose symbols were stripped, as in the package, objdump does not show where main() is: its landing pad is not looked at.
"""

import json
import os
import re
import subprocess
import sys


def readelf(program, *options):
    return subprocess.run(["readelf", "-W", *options, program], capture_output=True, text=True, check=True).stdout


def startup_has_cet():
    """A program is marked only if all that is linked into it is: Debian 12's start-up code is not."""
    name = subprocess.run(["cc", "-print-file-name=Scrt1.o"], capture_output=True, text=True).stdout.strip()
    return os.path.exists(name) and "IBT" in readelf(name, "-n")


FLAGS = (
    "-D_FORTIFY_SOURCE=3",
    "-fcf-protection=full",
    "-fstack-clash-protection",
    "-fstack-protector-strong",
    "-fzero-call-used-regs=used-gpr",
)


def in_force(flag, command):
    """Whether it is there, and nothing behind it takes it back: dpkg-buildflags sets a lower level of FORTIFY_SOURCE."""
    name, _, level = flag.partition("=")
    if not level:
        return flag in command.split()
    said = re.findall(rf"(?<!\S){name}=(\S+)", command)
    return bool(said) and said[-1] == level


def without_flags(commands):
    """Names each file of src/ and ctl/ that is compiled without one of the flags, as far as the compiler knows them."""
    entries = [e for e in json.load(open(commands)) if re.search(r"/(src|ctl)/[^ ]*\.c$", e["file"])]
    assert len(entries) > 100, "the commands are not mired's"
    known = [flag for flag in FLAGS if any(flag in e["command"] for e in entries)]
    wrong = [f"{e['file']} is compiled without {flag}" for e in entries for flag in known if not in_force(flag, e["command"])]
    clang = "clang" in entries[0]["command"].split(" -")[0]
    expected = FLAGS[:-1] if clang else FLAGS  # clang 14 does not know the last one
    return wrong + [f"nothing is compiled with {flag}" for flag in expected if flag not in known]


def begins_with_a_landing_pad(program):
    """Whether functions begin with endbr64: true of our own code even where Debian's start-up code has none."""
    code = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", "--disassemble=main", program], capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    return re.search(r"<main>:\n\s*[0-9a-f]+:\s+endbr64", code)


def missing(program):
    """Names what the program lacks."""
    header = readelf(program, "-h")
    segments = readelf(program, "-l")
    dynamic = readelf(program, "-d")
    notes = readelf(program, "-n")
    symbols = readelf(program, "--dyn-syms")
    found = {
        "a position that the loader chooses (PIE)": re.search(r"Type:\s+DYN", header) and "PIE" in dynamic,
        "relocations that are read-only": "GNU_RELRO" in segments,
        "all symbols bound at start": "BIND_NOW" in dynamic or re.search(r"FLAGS_1.*\bNOW\b", dynamic),
        "a stack that is not executable": re.search(r"GNU_STACK.* RW +0x", segments),
        "no segment that is written and executed": not re.search(r"LOAD.* RWE ", segments),
        "no relocations in the code": "TEXTREL" not in dynamic,
        "no path to libraries of its own": not re.search(r"R(UN)?PATH", dynamic),
        "guards of the stack": "__stack_chk_fail" in symbols,
        "checked copies (FORTIFY_SOURCE)": re.search(r"__(memcpy|snprintf|vsnprintf|read|memset)_chk", symbols),
    }
    if "X86-64" in header and ".symtab" in readelf(program, "-S"):
        found["landing pads for jumps in its own code (endbr64)"] = begins_with_a_landing_pad(program)
    if "X86-64" in header and startup_has_cet():
        found["marked targets of jumps (IBT)"] = "IBT" in notes
        found["a shadow stack (SHSTK)"] = "SHSTK" in notes
    return [name for name, there in found.items() if not there]


if __name__ == "__main__":
    wrong = without_flags(sys.argv[1])
    wrong += [f"{program} lacks {what}" for program in sys.argv[2:] for what in missing(program)]
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)
