#!/usr/bin/env python3
"""No code for a newer CPU may be called on an older one: `check_symbols.py ARCHIVE`.

The linker keeps one copy of every weak function (templates, inline functions). If the copy it keeps was compiled under
the target pragma of levels.inc, the whole program needs that CPU. So no weak function of the archive may use a vector
register wider than SSE2's.
"""
import re
import subprocess
import sys


def weak_functions(archive):
    listing = subprocess.run(['nm', archive], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r'^[0-9a-f]+ [WVu] (\S+)$', listing, re.M))


def wide_functions(archive):
    """Functions whose code names a 256- or 512-bit register, or an instruction in AVX's encoding."""
    listing = subprocess.run(['objdump', '-d', '--no-show-raw-insn', archive], capture_output=True, text=True, check=True)
    name, found = None, set()
    for line in listing.stdout.splitlines():
        if start := re.match(r'[0-9a-f]+ <(.+)>:', line):
            name = start[1]
        elif re.search(r'%[yz]mm|\tv[a-z]', line):
            found.add(name)
    return found


def main(archive):
    weak, wide = weak_functions(archive), wide_functions(archive)
    for name in sorted(weak & wide):
        print(f'{name}: weak, and needs AVX')
    if not wide:
        print('no function uses AVX at all: is this the archive of the kernels?')
    return bool(weak & wide) or not wide


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
