#!/usr/bin/env python3
"""Everything a user can get wrong ends in one clear line and exit status 1 or 2, and loses nothing."""
import os
import resource
import shutil
import struct
import subprocess
import unittest

from program import ProgramTest, main, save

TEXT = 'the quick brown fox jumps over the lazy dog.\n' * 60
SMALL = [s for pair in ({'model.layers': 1, 'model.dim': 16, 'model.heads': 2, 'model.context': 16, 'train.batch': 2,
                         'train.steps': 4, 'train.lr': 0.002, 'train.save_every': 2, 'train.eval_every': 2}.items())
         for s in ('--set', '{}={}'.format(*pair))]


def as_nobody():
    """Root may read and write anything; tests of permissions run as somebody else."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


class BadInput(ProgramTest):
    def setUp(self):
        super().setUp()
        os.chmod(self.folder, 0o755)
        self.text = self.write('text.txt', TEXT)

    def train(self, *more, run='run', **how):
        return self.fovea('train', 'lm', self.text, '-o', self.path(run), *SMALL, *more, **how)

    def trained(self):
        """A finished run of 4 steps; returns its checkpoint."""
        result = self.train()
        self.assertEqual(result.status, 0, str(result))
        return self.path('run', 'checkpoint.h5')

    def train_refused(self, status, text, *more, run='run', **how):
        return self.refused(status, text, 'train', 'lm', self.text, '-o', self.path(run), *SMALL, *more, **how)

    def test_text(self):
        for content, text in [
            (b'', 'is empty (expected text)'),
            (b'\xef\xbb\xbf', 'is empty'),
            (b'caf\xe9 and more', 'is not UTF-8: byte 0xE9 at offset 3'),
            (b'short', 'too short: 5 tokens (expected at least 34'),
        ]:
            with self.subTest(text):
                name = self.write('bad.txt', content)
                self.refused(1, text, 'train', 'lm', name, '-o', self.path('run'), *SMALL)
                self.refused(1, text, 'train', 'lm', '-', '-o', self.path('run'), *SMALL, input=content.decode('latin-1')) \
                    if content.isascii() else None
        self.assertEqual(os.listdir(self.folder).count('run'), 0, 'a refused run leaves no folder')
        self.refused(1, 'missing.txt: cannot be opened: No such file', 'train', 'lm', 'missing.txt', '-o', self.path('run'))
        self.refused(1, 'is a directory (expected a text file)', 'train', 'lm', self.folder, '-o', self.path('run'))
        for device in ('/dev/zero', '/dev/null'):  # the first has no end
            self.refused(1, f'{device}: is a device (expected a text file)', 'train', 'lm', device, '-o', self.path('run'), timeout=10)
        os.chmod(self.text, 0)
        self.train_refused(1, 'text.txt: cannot be opened: Permission denied', preexec_fn=as_nobody)

    def test_prompts(self):
        model = self.trained()
        self.refused(1, "the character 'é' (U+00E9) at position 3 is not one of the", 'generate', model, '--prompt', 'café')
        self.refused(1, 'the prompt has 17 tokens (the model', 'generate', model, '--prompt', 'the quick brown f')
        self.refused(2, '--prompt is empty', 'generate', model, '--prompt', '')
        for option, value in [('--max-new', '-1'), ('--max-new', 'x'), ('--temperature', '0'), ('--temperature', '-1'),
                              ('--temperature', 'nan'), ('--temperature', '1e999'), ('--top-k', '-2'), ('--top-k', '1.5'),
                              ('--max-new', '1' * 30)]:
            self.refused(2, f'{option} is ', 'generate', model, option, value)

    def test_options(self):
        for setting, text in [
            ('model.layers=0', 'model.layers is 0 (expected at least 1, at most 10000)'),
            ('model.layers=-3', 'model.layers is -3 (expected'),
            ('model.layers=two', 'model.layers is "two" (expected an integer)'),
            ('model.layers=', 'model.layers is "" (expected an integer)'),
            ('model.layers=2.5', 'model.layers is "2.5" (expected an integer)'),
            ('model.heads=3', 'model.heads is 3, which does not divide model.dim, 16'),
            ('model.kv_heads=3', 'model.kv_heads is 3, which does not divide model.heads, 2'),
            ('model.dim=99999999999999999999', 'model.dim is 99999999999999999999, which is too large'),
            ('model.dim=1048576', 'the model would have 1.3e+13 weights (expected at most 1e12)'),
            ('model.dropout=1', 'model.dropout is 1 (expected at least 0, below 1)'),
            ('model.norm_position=middle', 'model.norm_position is "middle" (expected pre or post)'),
            ('model.tie_head=yes', 'model.tie_head is "yes" (expected true or false)'),
            ('train.lr=-1', 'train.lr is -1 (expected above 0)'),
            ('train.lr=nan', 'train.lr is '),
            ('train.lr=0.00001', 'train.min_lr is 0.0002, above train.lr, 1e-05'),
            ('train.steps=0', 'train.steps is 0 (expected at least 1'),
            ('train.stesp=3', 'unknown key train.stesp. Did you mean train.steps?'),
            ('lr=3', 'unknown key lr. Did you mean train.lr?'),
            ('train.lr', '"train.lr" sets nothing (expected KEY=VALUE'),
        ]:
            with self.subTest(setting):
                self.train_refused(2, text, '--set', setting)
        for config, text in [
            ('{"model": {"layers": 0}}', 'config.json: model.layers is 0'),
            ('{"model": {"layer": 2}}', 'config.json: unknown key model.layer. Did you mean model.layers?'),
            ('{"modle": {}}', 'config.json: unknown section modle (expected model, train or data)'),
            ('{"model": {"layers": "two"}}', 'config.json: model.layers is "two" (expected an integer)'),
            ('[]', 'config.json: a config is an array (expected an object'),
        ]:
            with self.subTest(config):
                self.train_refused(2, text, '--config', self.write('config.json', config))
        self.train_refused(1, 'config.json: not JSON', '--config', self.write('config.json', '{"model": '))
        self.train_refused(1, 'none.json: cannot be opened', '--config', self.path('none.json'))
        self.train_refused(1, "unknown device 'gpu' (expected one of ", '--device', 'gpu')
        self.train_refused(1, 'the text is too short', '--set', 'model.context=1073741824')
        self.train_refused(1, 'of memory, and there are ', '--set', 'model.dim=16384', '--set', 'model.layers=200')
        self.refused(2, '-o RUN is missing', 'train', 'lm', self.text)
        self.refused(2, '-o is empty', 'train', 'lm', self.text, '-o', '')
        self.assertFalse(os.path.exists(self.path('run')), 'a refused run leaves no folder')

    def test_files_that_are_no_checkpoint(self):
        good = self.read(self.trained())
        flipped = bytearray(good)
        flipped[good.index(b'"format_version"') + 3] ^= 1
        for name, content, text in [
            ('empty.h5', b'', 'is empty'),
            ('text.h5', TEXT.encode(), 'is not an HDF5 file'),
            ('half.h5', good[:len(good) // 2], 'is truncated'),
            ('head.h5', good[:600], 'is truncated'),
            ('zeros.h5', good[:8] + bytes(len(good) - 8), 'is a damaged HDF5 file'),
            ('flipped.h5', bytes(flipped), 'the manifest is damaged'),
        ]:
            path = self.write(name, content)
            for verb in (['generate'], ['ckpt', 'show']):
                with self.subTest(f'{verb} {name}'):
                    self.refused(1, f'{name}: {text}', *verb, path)
            verified = self.fovea('ckpt', 'verify', path, '--json')
            self.assertEqual(verified.status, 1, str(verified))
            self.assertIn('{"ok": false, "problems": ["', verified.out)
            self.assertRegex(verified.err, rf'^error: {path}: is not what was written: 1 problem\. Take an earlier copy, [^\n]*\n$')
            self.assertRegex(self.fovea('ckpt', 'verify', path).out, rf'^{path}: {text}[^\n]*\n$')
        for verb in (['generate'], ['ckpt', 'ls'], ['ckpt', 'show'], ['ckpt', 'verify']):
            self.refused(1, 'none.h5: cannot be read: No such file', *verb, 'none.h5')
            if verb != ['ckpt', 'verify']:
                self.refused(1, 'is a folder', *verb, self.folder)
        if shutil.which('h5repack'):
            subprocess.run(['h5repack', '-l', 'params/tok/weight:CHUNK=4x4', self.path('run', 'checkpoint.h5'), self.path('chunked.h5')],
                           check=True)
            self.refused(1, "chunked.h5: refused: 'params/tok/weight': its layout is not contiguous", 'ckpt', 'ls', self.path('chunked.h5'))

    def test_a_damaged_or_foreign_run_is_not_overwritten(self):
        path = self.trained()
        os.remove(self.path('run', 'checkpoint.1.h5'))
        good = self.read(path)
        for content, text in [(good[:len(good) // 3], 'is truncated'), (b'mine, not yours', 'is not an HDF5 file'), (b'', 'is empty')]:
            self.write(path, content)
            self.train_refused(1, text, '--set', 'train.steps=8')
            self.assertEqual(self.read(path), content)
        self.write(path, good)
        for setting, text in [('model.dim=32', 'model.dim is 16 there and 32 now'), ('train.lr=0.1', 'train.lr is 0.002 there and 0.1 now'),
                              ('data.tokenizer=byte', 'data.tokenizer is "char" there and "byte" now')]:
            self.train_refused(1, f'is another run: {text}. Use --fresh to start over, or another folder', '--set', setting)
        self.write('text.txt', TEXT + 'more')
        self.train_refused(1, 'is another run: the data are others')
        self.assertEqual(self.read(path), good)

    def test_folders_that_cannot_be_written(self):
        for run, text in [('text.txt/run', 'cannot be made: Not a directory'), ('text.txt', 'is not a folder')]:
            self.train_refused(1, text, run=run)
        self.train_refused(1, '/proc/run: cannot be made', run='/proc/run')
        os.mkdir(self.path('closed'), 0o555)
        os.chmod(self.text, 0o644)
        self.train_refused(1, 'closed/run: cannot be made: Permission denied', run='closed/run', preexec_fn=as_nobody)
        self.train_refused(1, 'closed/', run='closed', preexec_fn=as_nobody)

    def test_a_file_that_may_not_grow_keeps_the_last_checkpoint(self):
        path = self.trained()
        good = self.read(path)

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(good) // 2, len(good) // 2))
        self.train_refused(1, 'File too large', '--set', 'train.steps=8', preexec_fn=limit)
        self.assertEqual(self.read(path), good)
        self.assertEqual(self.fovea('ckpt', 'verify', path).status, 0)
        self.assertEqual([f for f in os.listdir(self.path('run')) if f.endswith('.tmp')], [])
        self.assertEqual(self.train('--set', 'train.steps=8').status, 0)
        self.assertEqual(self.fovea('ckpt', 'verify', path).status, 0)

    def test_a_full_disk_keeps_the_last_checkpoint(self):
        mounted = self.path('disk')
        os.mkdir(mounted)
        if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', mounted], capture_output=True, check=False).returncode:
            self.skipTest('mounting a small disk is not allowed here')
        try:
            for room in (0, 4096, 60 << 10):
                shutil.rmtree(self.path('disk', 'run'), ignore_errors=True)
                result = self.train(run='disk/run')
                self.assertEqual(result.status, 0, str(result))
                good = self.read('disk/run/checkpoint.h5')
                free = os.statvfs(mounted)
                with open(self.path('disk', 'filler'), 'wb') as f:
                    f.write(bytes(max(0, free.f_bavail * free.f_frsize - room)))
                self.train_refused(1, 'disk/run/', '--set', 'train.steps=8', run='disk/run')
                self.assertEqual(self.read('disk/run/checkpoint.h5'), good)
                os.remove(self.path('disk', 'filler'))
                result = self.train('--set', 'train.steps=8', run='disk/run')
                self.assertEqual(result.status, 0, str(result))
        finally:
            subprocess.run(['umount', mounted], check=True)

    def test_a_full_disk_keeps_other_files(self):
        mounted = self.path('disk')
        os.mkdir(mounted)
        if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', mounted], capture_output=True, check=False).returncode:
            self.skipTest('mounting a small disk is not allowed here')
        try:
            names = ['out.safetensors', 'trace.h5', 'trace.json']
            for name in names:
                self.write(f'disk/{name}', 'old')
            large = self.write('in.safetensors', save({f'in.{i}': ('F32', [1 << 18], [1] * (1 << 18)) for i in range(2)}))
            for room in (0, 4096):
                free = os.statvfs(mounted)
                with open(self.path('disk', 'filler'), 'wb') as f:
                    f.write(bytes(max(0, free.f_bavail * free.f_frsize - room)))
                for name, call in zip(names, (['op', 'add', '--in', large, '--out'], ['trace', 'mlp_tiny', '--out'], ['trace', 'mlp_tiny', '--out'])):
                    self.refused(1, f'disk/{name}: ', *call, self.path('disk', name))
                self.refused(1, 'disk/trace.h5: ', *['train', 'lm', self.text, '-o', self.path(f'run{room}'), *SMALL], '--trace',
                             self.path('disk', 'trace.h5'))
                os.remove(self.path('disk', 'filler'))
                self.assertEqual(sorted(os.listdir(mounted)), names)
                self.assertEqual([self.read(f'disk/{name}') for name in names], [b'old'] * 3)
        finally:
            subprocess.run(['umount', mounted], check=True)

    def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(self):
        for clip in (1, 0):
            run = f'run{clip}'
            result = self.train('--set', 'train.lr=1e30', '--set', f'train.clip={clip}', '--set', 'train.steps=200', '--set',
                                'train.save_every=1', '--set', 'train.warmup=0', run=run)
            self.assertEqual(result.status, 1, str(result))
            last = [line for line in result.err.splitlines() if line.startswith('error: ')]
            self.assertEqual(len(last), 1, str(result))
            self.assertRegex(last[0], r'^error: train: step \d+: .*\. Start anew with a smaller train\.lr \(--fresh, or another folder\)$')
            self.assertNotIn('-nan', last[0])
            path = self.path(run, 'checkpoint.h5')
            if os.path.exists(path):
                self.assertIn('keeps the last good state', last[0])
                self.assertEqual(self.fovea('ckpt', 'verify', path).status, 0)
                self.ok('generate', path, '--max-new', '5', '--prompt', 'the')
            else:
                self.assertIn('Nothing was saved yet', last[0])

    def test_safetensors(self):
        for name, content, text in [
            ('cut.safetensors', struct.pack('<Q', 1 << 40) + b'{}', 'header'),
            ('text.safetensors', b'hello', ''),
            ('empty.safetensors', b'', ''),
        ]:
            self.refused(1, text, 'ckpt', 'ls', self.write(name, content))


if __name__ == '__main__':
    main()
