#!/usr/bin/env python3
"""Saving a checkpoint, cut off before each of its operations on files: whatever the moment, the folder holds a whole checkpoint,
and going on from there ends with the same bits. The same with each operation failing: one line, exit status 1, nothing lost.

test_crash.py PROGRAM SHIM [STRIDE]: every STRIDE-th operation. SHIM is crash_shim.c as a shared library.
"""
import errno
import json
import os
import shutil
import subprocess
import sys

import program

SHIM = os.path.abspath(sys.argv.pop(2))
STRIDE = int(sys.argv.pop(2)) if len(sys.argv) > 2 and sys.argv[2].isdigit() else 1
CONFIG = {'model.layers': 1, 'model.dim': 8, 'model.heads': 1, 'model.context': 8, 'model.dropout': 0.1, 'train.batch': 1, 'train.schedule': 'constant',
          'train.eval_every': 0, 'train.save_every': 2}


class Crash(program.ProgramTest):
    def setUp(self):
        super().setUp()
        self.write('text.txt', 'a quick brown fox jumps over the lazy dog. ' * 20)
        self.train('start', 4)
        self.train('whole', 6)

    def train(self, run, steps, **environment):
        settings = [s for pair in CONFIG.items() for s in ('--set', '{}={}'.format(*pair))]
        return self.fovea('train', 'lm', self.path('text.txt'), '-o', self.path(run), '--threads', '1', *settings, '--set', f'train.steps={steps}',
                          env={'LD_PRELOAD': SHIM, **{f'FOVEA_CRASH_{k}': str(v) for k, v in environment.items()}} if environment else None)

    def fresh_copy(self):
        shutil.rmtree(self.path('run'), ignore_errors=True)
        shutil.copytree(self.path('start'), self.path('run'))

    def operations(self):
        self.fresh_copy()
        result = self.train('run', 6, LOG=self.path('log'))
        self.assertEqual(result.status, 0, str(result))
        operations = self.read('log').decode().split()
        for needed in ('pwrite', 'fsync', 'rename', 'link'):
            self.assertIn(needed, operations)
        return operations

    def step(self, name):
        return json.loads(self.ok('ckpt', 'show', self.path('run', name), '--json').out)['train']['step']

    def check(self, what):
        """A whole checkpoint is there, and the run can go on."""
        self.assertEqual(self.ok('ckpt', 'verify', self.path('run', 'checkpoint.h5')).out, 'ok\n', what)
        self.assertIn(self.step('checkpoint.h5'), (4, 6), what)
        self.assertEqual(self.ok('ckpt', 'verify', self.path('run', 'checkpoint.1.h5')).out, 'ok\n', what)
        result = self.train('run', 6)
        self.assertEqual(result.status, 0, f'{what}\n{result}')
        self.assertEqual(self.read('run/checkpoint.h5'), self.read('whole/checkpoint.h5'), what)
        self.assertEqual(self.read('run/loss.svg'), self.read('whole/loss.svg'), what)
        self.assertEqual(sorted(os.listdir(self.path('run'))), ['checkpoint.1.h5', 'checkpoint.h5', 'loss.svg', 'metrics.jsonl'], what)

    def test_killed_before_each_operation(self):
        operations = self.operations()
        for at in range(1, len(operations) + 1, STRIDE):
            what = f'killed before operation {at} of {len(operations)}, {operations[at - 1]}'
            self.fresh_copy()
            self.assertEqual(self.train('run', 6, AT=at).status, -9, what)
            self.check(what)
        print(f'{len(range(0, len(operations), STRIDE))} of {len(operations)} operations')

    def test_each_operation_fails(self):
        operations = self.operations()
        for at in range(1, len(operations) + 1, STRIDE):
            what = f'operation {at} of {len(operations)}, {operations[at - 1]}, fails'
            self.fresh_copy()
            result = self.train('run', 6, AT=at, ERRNO=errno.ENOSPC if operations[at - 1] == 'pwrite' else errno.EIO)
            errors = [line for line in result.err.splitlines() if line.startswith('error: ')]
            if result.status == 0:  # what is not worth a run: an old checkpoint that cannot be kept or removed
                self.assertEqual(errors, [], what)
                self.assertIn(operations[at - 1], ('link', 'remove', 'unlink', 'rename'), what)
            else:
                self.assertEqual((result.status, len(errors)), (1, 1), f'{what}\n{result}')
                self.assertRegex(errors[0], 'No space left on device|Input/output error', what)
            self.check(what)


if __name__ == '__main__':
    assert subprocess.run([sys.argv[1], 'version'], env={**os.environ, 'LD_PRELOAD': SHIM}, check=False, stdout=subprocess.DEVNULL).returncode == 0
    program.main()
