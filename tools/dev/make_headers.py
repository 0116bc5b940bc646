#!/usr/bin/env python3
"""Writes <build>/fovea: copies of the headers with their includes rewritten, and fovea.h, which includes the first N.

make_headers.py OUTPUT ROOT N HEADER...   run by the build. `#include "core/array.h"` becomes `#include <fovea/core/array.h>`;
an include of a header that is not public is an error, since the installed copy would not compile.
"""
import os
import re
import sys

INCLUDE = re.compile(r'^(\s*#\s*include\s*)"([^"]+)"', re.M)


def write_if_changed(path, text):
    """An unchanged copy keeps its time, so nothing that includes it is compiled again."""
    try:
        with open(path, encoding='utf-8') as f:
            if f.read() == text:
                return
    except FileNotFoundError:
        pass
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)


def main():
    output, root = sys.argv[1:3]
    names = [os.path.relpath(os.path.abspath(h), os.path.abspath(root)) for h in sys.argv[4:]]
    in_umbrella = names[:int(sys.argv[3])]
    public, wanted, problems = set(names), set(), []
    for name in names:
        def rewrite(match):
            if match[2] not in public:
                problems.append(f'{name}: includes "{match[2]}", which no meson.build lists in public_headers or further_headers')
            return f'{match[1]}<fovea/{match[2]}>'
        with open(os.path.join(root, name), encoding='utf-8') as f:
            text = f.read()
        write_if_changed(os.path.join(output, name), INCLUDE.sub(rewrite, text))
        wanted.add(name)
    umbrella = ''.join(f'#include <fovea/{name}>\n' for name in sorted(in_umbrella))
    write_if_changed(os.path.join(output, 'fovea.h'), f'// What one writes models with. Authors of ops and backends include further headers by name.\n#pragma once\n{umbrella}')
    wanted.add('fovea.h')
    for folder, _, files in os.walk(output):
        for f in files:
            path = os.path.join(folder, f)
            if os.path.relpath(path, output) not in wanted:
                os.remove(path)
    os.utime(output)
    if problems:
        sys.exit('\n'.join(problems))


main()
