#!/usr/bin/env python3
"""A training run that is killed at any moment and started again ends with the same bits as one that was left alone.

test_resume.py PROGRAM [KILLS]: so many kills at random times (SIGKILL: nothing can be cleaned up), and Ctrl-C.
"""
import json
import os
import random
import signal
import subprocess
import sys
import time

import program

KILLS = int(sys.argv.pop(2)) if len(sys.argv) > 2 and sys.argv[2].isdigit() else 4
WORDS = 'the a quick slow brown red fox dog jumps sleeps over under lazy tall tree house'.split()
TEXT = ' '.join(random.Random(3).choice(WORDS) for _ in range(4000))
# Dropout and accumulation draw numbers; a checkpoint at every other step makes kills hit the saving often.
CONFIG = {'model.layers': 1, 'model.dim': 16, 'model.heads': 2, 'model.context': 16, 'model.dropout': 0.1, 'train.batch': 2,
          'train.steps': 30, 'train.accumulate': 2, 'train.save_every': 2, 'train.eval_every': 10, 'train.warmup': 10}


class Resume(program.ProgramTest):
    def command(self, run, *more):
        settings = [s for pair in CONFIG.items() for s in ('--set', '{}={}'.format(*pair))]
        return ['train', 'lm', self.path('text.txt'), '-o', self.path(run), '--threads', '1', *settings, *more]

    def start(self, run, *more):
        return subprocess.Popen([self.fovea.path, *self.command(run, *more)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def steps(self, run):
        """metrics.jsonl without what a clock says."""
        with open(self.path(run, 'metrics.jsonl'), encoding='utf-8') as f:
            return [{k: v for k, v in json.loads(line).items() if k != 'tokens_per_s'} for line in f]

    def same(self, run):
        """That run ended like the one that was left alone, and left nothing lying about."""
        result = self.fovea('ckpt', 'diff', self.path('whole', 'checkpoint.h5'), self.path(run, 'checkpoint.h5'), '--json')
        self.assertEqual((result.status, json.loads(result.out)), (0, {'same': True}), str(result))
        self.assertEqual(self.read(os.path.join('whole', 'checkpoint.h5')), self.read(os.path.join(run, 'checkpoint.h5')))
        self.assertEqual(self.steps('whole'), self.steps(run))
        self.assertEqual(self.ok('ckpt', 'verify', self.path(run, 'checkpoint.1.h5')).out, 'ok\n')
        self.assertEqual(sorted(os.listdir(self.path(run))), ['checkpoint.1.h5', 'checkpoint.h5', 'loss.svg', 'metrics.jsonl'])

    def whole(self):
        self.write('text.txt', TEXT)
        begin = time.monotonic()
        self.ok(*self.command('whole'))
        return time.monotonic() - begin

    def test_killed_at_random_times(self):
        seconds = self.whole()
        dice = random.Random(KILLS)
        run, landed = 'killed', 0
        for attempt in range(20 * KILLS):
            running = self.start(run)
            try:
                running.communicate(timeout=dice.uniform(0, seconds))
                self.assertEqual(running.returncode, 0)
                self.same(run)
                run = f'killed{attempt}'  # it came to its end: another one
            except subprocess.TimeoutExpired:
                running.kill()
                running.communicate()
                landed += 1
            if os.path.exists(self.path(run, 'checkpoint.h5')):
                self.assertEqual(self.ok('ckpt', 'verify', self.path(run, 'checkpoint.h5')).out, 'ok\n')
            if landed >= KILLS:
                break
        self.assertGreaterEqual(landed, KILLS)
        result = self.fovea(*self.command(run))
        self.assertEqual(result.status, 0, str(result))
        self.same(run)
        print(f'{landed} kills within {seconds:.2f} s each')

    def test_signals_write_a_checkpoint_and_say_so(self):
        self.whole()
        for number, status in [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]:
            run = f'stopped{status}'
            running = self.start(run, '--set', 'train.steps=100000')
            while not os.path.exists(self.path(run, 'checkpoint.h5')):
                time.sleep(0.01)
            running.send_signal(number)
            out, err = running.communicate(timeout=60)
            self.assertEqual((running.returncode, out), (status, ''), err)
            self.assertRegex(err.splitlines()[-1], r'^stopped at step \d+; .*/checkpoint.h5 is written, the same command goes on$')
            at = int(err.splitlines()[-1].split('step ')[1].split(';')[0])
            self.assertEqual(json.loads(self.ok('ckpt', 'show', self.path(run, 'checkpoint.h5'), '--json').out)['train']['step'], at)
            self.assertEqual(len(self.steps(run)), at)

    def test_more_steps_other_keys_and_fresh(self):
        self.write('text.txt', TEXT)
        self.ok(*self.command('run', '--set', 'train.schedule=constant', '--set', 'train.steps=10'))
        result = self.ok(*self.command('run', '--set', 'train.schedule=constant', '--set', 'train.steps=10'))
        self.assertIn('is finished: step 10. A larger train.steps goes on', result.err)
        result = self.ok(*self.command('run', '--set', 'train.schedule=constant', '--json'))
        self.assertIn('goes on at step 10 of 30', result.err)
        self.assertEqual(json.loads(result.out)['step'], 30)
        # A constant learning rate does not know how long the run is, so the longer run is the same run.
        self.ok(*self.command('whole', '--set', 'train.schedule=constant'))
        for part in ('params', 'optimizer'):
            a, b = (self.ok('ckpt', 'ls', self.path(run, 'checkpoint.h5')).out for run in ('run', 'whole'))
            self.assertIn(part, a)
            self.assertEqual(a, b)
        self.assertEqual(self.ok('ckpt', 'diff', self.path('run', 'checkpoint.h5'), self.path('whole', 'checkpoint.h5')).out, 'the same bits\n')
        self.refused(1, 'is another run: model.dim is 16 there and 64 now. Use --fresh', *self.command('run', '--set', 'train.schedule=constant',
                                                                                                      '--set', 'model.dim=64'))
        result = self.ok(*self.command('run', '--fresh', '--set', 'train.steps=4'))
        self.assertEqual(len(self.steps('run')), 4)
        self.assertEqual(sorted(os.listdir(self.path('run'))), ['checkpoint.1.h5', 'checkpoint.h5', 'loss.svg', 'metrics.jsonl'])


if __name__ == '__main__':
    program.main()
