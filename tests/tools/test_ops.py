#!/usr/bin/env python3
"""The verbs that look at single ops: ops, gradcheck, op."""
import glob
import json
import math
import os
import re

from program import ProgramTest, load, main, save


class Ops(ProgramTest):
    def test_nothing_is_without_samples(self):
        rows = [json.loads(line) for line in self.ok('ops', '--json').out.splitlines()]
        # What takes no tensor has no inputs to vary: tests/autograd/test_{arrange,random,tensor}.cpp.
        makers = {j['op'] for j in rows if j.get('inputs') == 0 or j['op'].endswith('_like')}
        self.assertLessEqual({'arange', 'linspace', 'eye', 'full', 'uniform', 'normal', 'randint'}, makers)
        self.assertEqual([j['op'] for j in rows if j['samples'] == 0 and j['op'] not in makers], [])
        functions = {j['op']: j['gradient'] for j in rows if 'backends' not in j}
        self.assertGreater(len(functions), 70)
        without = {name for name, gradient in functions.items() if gradient == 'none'} - makers
        self.assertEqual(without, {'argsort', 'bernoulli', 'categorical', 'count_nonzero', 'multinomial', 'nonzero', 'one_hot'})

    def test_the_table_of_ops(self):
        rows = {j['op']: j for j in map(json.loads, self.ok('ops', '--json').out.splitlines())}
        self.assertEqual(rows['softmax']['gradient'], 'rule')
        self.assertEqual(rows['argmax']['gradient'], 'none')
        self.assertEqual(rows['gelu_backward']['gradient'], 'derived')
        self.assertTrue(rows['softmax']['backends']['ref']['composed'])
        self.assertIn('f32', rows['softmax']['backends']['cpu']['kernels'].split())
        self.assertEqual(rows['cumsum']['backends']['cpu']['kernels'], 'f32 f64 bf16 f16')
        self.assertIn('i64', rows['cumsum']['backends']['cpu']['reference'].split())  # the reference's slot
        self.assertNotIn('adamw', rows)
        self.assertNotIn('f32', rows['bitwise_not']['backends']['cpu']['kernels'].split())  # refused, though its slot has it
        self.assertNotIn('bool', rows['sub']['backends']['ref']['kernels'].split())
        table = self.ok('ops', '--markdown').out.splitlines()
        self.assertEqual(len(table), len(rows) + 2)
        self.assertEqual(len({line.replace('\\|', '').count('|') for line in table}), 1)
        self.assertIn('ref: others', next(line for line in self.ok('ops').out.splitlines() if line.startswith('cumsum ')))


