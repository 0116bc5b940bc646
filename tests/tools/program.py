"""Running the built program in tests: `fovea = Program(path)`, `fovea('train', 'lm', ...)` -> Result."""
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import unittest


class Result:
    def __init__(self, arguments, status, out, err):
        self.arguments, self.status, self.out, self.err = arguments, status, out, err

    def __str__(self):
        return f'fovea {" ".join(self.arguments)}\nexit status {self.status}\nstdout: {self.out[-2000:]}\nstderr: {self.err[-2000:]}'


class Program:
    def __init__(self, path):
        self.path = path

    def __call__(self, *arguments, input='', timeout=120, env=None, **more):
        arguments = [str(a) for a in arguments]
        ran = subprocess.run([self.path, *arguments], input=input, capture_output=True, text=True, check=False, timeout=timeout,
                             env={**os.environ, **(env or {})}, **more)
        return Result(arguments, ran.returncode, ran.stdout, ran.stderr)


class ProgramTest(unittest.TestCase):
    """A test with the program as `self.fovea`, and an empty folder as `self.folder`."""
    fovea = None

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix='fovea_test_')
        self.addCleanup(holder.cleanup)
        self.folder = holder.name

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, content):
        path = self.path(name)
        with open(path, 'wb') as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        return path

    def read(self, name):
        with open(self.path(name), 'rb') as f:
            return f.read()

    def ok(self, *arguments, **more):
        result = self.fovea(*arguments, **more)
        self.assertEqual(result.status, 0, str(result))
        return result

    def refused(self, status, text, *arguments, **more):
        """Exactly one line on stderr that has `text`, nothing on stdout, and the exit status."""
        result = self.fovea(*arguments, **more)
        self.assertEqual(result.status, status, str(result))
        self.assertEqual(result.out, '', str(result))
        # Progress and notes of a training run may stand before it.
        lines = [line for line in result.err.splitlines() if not re.match(r' *\d+% |goes on at step|step \d+: ', line)]
        self.assertEqual(len(lines), 1, str(result))
        self.assertTrue(lines[0].startswith('error: '), str(result))
        self.assertIn(text, lines[0] + '\n', str(result))
        return result


CODES = {'F32': 'f', 'F64': 'd', 'I32': 'i', 'I64': 'q', 'BOOL': '?', 'BF16': 'H'}


def save(tensors):
    """{name: (dtype, shape, numbers)} as safetensors."""
    header, data = {}, b''
    for name, (dtype, shape, numbers) in tensors.items():
        part = struct.pack(f'<{len(numbers)}{CODES[dtype]}', *numbers)
        header[name] = {'dtype': dtype, 'shape': shape, 'data_offsets': [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header).encode()
    return struct.pack('<Q', len(text)) + text + data


def load(content):
    """The same the other way."""
    size, = struct.unpack_from('<Q', content)
    tensors = {}
    for name, entry in json.loads(content[8:8 + size]).items():
        if name != '__metadata__':
            a, b = entry['data_offsets']
            code = CODES[entry['dtype']]
            n = (b - a) // struct.calcsize(code)
            tensors[name] = (entry['dtype'], entry['shape'], list(struct.unpack_from(f'<{n}{code}', content, 8 + size + a)))
    return tensors


def main():
    """test_x.py PROGRAM [unittest's arguments]"""
    ProgramTest.fovea = Program(os.path.abspath(sys.argv.pop(1)))
    unittest.main()
