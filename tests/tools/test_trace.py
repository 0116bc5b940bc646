#!/usr/bin/env python3
"""trace and bench --trace: every op of a step, as a table, as JSON and in Chrome's trace-event format."""
import json
import unittest

from program import ProgramTest, main


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

    def test_what_cannot_be_written(self):
        self.refused(1, 'cannot be written', 'trace', 'mlp_tiny', '--out', self.path('none', 'trace.json'))

    def test_bench_of_matrix_products_names_its_kernels(self):
        lines = [json.loads(l) for l in self.ok('bench', 'gemm', '--shape', '30x40x50', '--iters', '2', '--json').out.splitlines()]
        self.assertEqual({l['variant'] for l in lines}, {'nt', 'nn', 'tn'})
        kernels = {l['implementation'].split()[0] for l in lines}
        self.assertIn(kernels, ({'own'}, {'own', 'onednn'}))
        self.assertFalse([l for l in lines if 'ref' in l['implementation']])
        self.refused(2, "--shape is '3x' (expected MxNxK", 'bench', 'gemm', '--shape', '3x')


if __name__ == '__main__':
    main()
