#!/usr/bin/env python3
"""A short training run loses no memory of the C library's heap, by valgrind: test_leaks.py PROGRAM

The arena's own blocks stay reachable for good; what counts is what nothing points to any more.
"""
import re
import shutil
import subprocess
import sys
import tempfile

OPTIONS = ['model.layers=1', 'model.dim=16', 'model.heads=2', 'model.context=8', 'train.batch=2', 'train.steps=2', 'train.warmup=1',
           'train.eval_every=0']


def main():
    if not shutil.which('valgrind'):
        print('valgrind is not installed (tools/setup --tests installs it)')
        return 77
    with tempfile.TemporaryDirectory() as folder:
        with open(f'{folder}/text.txt', 'w', encoding='utf-8') as f:
            f.write('The quick brown fox jumps over the lazy dog. ' * 20)
        command = ['valgrind', '--leak-check=full', '--show-leak-kinds=definite', '--errors-for-leak-kinds=definite', '--error-exitcode=9',
                   sys.argv[1], 'train', 'lm', f'{folder}/text.txt', '-o', f'{folder}/run', '--threads', '1']
        for option in OPTIONS:
            command += ['--set', option]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    lost = re.search(r'definitely lost: ([\d,]+) bytes', done.stderr)
    clean = done.returncode == 0 and (lost is None or lost[1] == '0')
    if not clean:
        print(f'exit {done.returncode}\n{done.stdout}{done.stderr[-6000:]}')
    print(f'{int(clean)} passed, {int(not clean)} failed')
    return not clean


sys.exit(main())
