#!/usr/bin/env python3
"""Instructions per op on the path of a call, by cachegrind, against tools/dev/instructions.json.

count_instructions.py PROGRAM [--accept]     PROGRAM: tests/autograd/dispatch_count as built
Timings drift 5 % between identical builds, instructions do not. A figure must stay below its cap and within 3 % of the
accepted one; --accept writes what was measured, after a review of why it moved.
"""
import json
import os
import re
import shutil
import subprocess
import sys

FIGURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'instructions.json')
OPS = {'nograd': 1, 'grad': 2, 'fwdbwd': 10}  # per iteration
SHORT, LONG = 1000, 4000
MARGIN = 1.03


def instructions(program, variant, iterations):
    command = ['valgrind', '--tool=cachegrind', '--cache-sim=no', '--cachegrind-out-file=/dev/null', program, variant, str(iterations)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, 'OMP_NUM_THREADS': '1'})
    found = re.search(r'I\s+refs:\s+([\d,]+)', run.stderr)
    if run.returncode or not found:
        sys.exit(f'{" ".join(command)}: exit {run.returncode}\n{run.stdout}{run.stderr}')
    return int(found[1].replace(',', ''))


def main(arguments):
    if not shutil.which('valgrind'):
        print('valgrind is not installed (tools/setup --tests installs it)')
        return 77
    with open(FIGURES, encoding='utf-8') as f:
        figures = json.load(f)
    program, failed = arguments[0], 0
    for variant, ops in OPS.items():
        row = figures[variant]
        more = instructions(program, variant, LONG) - instructions(program, variant, SHORT)
        measured = more / ((LONG - SHORT) * ops)
        allowed = min(row['cap'], row['accepted'] * MARGIN)
        bad = not measured <= allowed
        failed += bad
        print(f'{variant}: {measured:.0f} instructions per op, accepted {row["accepted"]}, cap {row["cap"]}'
              + (f': over {allowed:.0f}. What got onto the path?' if bad else ''))
        if not bad and measured < row['accepted'] / MARGIN:
            print(f'{variant}: fewer than accepted; count_instructions.py {program} --accept keeps it so')
        row['accepted'] = round(measured)
    if '--accept' in arguments:
        with open(FIGURES, 'w', encoding='utf-8') as f:
            f.write('{\n' + ',\n'.join(f'  "{v}": {json.dumps(r)}' for v, r in figures.items()) + '\n}\n')
        return 0
    print(f'{len(OPS) - failed} passed, {failed} failed')
    return failed > 0


sys.exit(main(sys.argv[1:]))
