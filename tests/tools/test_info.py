#!/usr/bin/env python3
"""info and eval ppl: what a model costs, and what it can do."""
import json
import math
import unittest

from program import ProgramTest, main

SMALL = [s for pair in ({'model.layers': 1, 'model.dim': 16, 'model.heads': 2, 'model.context': 16, 'train.batch': 2, 'train.steps': 4}.items())
         for s in ('--set', '{}={}'.format(*pair))]


class Info(ProgramTest):
    def json(self, *arguments):
        return json.loads(self.ok(*arguments, '--json').out)

    def test_presets(self):
        for name, parameters in [('gpt2-small', 124_439_808), ('gpt2-medium', 354_823_168), ('gpt2-large', 774_030_080), ('gpt2-xl', 1_557_611_200)]:
            self.assertEqual(self.json('info', name)['parameters'], parameters)
        small = self.json('info', 'gpt2-small')
        self.assertEqual(small['flops']['training_per_token'], 6 * (12 * 12 * 768 ** 2 + 50257 * 768) + 12 * 12 * 768 * 512.5)
        self.assertEqual(small['memory']['weights'], 4 * 124_439_808)
        half = self.json('info', 'gpt2-small', '--memory', '--dtype', 'bf16', '--set', 'train.batch=1')
        self.assertEqual(half['memory']['weights'], 2 * 124_439_808)
        self.assertLess(half['memory']['training_peak'], small['memory']['training_peak'])
        self.assertNotIn('flops', half)
        self.assertIn('124,439,808 parameters', self.ok('info', 'gpt2-small').out)
        self.refused(1, 'gpt3: is neither a file nor a preset (expected gpt2-small, gpt2-medium', 'info', 'gpt3')
        self.refused(2, 'model.heads is 7, which does not divide', 'info', 'gpt2-small', '--set', 'model.heads=7')

    def test_parts_add_up(self):
        modules = self.json('info', 'gpt2-small', '--params')['modules']
        self.assertEqual(modules['tok'], 50257 * 768)
        self.assertEqual(modules['blocks'], 12 * modules['blocks.3'])
        self.assertEqual(sum(n for path, n in modules.items() if '.' not in path), 124_439_808)
        text = self.ok('info', 'gpt2-small', '--params', '--tree').out
        self.assertIn('38,597,376  tok  (the head, too)', text)
        self.assertRegex(text, r'up Linear  weight \[3072,768\], bias \[3072\]')
        dot = self.ok('info', 'gpt2-small', '--dot').out
        self.assertIn('"blocks.3.mlp" -> "blocks.3.mlp.up";', dot)

    def test_configs_and_checkpoints(self):
        config = self.write('config.json', '{"model": {"layers": 2, "dim": 32, "heads": 4}, "data": {"tokenizer": "byte"}}')
        self.assertEqual(self.json('info', config)['vocab'], 256)
        text = self.write('text.txt', 'the quick brown fox jumps over the lazy dog. ' * 40)
        self.ok('train', 'lm', text, '-o', self.path('run'), *SMALL)
        model = self.path('run', 'checkpoint.h5')
        shown = self.json('info', model)
        self.assertEqual((shown['config']['dim'], shown['vocab']), (16, len(set('the quick brown fox jumps over the lazy dog. '))))

        measured = self.json('eval', 'ppl', model, text)
        self.assertAlmostEqual(measured['ppl'], math.exp(measured['loss']), places=6)
        self.assertEqual(measured['tokens'], 45 * 40 - 1)
        self.assertEqual(self.json('eval', 'ppl', model, text, '--batch', 1)['tokens'], 45 * 40 - 1)
        self.assertAlmostEqual(self.json('eval', 'ppl', model, text, '--batch', 1)['loss'], measured['loss'], places=5)
        self.assertAlmostEqual(self.json('eval', 'ppl', model, text, '--dtype', 'f64', '--device', 'ref')['loss'], measured['loss'], places=5)
        self.assertEqual(self.json('eval', 'ppl', model, text, '--tokens', 100)['tokens'], 99)
        self.refused(1, 'is not one of the', 'eval', 'ppl', model, self.write('other.txt', 'ÄÖÜ'))
        self.refused(1, 'the embedded corpus: the character', 'eval', 'ppl', model)

    def test_the_corpus_has_a_floor(self):
        self.ok('train', 'lm', '-o', self.path('run'), *SMALL)
        measured = self.json('eval', 'ppl', self.path('run', 'checkpoint.h5'), '--tokens', '500')
        self.assertGreater(measured['loss'], measured['entropy'])
        self.assertIn("the corpus's entropy is", self.ok('eval', 'ppl', self.path('run', 'checkpoint.h5'), '--tokens', '500').out)


if __name__ == '__main__':
    main()
