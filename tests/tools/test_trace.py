#!/usr/bin/env python3
"""trace, bench --trace and train --trace: every op of a step, as a table, as JSON, in Chrome's format, and with results for trace diff."""
import json
import os
import unittest

from program import ProgramTest, load, main, save


SMALL = [s for pair in ({'model.layers': 1, 'model.dim': 16, 'model.heads': 2, 'model.context': 8, 'train.batch': 2, 'train.steps': 3,
                         'data.validation': 0}.items()) for s in ('--set', '{}={}'.format(*pair))]


class Trace(ProgramTest):
    def test_the_file_holds_the_ops_of_the_table(self):
        path = self.path('trace.json')
        lines = [json.loads(l) for l in self.ok('trace', 'mlp_tiny', '--steps', '2', '--out', path, '--json').out.splitlines()]
        counts = {(l['op'], l['ran']): l['count'] for l in lines}
        self.assertEqual(counts['linear', 'cpu'], 16)
        with open(path) as f:
            events = json.load(f)['traceEvents']
        self.assertEqual(len(events), sum(counts.values()))
        for e in events:
            self.assertEqual((e['ph'], e['pid'], e['tid']), ('X', 1, 1))
            self.assertGreaterEqual(min(e['ts'], e['dur']), 0)
            self.assertIn((e['name'], e['cat']), counts)
        linear = next(e for e in events if e['name'] == 'linear')
        self.assertEqual(linear['args']['in'], 'f32 [1,16], f32 [16,16], f32 [16]')

    def test_the_reference_device_is_told_apart(self):
        ran = {l.split()[1] for l in self.ok('trace', 'mlp_tiny', '--device', 'ref').out.splitlines()[1:-2]}
        self.assertEqual(ran, {'ref', 'composed'})

    def differ(self, a, b, *more):
        result = self.fovea('trace', 'diff', self.path(a), self.path(b), *more, '--json')
        found = json.loads(result.out)
        self.assertEqual(result.status, 0 if found['same'] else 1, str(result))
        return found

    def test_two_traces_part_at_the_first_op_that_differs(self):
        for name, more in [('a.h5', []), ('b.h5', []), ('ref.h5', ['--device', 'ref']), ('seed.h5', ['--seed', 3]), ('two.h5', ['--steps', 2])]:
            self.ok('trace', 'mlp_tiny', '--threads', 1, '--out', self.path(name), *more)
        same = self.differ('a.h5', 'b.h5')
        self.assertEqual((same['same'], same['error']), (True, 0))
        self.assertEqual(self.differ('a.h5', 'seed.h5')['op'], 1)
        near = self.differ('a.h5', 'ref.h5', '--tolerance', 1e-4)  # whoever composed it: one result for each op
        self.assertEqual((near['same'], near['ops']), (True, same['ops']))
        self.assertGreater(near['error'], 0)
        self.ok('trace', 'chargpt_s', '--out', self.path('f32.h5'))
        self.ok('trace', 'chargpt_s', '--dtype', 'bf16', '--out', self.path('bf16.h5'))  # with casts in other places
        self.assertEqual(self.differ('f32.h5', 'bf16.h5', '--tolerance', 0.1)['name'], 'adamw')  # the last: signs of tiny gradients
        self.assertIn('the first ends after', self.differ('a.h5', 'two.h5')['difference'])

    def test_training_records_its_first_step_and_a_wrong_kernel_is_found(self):
        plugins = os.path.join(os.path.dirname(self.fovea.path), '..', 'tests', 'core', 'plugins')
        text = self.write('text.txt', 'the quick brown fox jumps over the lazy dog. ' * 40)
        for name, more in [('ref.h5', ['--device', 'ref']), ('toy.h5', ['--plugin', os.path.join(plugins, 'toy.so'), '--device', 'toy'])]:
            self.ok('train', 'lm', text, '-o', self.path(name + '.run'), *SMALL, '--trace', self.path(name), *more)
        found = self.differ('ref.h5', 'toy.h5')  # toy is the reference, but for an exp that is 7
        self.assertEqual(found['name'], 'attention')
        self.assertTrue(0 < found['cosine'] < 1 and found['error'] > 0.01 and found['ulp'] > 1000, found)
        self.ok('train', 'lm', text, '-o', self.path('run'), *SMALL, '--trace', self.path('first.json'))
        with open(self.path('first.json')) as f:
            names = [e['name'] for e in json.load(f)['traceEvents']]
        self.assertEqual((names.count('adamw'), names.count('cross_entropy')), (1, 1))  # one step, without what is before and behind

    def test_results_of_modules_beside_those_of_another_framework(self):
        self.ok('trace', 'chargpt_s', '--threads', 1, '--out', self.path('a.h5'))
        self.ok('bench', 'chargpt_s', '--threads', 1, '--iters', 1, '--losses', self.path('start.safetensors'))
        start = load(self.read('start.safetensors'))
        ids, (_, (_, width), table) = start['batch.x'], start['tok.weight']
        rows = [v for i in ids[2] for v in table[i * width:(i + 1) * width]]
        shape = ids[1] + [width]
        self.write('same.safetensors', save({'tok': ('F32', shape, rows), 'gpt.tok': ('F64', shape, rows)}))
        found = self.differ('a.h5', 'same.safetensors')
        self.assertEqual((found['same'], found['modules'], found['error']), (True, 2, 0))
        wrong = list(rows)
        wrong[5 * width + 7] += 0.5
        self.write('wrong.safetensors', save({'blocks.3': ('F32', shape, rows), 'tok': ('F32', shape, wrong)}))
        found = self.differ('a.h5', 'wrong.safetensors')  # the run's order, not that of the file
        self.assertEqual((found['name'], found['module'], found['index']), ('embedding', 'gpt.tok', [0, 5, 7]))
        self.assertTrue(found['difference'].startswith('module tok, by embedding (gpt.tok), f32 [12,64,128]: '), found)
        self.write('two.safetensors', save({'norm': ('F32', [1], [0])}))
        self.refused(1, 'norm may be gpt.blocks.0.attn.norm or gpt.blocks.0.mlp.norm (expected', 'trace', 'diff', self.path('a.h5'),
                     self.path('two.safetensors'))
        self.write('none.safetensors', save({'layer.7': ('F32', [1], [0])}))
        self.refused(1, 'no module of the trace has the name of layer.7 (it has gpt, ', 'trace', 'diff', self.path('a.h5'),
                     self.path('none.safetensors'))

    def test_the_graph_for_graphviz(self):
        text = self.ok('trace', 'mlp_tiny', '--dot').out
        self.assertTrue(text.startswith('digraph ops {') and text.rstrip().endswith('}'), text[:200])
        self.assertEqual(text.count('linear\\n'), 8)
        self.assertEqual(text.count('subgraph "cluster layers.layers.'), 8)
        names = {line.split()[0] for line in text.splitlines() if '[label=' in line}
        ends = {end for line in text.splitlines() if ' -> ' in line for end in line.rstrip(';').split(' -> ')}
        self.assertTrue({e.strip() for e in ends} <= names)
        self.assertIn('fillcolor=lightgrey', text)  # the backward
        self.refused(2, '--json is for the table', 'trace', 'mlp_tiny', '--dot', '--json')

    def test_activations_and_gradients_by_module(self):
        lines = [json.loads(l) for l in self.ok('trace', 'mlp_tiny', '--modules', '--json').out.splitlines()]
        modules = {l['module']: l for l in lines}
        one = modules['layers.layers.0']
        self.assertEqual((one['activations']['count'], one['gradients']['count']), (16, 16 * 16 + 16))
        self.assertTrue(0 < one['activations']['rms'] <= one['activations']['largest'])
        self.assertGreater(modules['layers']['activations']['zeros'], 8)  # relu
        self.assertIn('layers.layers.7', self.ok('trace', 'mlp_tiny', '--modules').out)

    def test_training_stops_at_the_first_op_that_makes_a_nan(self):
        text = self.write('text.txt', 'the quick brown fox jumps over the lazy dog. ' * 40)
        run = ('train', 'lm', text, *SMALL, '--watch-nan')
        self.ok(*run, '-o', self.path('good'))
        wrong = [a for s in ('train.lr=1e30', 'train.warmup=0', 'train.steps=9') for a in ('--set', s)]
        self.refused(1, 'inf at [0,0,0] of its result, f32 [2,8,48], from finite inputs (gpt.blocks.0.attn.qkv)', *run, '-o', self.path('bad'), *wrong)

    def test_wrong_usage(self):
        self.refused(2, 'WORKLOAD is required (expected one of mlp_tiny', 'trace')
        self.refused(2, 'trace diff: A is required', 'trace', 'diff')
        self.refused(2, "x.csv: unknown kind of trace (expected F.json", 'trace', 'mlp_tiny', '--out', 'x.csv')
        self.refused(2, "x.csv: unknown kind of trace (expected F.json", 'train', 'lm', '-o', self.path('run'), '--trace', 'x.csv')
        self.refused(2, '--tolerance is -1', 'trace', 'diff', 'a.h5', 'b.h5', '--tolerance', -1)
        self.ok('bench', 'dispatch', '--threads', 2, '--iters', 1, '--json')  # a fixed form of scripts: taken, and one thread computes
        self.refused(1, 'none.h5: cannot be read: No such file', 'trace', 'diff', 'none.h5', 'none.h5')
        text = self.write('text.txt', 'the quick brown fox jumps over the lazy dog. ' * 40)
        self.ok('train', 'lm', text, '-o', self.path('run'), *SMALL)
        checkpoint = self.path('run', 'checkpoint.h5')
        self.refused(1, 'is no trace with results', 'trace', 'diff', checkpoint, checkpoint)
        for arguments, refused in [(['dispatch', '--B', 3], '--B is for gpt2_step'), (['mlp_tiny', '--T', 3], '--T is for gpt2_step'),
                                   (['dispatch', '--shape', '2x2x2'], '--shape is for gemm'), (['gemm', '--trace', 'x.json'], '--trace is for'),
                                   (['mlp_tiny', '--losses', 'x', '--max-s', 1], '--max-s is for'),
                                   (['gpt2_step', '--B', 0], '--B is 0 (expected 1 or more)')]:
            self.refused(2, refused, 'bench', *arguments)

    def test_what_cannot_be_written(self):
        self.refused(1, 'cannot be written', 'trace', 'mlp_tiny', '--out', self.path('none', 'trace.json'))

    def test_bench_of_matrix_products_names_its_kernels(self):
        lines = [json.loads(l) for l in self.ok('bench', 'gemm', '--shape', '30x40x50', '--iters', '2', '--json').out.splitlines()]
        self.assertEqual({l['variant'] for l in lines}, {'nt', 'nn', 'tn'})
        kernels = {l['implementation'].split()[0] for l in lines}
        self.assertIn(kernels, ({'own'}, {'own', 'onednn'}))
        self.assertFalse([l for l in lines if 'ref' in l['implementation']])
        self.refused(2, "--shape is '3x' (expected MxNxK", 'bench', 'gemm', '--shape', '3x')
        double = self.ok('bench', 'gemm', '--shape', '30x40x50', '--iters', '2', '--dtype', 'f64', '--json').out.splitlines()
        self.assertEqual({json.loads(l)['implementation'] for l in double}, {'own'})
        self.refused(2, '--dtype is bf16 (expected f32 or f64', 'bench', 'gemm', '--dtype', 'bf16')
        self.refused(1, 'out of memory: three arrays of MxNxK = 1048576x1048576x1048576, f64', 'bench', 'gemm', '--dtype', 'f64', '--shape',
                     '1048576x1048576x1048576')


if __name__ == '__main__':
    main()
