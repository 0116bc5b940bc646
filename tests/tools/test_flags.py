#!/usr/bin/env python3
"""What is common to verbs, tried on every one of them: --json, shared options, `-` for a file, keys that options are, too."""
import json
import os
import pathlib
import re
import stat
import subprocess

from program import ProgramTest, load, main, save

SMALL = [s for pair in ({'model.layers': 1, 'model.dim': 16, 'model.heads': 2, 'model.context': 16, 'train.batch': 2, 'train.steps': 2,
                         'data.validation': 0}.items()) for s in ('--set', '{}={}'.format(*pair))]
SHARED = {('--device', 'cuda'): (1, 'device: cuda is not usable: this build has no CUDA backend'), ('--device', 'gpu'): (1, "unknown device 'gpu'"),
          ('--threads', '0'): (2, '--threads is 0 (expected 1 to'), ('--seed', 'x'): (2, "--seed is 'x' (expected an integer)"),
          ('--dtype', 'i64'): (2, "--dtype is 'i64' (expected f32"), ('--plugin', 'none.so'): (1, 'none.so: no such file'),
          ('--deterministic',): (0, ''), ('--json',): (0, '')}


class Flags(ProgramTest):
    def setUp(self):
        super().setUp()
        self.text = self.write('text.txt', 'the quick brown fox. ' * 20)
        self.train = ['train', 'lm', self.text, *SMALL]
        self.ok(*self.train, '-o', self.path('run'))
        self.model = self.path('run', 'checkpoint.h5')
        self.case = self.write('case.st', save({'in.0': ('F32', [2], [1, 2]), 'in.1': ('F32', [2], [3, 4])}))

    def test_every_verb_with_every_shared_option(self):
        trace = self.path('trace.h5')
        self.ok('trace', 'mlp_tiny', '--out', trace)
        verbs = {
            'version': [], 'devices': [], 'ops': [], 'info': [self.model], 'generate': [self.model, '--max-new', 2],
            'train lm': [*self.train[2:], '-o', self.path('again'), '--fresh'], 'eval ppl': [self.model, self.text], 'gradcheck': ['--op', 'relu'],
            'op': ['add', '--in', self.case, '--out', self.path('out.st')], 'trace': ['mlp_tiny'], 'trace diff': [trace, trace],
            'ckpt ls': [self.model], 'ckpt show': [self.model], 'ckpt verify': [self.model], 'ckpt diff': [self.model, self.model],
            'bench': ['mlp_tiny', '--iters', 1], 'completion': ['bash']}
        known = re.findall(r'^const Verb k\w+ = \{\s*"([^"]+)"', '\n'.join(path.read_text() for path in SOURCES.glob('*.cpp')), re.M)
        self.assertEqual(sorted(verbs), sorted(known))
        for verb, arguments in verbs.items():
            takes = self.ok(*verb.split(), '--help').out
            for option, (status, text) in SHARED.items():
                with self.subTest(f'{verb} {" ".join(option)}'):
                    call = [*verb.split(), *arguments, *option]
                    if not re.search(rf'{option[0]}\b', takes):
                        if verb in ('info', 'completion'):  # what is not in the help is unknown
                            self.refused(2, f'unknown option {option[0]} of {verb}', *call)
                    elif status:
                        self.refused(status, text, *call)
                    else:
                        out = self.ok(*call).out
                        for line in out.splitlines() if option == ('--json',) else []:
                            self.assertIsInstance(json.loads(line), dict)
                        self.assertTrue(out or 'train' in verb)

    def test_an_option_takes_one_value_and_leaves_what_follows(self):
        self.ok('train', 'lm', *SMALL, self.text, '-o', self.path('one'))
        self.ok('generate', '--stop', 'x', self.model, '--prompt', 'the', '--max-new', 1)
        self.refused(2, 'train lm: --out is there more than once', *self.train, '-o', self.path('x'), '-o', self.path('y'))

    def test_closed_standard_streams_get_no_file(self):
        for closed in ('>&- 2>&-', '<&- 2>&-', '<&- >&- 2>&-', '2>&-'):
            with self.subTest(closed):
                run = self.path('closed')
                command = ' '.join(str(a) for a in [self.fovea.path, *self.train, '-o', run, '--fresh'])
                subprocess.run(['sh', '-c', f'{command} {closed}'], check=False, timeout=60)
                for line in self.read('closed/metrics.jsonl').decode().splitlines():
                    json.loads(line)
                self.assertEqual(self.ok('ckpt', 'verify', self.path('closed', 'checkpoint.h5')).out, 'ok\n')

    def test_options_that_exclude_each_other(self):
        self.refused(2, '--seed 3 and --set train.seed=4 are the same key', *self.train, '-o', self.path('x'), '--seed', 3, '--set', 'train.seed=4')
        self.refused(2, '--dtype f64 and --set train.dtype=f32 are the same key', 'info', self.model, '--dtype', 'f64', '--set', 'train.dtype=f32')
        self.refused(2, '--tree is drawn for people', 'info', self.model, '--tree', '--json')
        self.refused(2, '--markdown and --json exclude', 'ops', '--markdown', '--json')
        self.refused(2, '--device is ref (expected cpu', 'bench', 'gemm', '--device', 'ref')
        config = json.loads(self.ok(*self.train, '--dump-config', '--json', '--seed', 3, '--dtype', 'f64').out)
        self.assertEqual((config['train']['seed'], config['train']['dtype']), (3, 'f64'))

    def piped(self, content, *arguments):
        ran = subprocess.run([self.fovea.path, *map(str, arguments)], input=content, capture_output=True, check=False,
                             env={**os.environ, 'TMPDIR': self.folder})
        return ran.returncode, ran.stdout, ran.stderr.decode()

    def test_a_dash_is_standard_input(self):
        model = self.read('run/checkpoint.h5')
        for verb in (['ckpt', 'ls'], ['ckpt', 'show'], ['ckpt', 'verify'], ['generate', '--greedy'], ['eval', 'ppl']):
            more = [self.text] if verb[0] == 'eval' else []
            self.assertEqual(self.piped(model, *verb, '-', *more), self.piped(b'', *verb, self.model, *more), str(verb))
        self.assertEqual(self.piped(model, 'ckpt', 'diff', self.model, '-')[:2], (0, b'the same bits\n'))
        self.assertIn(b'standard input: ', self.piped(model, 'info', '-')[1])
        self.assertEqual(self.piped(b'{"model": {"layers": 3}}', 'info', '-', '--json')[0], 0)
        self.assertEqual(self.piped(b'the ', 'generate', self.model, '--prompt', '-', '--max-new', 0)[1], b'the \n')
        self.assertEqual(json.loads(self.piped(b'{"train": {"seed": 9}}', 'train', 'lm', '--config', '-', '--dump-config')[1])['train']['seed'], 9)
        status, out, err = self.piped(self.read('case.st'), 'op', 'add', '--in', '-', '--out', '-')
        self.assertEqual((status, load(out)['out.0'], err), (0, ('F32', [2], [4.0, 6.0]), 'out.0 f32 [2]\n'))
        self.assertIn(b'out.0', self.piped(out, 'ckpt', 'ls', '-')[1])
        for content, text in [(b'', 'is empty'), (b'hello', 'is not an HDF5 file'), (model[:3000], 'is truncated')]:
            self.assertRegex(self.piped(content, 'ckpt', 'ls', '-')[2], f'^error: standard input: {text}[^\n]*\n$')
        self.assertEqual([f for f in os.listdir(self.folder) if f.startswith('fovea_in_')], [])

    def test_a_dash_where_it_means_nothing(self):
        self.refused(2, '- is there twice', 'ckpt', 'diff', '-', '-')
        self.refused(2, '--out is - (expected a name', *self.train, '-o', '-')
        self.refused(2, '--out is - (expected a name', 'trace', 'mlp_tiny', '--out', '-')
        self.refused(2, '--losses is - (expected a name', 'bench', 'chargpt_s', '--losses', '-')
        self.refused(2, '--json and --out - both take standard output', 'op', 'add', '--in', self.case, '--out', '-', '--json')

    def test_what_is_no_file_is_not_replaced(self):
        pipe = self.path('pipe')  # as a device would be: a program that replaced one in a test would harm the machine
        os.mkfifo(pipe)
        for call in (['op', 'add', '--in', self.case, '--out', pipe], ['bench', 'chargpt_s', '--losses', pipe]):
            self.refused(1, 'pipe: is a device or a pipe (expected the name of a file)', *call)
            self.assertTrue(stat.S_ISFIFO(os.stat(pipe).st_mode))

    def test_devices_tell_of_cuda(self):
        lines = [json.loads(line) for line in self.ok('devices', '--json').out.splitlines()]
        self.assertEqual([d['device'] for d in lines], ['ref', 'cpu', 'cuda'])
        self.assertEqual([d['usable'] for d in lines], [True, True, False])
        self.assertIn('cuda      not usable: this build has no CUDA backend\n', self.ok('devices').out)


SOURCES = pathlib.Path(__file__).resolve().parents[2] / 'tools' / 'cli'

if __name__ == '__main__':
    main()
