#!/usr/bin/env python3
"""Misuse that the compiler must refuse: must_not_compile.py COMPILER... over every tests/**/reject_*.cpp.

A file opens with code that all its cases share. A case begins with `// accept: NAME` or `// reject: NAME: WORDS` and lasts to
the next one. An accepted case compiles (so the rejected ones fail for their own reason); a rejected one does not, and the
compiler's message holds WORDS. What is shared is compiled once, as a precompiled header.
"""
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile

import checks

CASE = re.compile(r'^// (accept|reject): ([^:\n]+)(?:: (.*))?$', re.M)


def precompile(command, shared, header):
    with open(header, 'w') as file:
        file.write(shared)
    subprocess.run([*command, '-x', 'c++-header', header, '-o', header + '.gch'], check=True)


def try_case(command, name, header, case):
    """A problem, or None. `case` is (accept or reject, its name, expected words, code)."""
    kind, title, words, code = case
    command = [*command, '-fsyntax-only', '-include', header, '-x', 'c++', '-']
    run = subprocess.run(command, input=code, capture_output=True, text=True, check=False, env={**os.environ, 'LC_ALL': 'C'})
    if kind == 'accept':
        return None if run.returncode == 0 else f'{name}: {title}: does not compile\n{run.stderr[:1500]}'
    if run.returncode == 0:
        return f'{name}: {title}: compiles'
    return None if words and words in run.stderr else f'{name}: {title}: refused, but not with {words!r}\n{run.stderr[:1500]}'


def main(arguments):
    compiler = [a for a in arguments if os.path.basename(a) != 'ccache']
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), '..', '..'))
    command = [*compiler, '-std=c++20', '-I', root]
    tree, work, files = checks.Tree(root), [], []
    folder = tempfile.TemporaryDirectory()
    for name in tree.sources(('.cpp',)):
        if name.startswith('tests/') and os.path.basename(name).startswith('reject_'):
            parts = CASE.split(tree.text(name))
            files.append((parts[0], os.path.join(folder.name, f'shared{len(files)}.h')))
            work += [(name, files[-1][1], parts[i:i + 4]) for i in range(1, len(parts), 4)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda f: precompile(command, *f), files))
        results = list(pool.map(lambda w: try_case(command, *w), work))
    problems = [p for p in results if p]
    for problem in problems:
        print(problem)
    print(f'{len(work) - len(problems)} passed, {len(problems)} failed')
    return bool(problems) or not work


sys.exit(main(sys.argv[1:]))
