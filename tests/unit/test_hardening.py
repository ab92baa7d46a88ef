"""What the compiler and the linker were told to harden is in the programs: test_hardening.py PROGRAM...

Read with readelf, as hardening-check and checksec do.
"""

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
    if "X86-64" in header and startup_has_cet():
        found["marked targets of jumps (IBT)"] = "IBT" in notes
        found["a shadow stack (SHSTK)"] = "SHSTK" in notes
    return [name for name, there in found.items() if not there]


if __name__ == "__main__":
    wrong = [f"{program} lacks {what}" for program in sys.argv[1:] for what in missing(program)]
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)