class Gradcheck(ProgramTest):
    def test_one_op(self):
        report = json.loads(self.ok('gradcheck', '--op', 'softmax', '--order', 2, '--device', 'ref', '--json').out)
        self.assertEqual((report['op'], report['verdict'], report['order']), ('softmax', 'pass', 2))
        self.assertEqual(set(report['worst']), {'input', 'order', 'index', 'analytic', 'oracle', 'error'})
        self.assertLess(report['worst']['error'], 1e-12)
        self.assertLess(report['detects_single_entry_above'], 1e-7)
        self.assertEqual(report['repro'], 'fovea gradcheck --op softmax --order 2 --device ref')
        self.assertIn('softmax: pass', self.ok('gradcheck', '--op', 'softmax').out)
        self.assertIn('einsum: pass, order 2', self.ok('gradcheck', '--op', 'einsum', '--order', 2).out)  # no row

    def test_every_op_within_a_budget(self):
        result = self.ok('gradcheck', '--all', '--budget', '1m', '--json')
        self.assertGreater(len(result.out.splitlines()), 50)
        cut = self.ok('gradcheck', '--all', '--budget', '0.000001s')
        self.assertEqual(len(cut.out.splitlines()), 1)
        self.assertIn('ops are not checked', cut.err)

    def test_a_model(self):
        config = self.write('config.json', json.dumps({'model': {'layers': 2, 'dim': 16, 'heads': 2, 'context': 8, 'dropout': 0.1}}))
        report = json.loads(self.ok('gradcheck', '--model', config, '--set', 'model.layers=1', '--vocab', 11, '--json').out)
        self.assertEqual((report['model'], report['verdict'], report['order']), (config, 'pass', 1))
        self.assertEqual(report['parameters'], 11 * 16 + 8 * 16 + 12 * 16 * 16 + 13 * 16 + 2 * 16)
        self.assertEqual(report['repro'], f'fovea gradcheck --model {config} --set model.layers=1 --vocab 11')
        self.assertLess(report['worst']['error'], 1e-12)
        self.assertLess(report['detects_single_entry_above'], 1e-7)
        self.assertEqual((report['unreached'], report['texts']), ([], 1))
        self.assertGreater(report['nodes'], 20)
        self.assertNotIn('node', report)
        longer = json.loads(self.ok('gradcheck', '--model', config, '--budget', '0.3s', '--json').out)
        self.assertGreater(longer['texts'], 1)
        self.assertRegex(self.ok('gradcheck', '--model', config).out, r'check: pass: .*; finds a single wrong entry above \d')

        toy = os.path.join(os.path.dirname(self.fovea.path), '..', 'tests', 'core', 'plugins', 'toy.so')  # its exp is wrong
        wrong = self.fovea('gradcheck', '--model', config, '--plugin', toy, '--device', 'toy', '--json')
        report = json.loads(wrong.out)
        self.assertEqual((wrong.status, report['verdict']), (1, 'fail'))
        self.assertIn(' by compositions: a forward is wrong', report['detail'])
        self.assertEqual((report['node']['op'], report['node']['module']), ('attention', 'gpt.blocks.0.attn'))
        self.assertIn('the forward is wrong: output 0 is ', report['node']['detail'])
        self.refused(1, 'of memory, and there are', 'gradcheck', '--model', 'gpt2-xl', '--set', 'model.dim=25600')
        self.refused(1, 'nothing.json: is neither a file nor a preset', 'gradcheck', '--model', 'nothing.json')

    def test_wrong_usage(self):
        for arguments, text in [
            ([], '--op NAME, --all or --model CONFIG is required'),
            (['--all', '--model', 'x.json'], 'is required, one of them'),
            (['--op', 'exp', '--set', 'model.dim=8'], '--set is for --model'),
            (['--model', 'gpt2-small', '--order', '2'], '--order 2 is for ops'),
            (['--model', 'gpt2-small', '--set', 'model.heads=7'], 'model.heads is 7, which does not divide'),
            (['--op', 'sofmax'], 'did you mean softmax?'),
            (['--op', 'argmax'], 'argmax has no gradient to check'),
            (['--op', 'exp', '--order', '3'], 'expected 1 or 2'),
            (['--all', '--budget', 'soon'], "--budget is 'soon'"),
        ]:
            with self.subTest(arguments):
                self.refused(2, text, 'gradcheck', *arguments)


