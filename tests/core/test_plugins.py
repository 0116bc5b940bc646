#!/usr/bin/env python3
"""Plug-ins through both kinds of library, what they bring and the one line that each bad one gets: test_plugins.py HOST FOLDER"""
import os
import re
import subprocess
import sys
import tempfile

TOY = 'exp 7 7 7\nsoftmax 0.333 0.333 0.333\ngradient 0 2 4\ndevice toy\n'  # softmax is composed, and meets the exp of toy
FEW = 'exp 1 2.72 7.39\nsoftmax 0.09 0.245 0.665\ngradient 0 2 4\ndevice few:0\n'
STALE = ('fovea: plugin: {0}: kernel refused: softmax: built for other attributes\n'
         'fovea: plugin: {0}: kernel refused: no_such_op: no such op here\n')
CASES = [  # plug-in, device, exit status, stdout, stderr
    ('toy.so', 'toy', 0, TOY, ''),
    ('few.so', 'few', 0, FEW, ''),
    ('stale.so', 'toy', 0, TOY, STALE),  # only those rows are refused
    ('toy.so', 'nobody', 1, '', "error: device: unknown device 'nobody' (expected one of ref, cpu, toy) at host.cpp:LINE\n"),
    ('other_abi.so', '', 1, '', 'error: plugin: {0} was built against another version of core/backend.h. Rebuild it\n'),
    ('empty.so', '', 1, '', 'error: plugin: {0} is no plug-in of ours (expected a function fovea_backend for kernels, '
                            'or fovea_ops for ops)\n'),
    ('text.so', '', 1, '', 'error: plugin: {0}: cannot be loaded: file too short\n'),
    ('missing.so', '', 1, '', 'error: plugin: {0}: no such file\n'),
]
OPS = {
    'host_shared': ('ops.so', '', 0, 'toy_cube 8\ngradient 12\n', ''),
    'host_static': ('ops.so', '', 1, '', 'error: plugin: {0} defines ops, which needs a program that uses the shared libfovea '
                                         '(this one is linked statically)\n'),
}


def run(host, path, device, folder):
    return subprocess.run([host, path] + ([device] if device else []), capture_output=True, text=True, check=False, cwd=folder)


def main():
    host, folder = (os.path.abspath(a) for a in sys.argv[1:])
    cases, failed = list(CASES), 0
    if os.path.exists(os.path.join(folder, 'ops.so')):
        cases.append(OPS[os.path.basename(host)])
    with tempfile.TemporaryDirectory() as other:
        with open(os.path.join(other, 'text.so'), 'w', encoding='utf-8') as f:
            f.write('hello')
        for name, device, status, out, err in cases:
            path = os.path.join(other if name == 'text.so' else folder, name)
            done = run(host, path, device, folder)
            done.stderr = re.sub(r'(?<=host.cpp:)\d+', 'LINE', done.stderr)
            if (done.returncode, done.stdout, done.stderr) != (status, out, err.format(path)):
                failed += 1
                print(f'{name} {device}: exit {done.returncode} (expected {status})\n{done.stdout}{done.stderr}'
                      f'expected\n{out}{err.format(path)}')
    done = run(host, 'toy.so', 'toy', folder)  # a bare name is a file here, not one of the system's libraries
    if done.stdout != TOY:
        failed += 1
        print(f'toy.so by its bare name: {done.stdout}{done.stderr}')
    print(f'{len(cases) + 1 - failed} passed, {failed} failed')
    return failed > 0


sys.exit(main())
