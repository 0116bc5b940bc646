#!/usr/bin/env python3
"""Every check of tools/dev/checks.py accepts a small good tree and finds the one thing broken in it."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'tools', 'dev'))
import checks  # noqa: E402

GOOD = {
    'meson.build': "project('x')\n",
    'README.md': '# x\n',
    'core/README.md': '# core\n',
    'core/meson.build': "x += files('a.cpp', 'a.h', 'backend.h', 'dtype.h', 'dual.h')\n",
    'core/a.h': '#pragma once\n',
    'core/a.cpp': '#include "core/a.h"\n\n#include <vector>\n',
    'core/backend.h': '#pragma once\n#include "core/dtype.h"\n',
    'core/dtype.h': '#pragma once\n',
    'core/dual.h': '#pragma once\n#include "core/dtype.h"\n',
    'nn/README.md': '# nn\n',
    'nn/meson.build': "x += files('a.h')\n",
    'nn/a.h': '#pragma once\n#include "core/a.h"\n',
    'nn/io/README.md': '# io\n',
    'nn/io/meson.build': "x += files('b.h')\n",
    'nn/io/b.h': '#pragma once\n',
    'tools/README.md': '# tools\n',
    'tools/meson.build': "x += files('m.cpp', 'n.cpp', 'o.cpp')\n",
    'tools/m.cpp': '#include <CLI/CLI.hpp>\n#include <fovea/core/a.h>\n#include <nlohmann/json.hpp>\n#include <oneapi/dnnl/dnnl.hpp>\n',
    'tools/n.cpp': '#include <nlohmann/json.hpp>\n',
    'tools/o.cpp': '\n',
}
HOME = '/' + 'home/someone'
BAD = [  # the check, what breaks the tree, a word of the problem it must name
    ('layers', {'core/a.cpp': '#include "nn/a.h"\n'}, 'core may not include "nn/a.h"'),
    ('layers', {'nn/a.h': '#include "backends/x.h"\n', 'backends/x.h': ''}, 'nn may not include "backends/x.h"'),
    ('layers', {'nn/a.h': '#include <fovea/models/x.h>\n', 'models/x.h': ''}, 'nn may not include "models/x.h"'),
    ('layers', {'autograd/a.h': '#include "backends/x.h"\n', 'backends/x.h': ''}, 'autograd may not include'),
    ('layers', {'backends/a.h': '#include "autograd/x.h"\n', 'autograd/x.h': ''}, 'backends may not include'),
    ('layers', {'autograd/a.h': '#include "autograd/proof/x.h"\n', 'autograd/proof/x.h': ''}, 'another library'),
    ('layers', {'nn/io/b.h': '#include "nn/a.h"\n'}, 'nn/io may not include "nn/a.h"'),
    ('layers', {'core/a.cpp': '#include "a.h"\n'}, 'is not in the tree'),
    ('layers', {'core/backend.h': '#include "core/a.h"\n'}, 'core/backend.h: reaches "core/a.h"'),
    ('layers', {'core/dtype.h': '#include "core/a.h"\n'}, 'core/dual.h: reaches "core/a.h"'),
    ('layers', {'core/dual_ops.h': '#include "core/sin_grad.h"\n', 'core/sin_grad.h': ''}, 'a hand-written derivative'),
    ('layers', {'tools/n.cpp': '#include <CLI/App.hpp>\n'}, '<CLI/...> is included by tools/m.cpp, tools/n.cpp'),
    ('layers', {'tools/n.cpp': '#include <oneapi/dnnl/dnnl.h>\n'}, '<oneapi/...> is included by'),
    ('layers', {'tools/o.cpp': '#include <nlohmann/json.hpp>\n', 'core/a.cpp': '#include <nlohmann/json_fwd.hpp>\n'}, '<nlohmann/'),
    ('size', {'core/a.cpp': '\n' * 421}, 'core/a.cpp: 421 lines'),
    ('format', {'core/a.cpp': 'int  a ;\n'}, 'core/a.cpp: not formatted'),
    ('readmes', {'nn/README.md': None}, 'nn: has no README.md'),
    ('readmes', {'nn/README.md': '\n' * 21}, 'nn/README.md: 21 lines'),
    ('readmes', {'extra/README.md': ''}, 'extra: does not belong'),
    ('listed', {'nn/forgotten.cpp': ''}, 'nn/forgotten.cpp: nn/meson.build does not name it'),
    ('listed', {'nn/io/meson.build': None}, 'nn/io/b.h: nn/io/meson.build does not name it'),
    ('words', {'core/a.cpp': f'// see {HOME}/notes\n'}, 'core/a.cpp:1: an absolute path'),
]


def problems(check, changes):
    with tempfile.TemporaryDirectory() as root:
        for name, text in {**GOOD, **changes}.items():
            if text is not None:
                os.makedirs(os.path.dirname(os.path.join(root, name)) or root, exist_ok=True)
                with open(os.path.join(root, name), 'w', encoding='utf-8') as f:
                    f.write(text)
        return list(checks.CHECKS[check](checks.Tree(root)))


def main():
    failed = passed = 0
    cases = [(name, {}, None) for name in checks.CHECKS] + BAD
    for check, changes, expected in cases:
        try:
            found = problems(check, changes)
        except checks.Skip:
            continue
        good = any(expected in p for p in found) if expected else not found
        passed, failed = passed + good, failed + (not good)
        if not good:
            print(f'{check}: {changes}: expected {expected!r}, found {found}')
    broken = {check for check, _, _ in BAD}
    for name in sorted(set(checks.CHECKS) - broken):
        failed += 1
        print(f'{name}: no case breaks it')
    print(f'{passed} passed, {failed} failed')
    return failed > 0


sys.exit(main())