class Op(ProgramTest):
    def run_op(self, name, tensors, *more, attrs=None):
        self.write('in.st', save(tensors))
        extra = ['--attrs', json.dumps(attrs)] if attrs is not None else []
        self.ok('op', name, '--in', self.path('in.st'), '--out', self.path('out.st'), *extra, *more)
        return load(self.read('out.st'))

    def close(self, got, dtype, shape, numbers):
        self.assertEqual(got[:2], (dtype, shape))
        for a, b in zip(got[2], numbers):
            self.assertTrue(abs(a - b) <= 1e-6, f'{got[2]} {numbers}')  # false for NaN

    def test_attributes_that_make_no_sense(self):
        case = self.write('in.st', save({'in.0': ('F32', [2], [1, 2])}))
        for attrs, text in [('[]', 'op: cumsum: --attrs is an array (expected an object)'), ('{', '--attrs: not JSON'),
                            ('{}', 'op: cumsum: the attribute dim is missing'),
                            ('{"bogus": 1}', 'op: cumsum: the attribute dim is missing (given: bogus)'),
                            ('{"dim": 0, "dmi": 1}', "op: cumsum: unknown attribute 'dmi' (expected dim, dtype); did you mean dim?"),
                            ('{"dim": "x"}', 'op: cumsum: dim is "x" (expected an integer)')]:
            with self.subTest(attrs):
                self.refused(2, text, 'op', 'cumsum', '--in', case, '--out', self.path('out.st'), '--attrs', attrs)

    def test_outputs_and_gradients(self):
        out = self.run_op('mul', {'in.0': ('F64', [2], [2, 3]), 'in.1': ('F64', [2], [5, 7]), 'cot.0': ('F64', [2], [1, 10])},
                          '--grad')
        self.close(out['out.0'], 'F64', [2], [10, 21])
        self.close(out['grad.0'], 'F64', [2], [5, 70])
        self.close(out['grad.1'], 'F64', [2], [2, 30])
        out = self.run_op('mul', {'in.0': ('F64', [1], [2]), 'in.1': ('F64', [1], [5])}, '--dtype', 'bf16')
        self.assertEqual(out['out.0'], ('BF16', [1], [0x4120]))

    def test_every_op_that_a_user_can_call_is_reached(self):
        headers = os.path.join(os.path.dirname(__file__), '..', '..', 'autograd', 'ops', '*.h')
        function = r'(?m)^(?:inline )?(?:Tensor|std::vector<Tensor>|std::pair<Tensor, Tensor>) (\w+)\(const (?:Operand|std::vector<Tensor>)&'
        public = set()
        for path in glob.glob(headers):
            with open(path, encoding='utf-8') as f:
                public |= set(re.findall(function, f.read()))
        self.assertGreater(len(public - {'operator'}), 80)
        table = [json.loads(line) for line in self.ok('ops', '--json').out.splitlines()]
        rows, makers = {j['op'] for j in table}, {j['op'] for j in table if j.get('inputs') == 0}
        # What --grad computes is no function of its own; these are rows, and nothing else is left out.
        gradients = {name for name in rows if name.endswith('_backward')}
        for name in sorted(public - {'operator'} | rows):
            self.assertIn(name, rows)
            if name in gradients:
                self.refused(2, f"unknown op '{name}'", 'op', name, '--in', 'none.st', '--out', 'out.st')
            elif name not in makers:  # the file is looked for once the op is known
                self.refused(1, 'none.st: cannot be read', 'op', name, '--in', 'none.st', '--out', 'out.st')

    def test_rows_take_the_attributes_that_their_fields_name(self):
        x = ('F64', [2, 2], [1, 2, 3, 5])
        out = self.run_op('diagonal', {'in.0': x, 'cot.0': ('F64', [1], [7])}, '--grad', attrs={'offset': 1})
        self.close(out['out.0'], 'F64', [1], [2])
        self.close(out['grad.0'], 'F64', [2, 2], [0, 7, 0, 0])
        self.close(self.run_op('floor_divide', {'in.0': x}, attrs={'other': 2})['out.0'], 'F64', [2, 2], [0, 1, 1, 2])
        self.close(self.run_op('sub', {'in.0': x, 'in.1': x}, attrs={'alpha': 2})['out.0'], 'F64', [2, 2], [-1, -2, -3, -5])
        whole = ('I64', [1], [2**53 + 1])
        self.assertEqual(self.run_op('add', {'in.0': whole, 'in.1': whole}, attrs={'alpha': 2})['out.0'], ('I64', [1], [3 * (2**53 + 1)]))
        self.close(self.run_op('cast', {'in.0': x}, attrs={'dtype': 'float32'})['out.0'], 'F32', [2, 2], [1, 2, 3, 5])

    def test_indices_of_every_kind(self):
        x = ('F64', [2, 3], [0, 1, 2, 3, 4, 5])
        for indices, shape, numbers in [([1, -1], [], [5]), ([[None, None, -1], 0], [2], [3, 0]), ([[1], None], [1, 2], [5, 3])]:
            out = self.run_op('index', {'in.0': x, 'in.1': ('I64', [2], [2, 0])}, attrs={'indices': indices})
            self.close(out['out.0'], 'F64', shape, numbers)
        path = self.write('x.st', save({'in.0': x}))
        for indices, text in [('[0.5]', 'indices is [0.5] (expected a list of integers, ranges and nulls)'), ('[null]', 'no tensor in.1'),
                              ('[[0, 1, null, 2], "x"]', 'expected a list of integers')]:
            self.refused(2, text, 'op', 'index', '--in', path, '--out', self.path('out.st'), '--attrs', f'{{"indices": {indices}}}')

    def test_users_ops(self):
        plugin = os.path.join(os.path.dirname(self.fovea.path), '..', 'tests', 'core', 'plugins', 'ops.so')
        if not os.path.exists(plugin):
            self.skipTest('a plug-in of ops needs the shared library')
        out = self.run_op('toy_cube', {'in.0': ('F64', [1], [2])}, '--grad', '--plugin', plugin)
        self.close(out['out.0'], 'F64', [1], [8])
        self.close(out['grad.0'], 'F64', [1], [12])

    def test_attributes_have_pytorchs_names_and_defaults(self):
        x = ('F32', [2, 2], [1, 2, 3, 5])
        self.close(self.run_op('sum', {'in.0': x}, attrs={'dim': 1, 'keepdim': True})['out.0'], 'F32', [2, 1], [3, 8])
        self.close(self.run_op('linalg.sum', {'in.0': x})['out.0'], 'F32', [], [11])
        gelu = self.run_op('gelu', {'in.0': ('F32', [1], [1])}, attrs={'approximate': 'tanh'})
        self.close(gelu['out.0'], 'F32', [1], [0.841192])
        norm = self.run_op('layer_norm', {'in.0': x, 'in.2': ('F32', [2], [1, 2])}, attrs={'normalized_shape': [2], 'bias': True})
        self.close(norm['out.0'], 'F32', [2, 2], [1 - 0.99998, 2.99998, 0.000005, 2.999995])

    def test_what_takes_no_tensor_needs_no_file(self):
        for name, attrs, dtype, shape, numbers in [
            ('arange', {'start': 1, 'end': 7, 'step': 2}, 'I64', [3], [1, 3, 5]),
            ('linspace', {'start': 0, 'end': 1, 'steps': 3, 'dtype': 'float64'}, 'F64', [3], [0, 0.5, 1]),
            ('full', {'size': [2], 'fill_value': 1.5}, 'F32', [2], [1.5, 1.5]),
            ('full', {'size': [2], 'fill_value': True}, 'BOOL', [2], [1, 1]),
            ('eye', {'n': 1, 'm': 2}, 'F32', [1, 2], [1, 0]),
            ('randint', {'low': 3, 'high': 4, 'size': [2]}, 'I64', [2], [3, 3]),
            ('uniform', {'size': [1], 'low': 2, 'high': 2}, 'F32', [1], [2]),
        ]:
            with self.subTest(name):
                self.ok('op', name, '--out', self.path('out.st'), '--attrs', json.dumps(attrs))
                self.close(load(self.read('out.st'))['out.0'], dtype, shape, numbers)
        for name, attrs, text in [
            ('full', {'size': [1 << 40], 'fill_value': 1}, 'full: [1099511627776] i64: out of memory: 8796093022208 bytes'),
            ('full', {'size': [1 << 62], 'fill_value': 1}, 'full: [4611686018427387904] i64 takes more than 2^44 bytes'),
            ('full', {'size': [1 << 32, 1 << 32], 'fill_value': 1}, 'full: shape [4294967296,4294967296] has more than 2^62 elements'),
            ('linspace', {'start': 0, 'end': 1, 'steps': (1 << 63) - 1}, 'linspace: steps is 9223372036854775807 (expected 0 to 461168'),
        ]:
            self.refused(1, text, 'op', name, '--out', self.path('out.st'), '--attrs', json.dumps(attrs))
        for seed, text in [(1 << 64, 'is 18446744073709551616 (expected 0 to 9223372036854775807)'), (-1, 'is -1 (expected 0 or more)')]:
            self.refused(2, '--seed ' + text, 'op', 'rand', '--out', self.path('out.st'), '--attrs', '{"size": 1}', '--seed', seed)
        self.refused(2, '--in is required', 'op', 'exp', '--out', self.path('out.st'))
        self.refused(2, 'the attribute end is missing', 'op', 'arange', '--out', self.path('out.st'))

    def test_absent_inputs_and_a_loss_of_one_number(self):
        out = self.run_op('cross_entropy', {'in.0': ('F64', [1, 2], [0, 0]), 'in.1': ('I64', [1], [1])}, '--grad',
                          attrs={'reduction': 'sum', 'weight': False})
        self.close(out['out.0'], 'F64', [], [math.log(2)])
        self.close(out['grad.0'], 'F64', [1, 2], [0.5, -0.5])
        self.assertNotIn('grad.1', out)

    def test_attention_and_its_masks(self):
        q = ('F64', [1, 1, 2, 1], [0, 0])
        v = ('F64', [1, 1, 2, 1], [1, 3])
        tensors = {'in.0': q, 'in.1': q, 'in.2': v}
        self.close(self.run_op('attention', tensors)['out.0'], 'F64', [1, 1, 2, 1], [2, 2])
        causal = self.run_op('attention', tensors, attrs={'mask': {'causal': True, 'window': [-1, -1]}})
        self.close(causal['out.0'], 'F64', [1, 1, 2, 1], [1, 2])
        short = self.run_op('attention', tensors, attrs={'mask': {'k_lengths': [1], 'documents': [[0, 2, 0, 2]]}})
        self.close(short['out.0'], 'F64', [1, 1, 2, 1], [1, 1])
        dense = self.run_op('attention', {**tensors, 'mask': ('BOOL', [2, 2], [False, True, False, False])})
        self.close(dense['out.0'], 'F64', [1, 1, 2, 1], [3, 0])

    def test_the_scale_of_attention_is_one_over_the_root_unless_given(self):
        tensors = {'in.0': ('F64', [1, 1, 1, 4], [1, 1, 1, 1]), 'in.2': ('F64', [1, 1, 2, 1], [1, 5]),
                   'in.1': ('F64', [1, 1, 2, 4], [0, 0, 0, 0] + [math.log(3) / 2] * 4)}
        for name in 'attention', 'scaled_dot_product_attention':
            self.close(self.run_op(name, tensors)['out.0'], 'F64', [1, 1, 1, 1], [4])
        even = self.run_op('scaled_dot_product_attention', tensors, attrs={'scale': 0})
        self.close(even['out.0'], 'F64', [1, 1, 1, 1], [3])

    def test_a_bad_index_on_a_device_with_memory_of_its_own(self):
        few = os.path.join(os.path.dirname(self.fovea.path), '..', 'tests', 'core', 'plugins', 'few.so')
        path = self.write('in.st', save({'in.0': ('F32', [2], [1, 2]), 'in.1': ('I64', [1], [5])}))
        self.refused(1, 'gather: index 5 at position 0 is out of range (expected 0 to 1)', 'op', 'gather', '--in', path, '--out',
                     self.path('out.st'), '--attrs', '{"dim": 0}', '--plugin', few, '--device', 'few')

    def test_mistakes_are_one_line(self):
        path = self.write('x.st', save({'in.0': ('F32', [2], [1, 2])}))
        two = self.write('two.st', save({'in.0': ('F32', [2], [1, 2]), 'in.1': ('F32', [2], [1, 2])}))
        stray = self.write('stray.st', save({'x': ('F32', [2], [1, 2])}))
        for status, text, arguments in [
            (2, 'did you mean softmax?', ['sofmax', '--in', path]),
            (2, "unknown attribute 'keepdims' (expected dim, dtype, keepdim); did you mean keepdim?",
             ['sum', '--in', path, '--attrs', '{"keepdims": true}']),
            (2, 'the attribute dim is missing', ['softmax', '--in', path]),
            (2, 'dim is "a" (expected an integer', ['sum', '--in', path, '--attrs', '{"dim": "a"}']),
            (2, '--attrs: not JSON', ['sum', '--in', path, '--attrs', '{']),
            (2, 'expected an object', ['sum', '--in', path, '--attrs', '[1]']),
            (1, 'in.1, but exp takes 1 inputs', ['exp', '--in', two]),
            (1, "'x' is none of in.N", ['exp', '--in', stray]),
            (2, 'no tensor in.1', ['mul', '--in', path]),
            (2, 'no tensor in.2', ['where', '--in', two]),
            (2, 'did you mean offset?', ['diagonal', '--in', path, '--attrs', '{"ofset": 1}']),
            (2, "approximate is 'erf' (expected none or tanh)", ['gelu', '--in', path, '--attrs', '{"approximate": "erf"}']),
            # No line of the program's own source behind it.
            (1, '(expected -1 to 0)\n', ['softmax', '--in', path, '--attrs', '{"dim": 7}']),
            (1, 'cannot be read', ['exp', '--in', self.path('missing.st')]),
            (1, 'no cotangents', ['exp', '--in', path, '--grad']),
        ]:
            with self.subTest(arguments):
                self.refused(status, text, 'op', *arguments, '--out', self.path('out.st'))


if __name__ == '__main__':
    main()
