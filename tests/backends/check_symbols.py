#!/usr/bin/env python3
"""What the symbols of our libraries must not be: `check_symbols.py KERNELS LIBRARY`.

No code for a newer CPU may be called on an older one. The linker keeps one copy of every weak function (templates, inline
functions). If the copy it keeps was compiled under the target pragma of levels.inc, the whole program needs that CPU. So
no weak function of the archive KERNELS may use a vector register wider than SSE2's.

LIBRARY uses no thread-local storage of another one (libstdc++'s, by std::call_once). Ours is in the initial-exec model, and
would bind the other's to it: a program that loads that other one late (Python, for a module) could not load ours.
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


def foreign_tls(library):
    """Thread-local symbols that the library, or an object of an archive, uses and that none of it defines."""
    listing = subprocess.run(['readelf', '-sW', library], capture_output=True, text=True, check=True).stdout
    symbols = re.findall(r' TLS .* (\S+) +(\w+)(?:@\S+)?(?: \(\d+\))?$', listing, re.M)
    return {name for place, name in symbols if place == 'UND'} - {name for place, name in symbols if place != 'UND'}


def main(archive, library):
    weak, wide = weak_functions(archive), wide_functions(archive)
    foreign = foreign_tls(library)
    for name in sorted(foreign):
        print(f'{name}: thread-local storage of another library')
    for name in sorted(weak & wide):
        print(f'{name}: weak, and needs AVX')
    if not wide:
        print('no function uses AVX at all: is this the archive of the kernels?')
    return bool(weak & wide or foreign) or not wide


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
