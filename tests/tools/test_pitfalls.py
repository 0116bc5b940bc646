#!/usr/bin/env python3
"""Rows of the catalogue of mistakes made elsewhere: each that is about ops and numerics has a test of its name that cites the
issues, or is refused by the compiler."""
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'tools', 'dev'))
import checks  # noqa: E402

OPS_AND_NUMERICS = [*range(1, 27), *range(34, 44), *range(45, 50), 52]  # others: batches, optimizers, files, many ranks
WITHOUT_ISSUE = {46, 48, 49}
NAME = re.compile(r'TEST_CASE\(\s*((?:"[^"]*"\s*)+)\)')
ROW = re.compile(r'[Pp]itfalls? (\d+)(?: and (\d+))?(?::| of the catalogue)')


def rows_of(text):
    return {int(n) for n in ROW.match(text).groups() if n} if ROW.match(text) else set()


class Pitfalls(unittest.TestCase):
    def test_every_row_has_a_test_that_cites_it(self):
        tree, cited = checks.Tree(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')), {}
        for name in tree.sources(('.cpp',)):
            if name.startswith('tests/'):
                texts = [''.join(re.findall(r'"([^"]*)"', m)) for m in NAME.findall(tree.text(name))]
                if os.path.basename(name).startswith('reject_'):
                    texts += re.findall(r'// (Pitfalls? .*)', tree.text(name))
                for text in texts:
                    for row in rows_of(text):
                        cited.setdefault(row, []).append(text)
        for row in OPS_AND_NUMERICS:
            with self.subTest(row=row):
                self.assertIn(row, cited)
                if row not in WITHOUT_ISSUE:
                    self.assertRegex(' '.join(cited[row]), r'\w#\d+')

    def test_rows_are_read(self):
        self.assertEqual(rows_of('pitfalls 5 and 6: causal'), {5, 6})
        self.assertEqual(rows_of('pitfall 10: all norms'), {10})
        self.assertEqual(rows_of('of pitfall 10'), set())


if __name__ == '__main__':
    unittest.main()
