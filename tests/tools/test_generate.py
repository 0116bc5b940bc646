#!/usr/bin/env python3
"""generate: padded rows of ids, what tokens are drawn from, and where the text ends."""
import json

from program import ProgramTest, main, save

TEXT = 'the quick brown fox jumps over the lazy dog. a slow red cat sleeps under the tall tree.\n' * 30
SMALL = [s for pair in ({'model.layers': 2, 'model.dim': 32, 'model.heads': 4, 'model.context': 24, 'train.batch': 8, 'train.warmup': 5,
                         'train.steps': 60}.items()) for s in ('--set', '{}={}'.format(*pair))]


class Generate(ProgramTest):
    model = None

    def setUp(self):
        super().setUp()
        self.ok('train', 'lm', self.write('text.txt', TEXT), '-o', self.path('run'), *SMALL)
        self.model = self.path('run', 'checkpoint.h5')

    def ids(self, *arguments):
        return json.loads(self.ok('generate', self.model, *arguments, '--json').out)['ids']

    def rows(self, rows, *arguments, dtype='I64', pad=0, left=True):
        """The ids behind these rows, padded to one width, in one call."""
        width = max(map(len, rows))
        fill = [([pad] * (width - len(r)), [0] * (width - len(r)), r, [1] * len(r)) for r in rows]
        ids = sum(((f + r) if left else (r + f) for f, _, r, _ in fill), [])
        mask = sum(((f + r) if left else (r + f) for _, f, _, r in fill), [])
        path = self.write('in.st', save({'input_ids': (dtype, [len(rows), width], ids), 'attention_mask': (dtype, [len(rows), width], mask)}))
        return self.ids('--in', path, *arguments)

    def test_padded_rows_are_each_row_alone(self):
        rows = [[3, 1, 4, 1, 5, 9, 2, 6], [5, 3], [8], list(range(20))]
        greedy = ['--max-new', 30, '--greedy']  # beyond the context, too
        alone = [self.rows([row], *greedy)[0] for row in rows]
        self.assertEqual([len(a) for a in alone], [30] * 4)
        self.assertGreater(len({tuple(a) for a in alone}), 1)
        for left in (True, False):
            self.assertEqual(self.rows(rows, *greedy, left=left), alone)
            self.assertEqual(self.rows(rows, *greedy, left=left, pad=7, dtype='I32'), alone)
        self.assertEqual(self.rows(rows, *greedy, '--no-cache'), alone)
        path = self.write('bare.st', save({'input_ids': ('I64', [2, 2], [5, 3, 1, 2])}))  # no mask: no padding
        self.assertEqual(self.ids('--in', path, *greedy)[0], alone[1])
        self.assertEqual(len(self.ok('generate', self.model, '--in', path, '--max-new', 3).out), 2 * (2 + 3 + 1))

    def test_a_seed_gives_the_same_text_again(self):
        first = self.ids('--prompt', 'the ', '--seed', 3)
        self.assertEqual(self.ids('--prompt', 'the ', '--seed', 3), first)
        self.assertEqual(self.ids('--prompt', 'the ', '--seed', 3, '--no-cache', '--threads', 1), first)
        self.assertNotEqual(self.ids('--prompt', 'the ', '--seed', 4), first)

    def test_what_is_drawn_from(self):
        greedy = self.ids('--prompt', 'the ', '--greedy', '--max-new', 40)
        for likeliest in (['--top-k', 1], ['--top-p', 1e-9], ['--min-p', 1], ['--temperature', 1e-4]):
            self.assertEqual(self.ids('--prompt', 'the ', '--max-new', 40, *likeliest), greedy)
        self.assertNotEqual(self.ids('--prompt', 'the ', '--greedy', '--max-new', 40, '--repetition-penalty', 3), greedy)

    def test_the_text_ends_at_a_stop(self):
        whole = self.ok('generate', self.model, '--prompt', 'the ', '--greedy', '--max-new', 60).out
        said = whole[len('the '):]
        stop = said[7:10]
        for more in ([], ['--stop', 'ZZZ']):
            cut = self.ok('generate', self.model, '--prompt', 'the ', '--greedy', '--max-new', 60, '--stop', stop, *more).out
            self.assertEqual(cut, 'the ' + said[:said.index(stop) + 3] + '\n')

    def test_wrong_requests(self):
        for option, value in [('--top-p', 0), ('--top-p', 1.1), ('--min-p', -0.1), ('--min-p', 2), ('--repetition-penalty', 0)]:
            self.refused(2, f'{option} is {value} (expected', 'generate', self.model, option, value)
        self.refused(2, '--stop is empty', 'generate', self.model, '--stop', '')
        self.refused(2, '--top-k is for drawing', 'generate', self.model, '--greedy', '--top-k', 3)
        ids = ('I64', [1, 3], [1, 2, 3])
        good = self.write('good.st', save({'input_ids': ids}))
        self.refused(2, '--prompt and --in exclude', 'generate', self.model, '--in', good, '--prompt', 'x')
        for tensors, text in [
            ({'input_ids': ('I64', [1, 3], [1, 2, 99])}, 'input_ids has 99 at [0,2] (expected 0 to'),
            ({'input_ids': ('I64', [3], [1, 2, 3])}, 'input_ids is [3] i64 (expected integers [B, T])'),
            ({'input_ids': ('F32', [1, 3], [1, 2, 3])}, 'input_ids is [1,3] f32 (expected integers'),
            ({'ids': ids}, "'ids' is neither input_ids nor attention_mask"),
            ({'attention_mask': ids}, 'no tensor input_ids'),
            ({'input_ids': ids, 'attention_mask': ('I64', [1, 2], [1, 1])}, 'attention_mask is [1,2] (expected [1,3]'),
            ({'input_ids': ids, 'attention_mask': ('I64', [1, 3], [1, 0, 1])}, 'a hole before [0,2]'),
            ({'input_ids': ids, 'attention_mask': ('I64', [1, 3], [1, 2, 1])}, 'attention_mask has 2 at [0,1] (expected 0 or 1)'),
            ({'input_ids': ids, 'attention_mask': ('I64', [1, 3], [0, 0, 0])}, 'row 0 of input_ids is padding only'),
            ({'input_ids': ('I64', [1, 30], [1] * 30)}, 'the prompt has 30 tokens (the model'),
        ]:
            with self.subTest(text):
                self.refused(1, text, 'generate', self.model, '--in', self.write('bad.st', save(tensors)))


if __name__ == '__main__':
    main()
