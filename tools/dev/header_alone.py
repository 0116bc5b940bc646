#!/usr/bin/env python3
"""Every header compiles alone, with nothing but the tree (and what pkg-config finds) on its include path.

header_alone.py [COMPILER...]     A header with a .cpp of its name is shown by that file, which must then include it first
(without precompiled headers: the install_subproject test builds so). The others are compiled, where a compiler is given.
"""
import concurrent.futures
import os
import shlex
import subprocess
import sys

import checks


def first_include(tree, name):
    found = tree.includes(name)
    return found[0][1] if found else None


def compile_alone(compiler, root, name):
    command = [*compiler, '-std=c++20', '-fsyntax-only', '-Wall', '-Wextra', '-Werror', '-Wno-missing-field-initializers',
               '-I', root, '-x', 'c++', '-']
    run = subprocess.run(command, input=f'#include "{name}"\n', capture_output=True, text=True, check=False)
    return None if run.returncode == 0 else f'{name}: does not compile alone\n{run.stderr[:2000]}'


def main(arguments):
    compiler = [a for a in arguments if os.path.basename(a) != 'ccache']
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), '..', '..'))
    tree = checks.Tree(root)
    problems, to_compile, shown = [], [], 0
    for name in tree.sources(('.h',)):
        source = name[:-2] + '.cpp'
        if source not in tree.files:
            to_compile.append(name)
        elif first_include(tree, source) != name:
            problems.append(f'{source}: includes "{first_include(tree, source)}" before its own header, "{name}"')
        else:
            shown += 1
    if compiler:
        found = subprocess.run(['pkg-config', '--cflags', 'hdf5-serial'], capture_output=True, text=True, check=False)
        compiler += shlex.split(found.stdout) if found.returncode == 0 else []
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            results = list(pool.map(lambda n: compile_alone(compiler, root, n), to_compile))
        shown += results.count(None)
        problems += [p for p in results if p]
    for problem in problems:
        print(problem)
    print(f'{shown} passed, {len(problems)} failed')
    return bool(problems)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
