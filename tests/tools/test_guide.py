#!/usr/bin/env python3
"""The guide: what its pages quote is what the files say and what the program prints."""
import os
import re
import subprocess
import sys

from program import ProgramTest, main

GUIDE = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'tools', 'guide')
WATCHED = sys.argv.pop()
GATED = sys.argv.pop()
SOFTCAP = sys.argv.pop()


def text_of(name):
    with open(os.path.join(GUIDE, name), encoding='utf-8') as f:
        return f.read()


class Page(ProgramTest):
    page = None

    def blocks(self, kind):
        return re.findall(rf'^```{kind}\n(.*?)^```', text_of(self.page), re.M | re.S)

    @staticmethod
    def without_numbers(text):
        return re.sub(r'\d[\d.]*(e[+-]\d+)?', 'N', text)


class Debugging(Page):
    page = 'debugging.md'

    def test_code_is_that_of_the_file(self):
        blocks = self.blocks('cpp')
        self.assertEqual(len(blocks), 4)
        for block in blocks:
            self.assertIn(block, text_of('watched.cpp'))

    def test_what_it_prints(self):
        ran = subprocess.run([WATCHED], capture_output=True, text=True, check=False)
        self.assertEqual((ran.returncode, ran.stderr), (0, ''))
        shown = ''.join(self.blocks('text'))
        table = shown.index('module ')
        self.assertEqual(ran.stdout[:table], shown[:table])
        blank = lambda text: re.sub(r'[- ]+', ' ', self.without_numbers(text))
        self.assertEqual(blank(ran.stdout[table:]), blank(shown[table:]))  # in the last digits machines differ


class Gradcheck(Page):
    page = 'gradcheck.md'

    def test_code_is_that_of_the_files(self):
        files = text_of('softcap.cpp') + text_of('gated.cpp')
        blocks = self.blocks('cpp')
        self.assertGreaterEqual(len(blocks), 3)
        for block in blocks:
            self.assertIn(block, files)

    def test_what_the_program_prints(self):
        shown = ''.join(self.blocks('sh'))
        ran = 0
        for command in re.findall(r'^\$ fovea (.*)$', shown, re.M):
            arguments = command.replace('softcap.so', SOFTCAP).replace('"', '').split(' ')
            result = self.fovea(*arguments)
            self.assertEqual(result.status, 1 if 'softcap_wrong' in command else 0, str(result))
            for line in result.out.splitlines():  # numbers and paths are those of a machine
                self.assertIn(self.without_numbers(line.replace(SOFTCAP, 'softcap.so')), self.without_numbers(shown))
            ran += 1
        self.assertGreaterEqual(ran, 2)

    def test_the_module(self):
        ran = subprocess.run([GATED], capture_output=True, text=True, check=False)
        self.assertEqual((ran.returncode, ran.stderr), (0, ''))


if __name__ == '__main__':
    main()
