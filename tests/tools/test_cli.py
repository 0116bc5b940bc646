#!/usr/bin/env python3
"""What is common to all verbs of the program: help, wrong usage, --json, the completions of shells."""
import json
import shutil
import subprocess
import unittest

from program import ProgramTest, main


class Usage(ProgramTest):
    def test_help_names_every_option(self):
        self.assertIn('Subcommands:', self.ok('--help').out)
        for verb in (['train', 'lm'], ['generate'], ['ckpt', 'diff'], ['bench']):
            self.assertIn('--json', self.ok(*verb, '--help').out)
        self.assertRegex(self.ok('--version').out, r'^fovea \d+\.\d+\.\d+\n$')

    def test_wrong_usage_names_the_way_out(self):
        for arguments, text in [
            ([], 'a verb is missing (expected version, devices'),
            (['trian'], "unknown verb 'trian' (expected version, devices"),
            (['trian'], 'did you mean train?'),
            (['train'], 'train: a verb is missing (expected lm'),
            (['ckpt', 'verfy', 'x'], 'did you mean verify?'),
            (['generate'], 'generate: MODEL is required. See fovea generate --help'),
            (['generate', 'x', 'y'], "'y' is more than generate takes"),
            (['generate', 'x', '--thraeds', '3'], 'unknown option --thraeds of generate; did you mean --threads?'),
            (['generate', 'x', '--max-new'], '--max-new has no value'),
            (['train', 'lm', '--dtype', 'f31'], "--dtype is 'f31' (expected f32, bf16, f16 or f64)"),
            (['bench', 'chargpt'], 'did you mean chargpt_s?'),
            (['bench', 'chargpt_s', '--iters', '0'], '--iters is 0 (expected 1 or more)'),
            (['completion', 'csh'], 'expected bash, zsh or fish'),
            (['generate', 'x', '--threads', 'many'], "--threads is 'many' (expected an integer)"),
            (['generate', 'x', '--threads', '0'], '--threads is 0 (expected 1 to'),
            (['generate', 'x', '--threads', '99999999999999999999'], "--threads is 99999999999999999999 (expected 1 to 4096)"),
            (['generate', 'x', '--seed', '-1'], '--seed is -1 (expected 0 or more)'),
        ]:
            with self.subTest(' '.join(arguments)):
                self.refused(2, text, *arguments)

    def test_a_full_stdout_is_an_error(self):
        for arguments in (['version'], ['version', '--json'], ['--help'], ['completion', 'bash']):
            with open('/dev/full', 'w', encoding='utf-8') as full:
                ran = subprocess.run([self.fovea.path, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
            self.assertEqual((ran.returncode, ran.stderr), (1, 'error: stdout: cannot be written: No space left on device\n'))

    def test_json_is_all_there_is_on_stdout(self):
        for arguments in (['version'], ['devices']):
            for line in self.ok(*arguments, '--json').out.splitlines():
                self.assertIsInstance(json.loads(line), dict)
        self.assertEqual(json.loads(self.ok('devices', '--json', '--threads', 1).out.splitlines()[0])['threads'], 1)


class Completion(ProgramTest):
    def completed(self, words):
        """What bash would offer for the last of these words."""
        script = self.write('completion.bash', self.ok('completion', 'bash').out)
        line = ' '.join(f"'{w}'" for w in words)
        program = (f'compopt() {{ :; }}; source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _fovea; '
                   'printf "%s\\n" "${COMPREPLY[@]}"')
        ran = subprocess.run(['bash', '-c', program], capture_output=True, text=True, check=True, cwd=self.folder)
        self.assertEqual(ran.stderr, '')
        return ran.stdout.split()

    def test_bash(self):
        self.assertIn('generate', self.completed(['fovea', '']))
        self.assertEqual(self.completed(['fovea', 'gen']), ['generate'])
        self.assertEqual(self.completed(['fovea', 'train', '']), ['lm'])
        self.assertEqual(self.completed(['fovea', 'ckpt', 'v']), ['verify'])
        self.assertEqual(self.completed(['fovea', 'train', 'lm', '--dev']), ['--device'])
        self.assertEqual(self.completed(['fovea', 'train', 'lm', '--dtype', 'b']), ['bf16'])
        self.assertEqual(self.completed(['fovea', 'train', 'lm', '--set', 'model.kv']), ['model.kv_heads='])
        self.assertEqual(self.completed(['fovea', 'completion', '']), ['bash', 'zsh', 'fish'])
        self.write('model one.h5', '')
        self.assertEqual(self.completed(['fovea', 'generate', 'mod']), ['model', 'one.h5'])

    def test_every_shell_can_read_its_script(self):
        for shell in ('bash', 'zsh', 'fish'):
            script = self.write('script', self.ok('completion', shell).out)
            if shutil.which(shell):
                ran = subprocess.run([shell, '-n', script], capture_output=True, text=True, check=False)
                self.assertEqual((ran.returncode, ran.stderr), (0, ''), shell)

    def test_fish(self):
        if not shutil.which('fish'):
            self.skipTest('fish is not installed')
        script = self.write('fovea.fish', self.ok('completion', 'fish').out)

        def completed(line):
            ran = subprocess.run(['fish', '-c', f"source {script}; complete -C '{line}'"], capture_output=True, text=True, check=True)
            return [offer.split('\t')[0] for offer in ran.stdout.splitlines()]
        self.assertEqual(completed('fovea gen'), ['generate'])
        self.assertEqual(completed('fovea train lm --dev'), ['--device'])
        self.assertEqual(completed('fovea train lm --dtype b'), ['bf16'])


if __name__ == '__main__':
    main()
