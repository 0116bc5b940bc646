#!/usr/bin/env python3
"""The house rules that a script can check: `checks.py [NAME...]`. tests/tools/test_checks.py breaks each of them once.

A check is a generator of problems, one line each. The build runs every check as a test of its own.
"""
import os
import re
import shutil
import subprocess
import sys

SOURCES = ('.h', '.cpp', '.cu', '.inc', '.py')
LAYERS = {  # layer: what it may include
    'core': {'core'},
    'autograd': {'core', 'autograd'},
    'backends': {'core', 'backends'},
    'nn': {'core', 'autograd', 'nn'},
    'models': {'core', 'autograd', 'nn', 'models'},
    'tools': {'core', 'autograd', 'backends', 'nn', 'models', 'tools'},
    'tests': {'core', 'autograd', 'backends', 'nn', 'models', 'tools', 'tests'},
}
# Rooms within a layer with rules of their own: folder -> the only tree folders it may include.
ROOMS = {'nn/io': ('core/', 'autograd/', 'nn/io/')}
# Headers that cross to a plug-in, or to dual numbers: everything they reach must be one of these.
CLOSED = {
    'core/backend.h': {'core/dtype.h', 'core/half.h', 'core/op_attrs.h', 'core/op_list.h', 'core/shape.h'},
    'core/dual.h': {'core/dtype.h', 'core/half.h'},
}
# Heavy or foreign headers: how many files may include them.
FEW_INCLUDERS = {'CLI/': 1, 'nlohmann/': 2, 'oneapi/': 1}
TOP_LEVEL = {'core', 'autograd', 'backends', 'nn', 'models', 'tests', 'tools', 'meson.build', 'meson_options.txt', 'README.md'}
MAX_LINES, README_LINES = 420, 20
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.M)


class Skip(Exception):
    """A check cannot run on this machine; the text says why."""


class Tree:
    """The files under version control, and those that are about to be."""

    def __init__(self, root):
        self.root = root
        command = ['git', '-C', root, 'ls-files', '-z', '--cached', '--others', '--exclude-standard']
        listed = subprocess.run(command, capture_output=True, text=True, check=False)
        if listed.returncode == 0:
            names = listed.stdout.split('\0')
        else:  # a release archive
            names = [os.path.relpath(os.path.join(folder, f), root) for folder, _, files in os.walk(root) for f in files]
            names = [n for n in names if not n.startswith(('build', 'run-', '.git/', '.cache/')) and not n.endswith('.pyc')]  # as .gitignore
        self.files = sorted({n for n in names if n and os.path.isfile(os.path.join(root, n))})

    def text(self, name):
        with open(os.path.join(self.root, name), encoding='utf-8', errors='replace') as f:
            return f.read()

    def sources(self, endings=SOURCES):
        return [n for n in self.files if n.endswith(endings)]

    def includes(self, name):
        """[(line, path, in_tree)], in_tree when written with quotes or as <fovea/...>."""
        text, found = self.text(name), []
        for m in INCLUDE.finditer(text):
            path = m[2].removeprefix('fovea/') if m[1] == '<' else m[2]
            found.append((text.count('\n', 0, m.start()) + 1, path, m[1] == '"' or path != m[2]))
        return found

    def reach(self, name):
        """Every tree header that `name` includes, directly or not."""
        seen, stack = set(), [name]
        while stack:
            for _, path, in_tree in self.includes(stack.pop()):
                if in_tree and path not in seen and path in self.files:
                    seen.add(path)
                    stack.append(path)
        return seen


def check_layers(tree):
    """core <- {backends, autograd} <- nn <- models <- {tests, tools}, and the rooms with narrower doors."""
    includers = {prefix: [] for prefix in FEW_INCLUDERS}
    for name in tree.sources(('.h', '.cpp', '.cu', '.inc')):
        layer, folder = name.split('/')[0], os.path.dirname(name)
        for line, path, in_tree in tree.includes(name):
            for prefix in FEW_INCLUDERS:
                if path.startswith(prefix):
                    includers[prefix].append(name)
            if not in_tree or path == 'fovea.h':
                continue
            at = f'{name}:{line}'
            if path not in tree.files:
                yield f'{at}: "{path}" is not in the tree (includes are written from its root)'
            elif path.split('/')[0] not in LAYERS.get(layer, ()):
                yield f'{at}: {layer} may not include "{path}"'
            elif path.startswith('autograd/proof/') and layer in ('core', 'autograd', 'nn') and folder != 'autograd/proof':
                yield f'{at}: only models, tests and tools may include "{path}", which is of another library'
            elif folder in ROOMS and not path.startswith(ROOMS[folder]):
                yield f'{at}: {folder} may not include "{path}"'
        if re.search(r'dual', os.path.basename(name)):
            for path in sorted(tree.reach(name)):
                if re.search(r'grad|backward|derivative', os.path.basename(path)):
                    yield f'{name}: dual code reaches "{path}", a hand-written derivative'
    for name, allowed in CLOSED.items():
        if name in tree.files:
            for path in sorted(tree.reach(name) - allowed):
                yield f'{name}: reaches "{path}" (may reach {", ".join(sorted(allowed & set(tree.files)))})'
    for prefix, most in FEW_INCLUDERS.items():
        if len(includers[prefix]) > most:
            yield f'<{prefix}...> is included by {", ".join(sorted(includers[prefix]))} (expected {most} at most)'


def check_size(tree):
    for name in tree.sources():
        lines = tree.text(name).count('\n')
        if lines > MAX_LINES:
            yield f'{name}: {lines} lines (expected {MAX_LINES} at most). Is there a seam to cut along?'


def check_format(tree):
    """clang-format 14, the version of Debian 12; tools/dev/format mends."""
    program = shutil.which('clang-format-14') or shutil.which('clang-format')
    if not program:
        raise Skip('clang-format is not installed (tools/setup --tests installs it)')
    names = tree.sources(('.h', '.cpp', '.cu', '.inc'))
    run = subprocess.run([program, '--dry-run', *names], cwd=tree.root, capture_output=True, text=True, check=False)
    for name in sorted(set(re.findall(r'^(\S+?):\d+:\d+: warning', run.stderr, re.M))):
        yield f'{name}: not formatted. Run tools/dev/format'
    if run.returncode:
        yield run.stderr.strip()


def check_readmes(tree):
    """Every folder with sources says what belongs in it, in at most 20 lines; the top level holds the seven folders only."""
    for name in tree.files:
        top = name.split('/')[0]
        if not top.startswith('.') and top not in TOP_LEVEL:
            yield f'{top}: does not belong at the top level'
    for folder in sorted({os.path.dirname(n) for n in tree.sources()} - {''}):
        readme = f'{folder}/README.md'
        if readme not in tree.files:
            yield f'{folder}: has no README.md'
        elif tree.text(readme).count('\n') > README_LINES:
            yield f'{readme}: {tree.text(readme).count(chr(10))} lines (expected {README_LINES} at most)'


def check_listed(tree):
    """A source that no meson.build names is neither built, tested nor installed."""
    for name in tree.sources(('.h', '.cpp', '.cu')):
        folder, base = os.path.split(name)
        if base.endswith('.h') and folder.split('/')[0] in ('backends', 'tests', 'tools'):
            continue  # not installed
        if base.startswith('reject_'):
            continue  # read by must_not_compile.py
        build = f'{folder}/meson.build'
        if build not in tree.files or f"'{base}'" not in tree.text(build):
            yield f'{name}: {build} does not name it'


def check_words(tree):
    """Nothing in the project knows where it lies on somebody's machine."""
    absolute = re.compile(r'(?<![\w.~*/])/(?:work|home|root|Users|mnt|farm)/\w')
    for name in tree.files:
        for number, line in enumerate(tree.text(name).splitlines(), 1):
            if absolute.search(line):
                yield f'{name}:{number}: an absolute path: {line.strip()}'


CHECKS = {name.removeprefix('check_'): f for name, f in list(globals().items()) if name.startswith('check_')}


def main(arguments):
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), '..', '..'))
    if arguments[:1] == ['--root']:
        root, arguments = arguments[1], arguments[2:]
    tree, failed = Tree(root), 0
    for name in arguments or CHECKS:
        try:
            problems = list(CHECKS[name](tree))
        except Skip as why:
            print(why)
            if len(arguments) == 1:
                return 77  # what meson counts as skipped
            continue
        failed += bool(problems)
        for problem in problems:
            print(f'{name}: {problem}')
    print(f'{len(arguments or CHECKS) - failed} passed, {failed} failed')
    return failed > 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
