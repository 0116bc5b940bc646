#!/usr/bin/env python3
"""Times every op beside PyTorch's at the shapes of GPT-2 and BERT, in one run, and checks the values first.

  PYTHON_WITH_TORCH ops.py build/tools/fovea [--only WORD,...] [--calls 10] [--rounds 3] [--shapes gpt2|bert]
                                              [--dtype f32|f64|bf16|f16] [--table FILE]

Two threads each. Start it with a malloc that keeps its memory, as our arena does (LD_PRELOAD=libjemalloc.so.2 and
MALLOC_CONF=oversize_threshold:0,dirty_decay_ms:-1,muzzy_decay_ms:-1; by itself jemalloc gives blocks of 8 MB and more
back at once): else PyTorch's times are those of page faults. A ratio is the median over rounds in which one follows the
other at once.
--only takes names of ops and of families (op_cases.py); --table writes the ratios in groups, as the notes have them.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

import torch
from op_cases import DRAWN, SHAPES, cases
from safetensors.torch import load_file, save_file


def flat(r):
    return list(r) if isinstance(r, (tuple, list)) else [r]


def run_theirs(f, x, cotangents, calls):
    x = [t.detach().requires_grad_(bool(cotangents) and t.is_floating_point()) for t in x]
    leaves = [t for t in x if t.requires_grad]
    s, out, g = [], None, []
    warm, i = time.perf_counter() + 1e-3, -2  # as `fovea op --time` does
    while i < calls:
        begin = time.perf_counter()
        out = flat(f(*x))
        if leaves:
            g = torch.autograd.grad([t for t in out if t.requires_grad], leaves, cotangents, allow_unused=True)
        if i >= 0:
            s.append(time.perf_counter() - begin)
        if i != -1 or time.perf_counter() >= warm:
            i += 1
    return statistics.median(s), [t.detach() for t in out], g


DTYPES = {'f32': (torch.float32, 1e-4), 'f64': (torch.float64, 1e-4), 'bf16': (torch.bfloat16, 0.03), 'f16': (torch.float16, 0.01)}


def agree(mine, out, x, grads, tolerance):
    pairs = [(mine[f'out.{i}'], t) for i, t in enumerate(out)]
    pairs += [(mine[f'grad.{i}'], t) for i, t in zip([i for i, t in enumerate(x) if t.is_floating_point()], grads)]
    return all(torch.allclose(m.double(), t.double(), tolerance, tolerance, equal_nan=True) for m, t in pairs if t is not None)


def alike(name, mine, theirs):
    """Draws differ, but not what they are draws of: a permutation is one, means and spreads are those of the many."""
    a, b = mine['out.0'].double().flatten(), theirs[0].double().flatten()
    if a.shape != b.shape or mine['out.0'].dtype != theirs[0].dtype:
        return False
    if name == 'randperm':
        return torch.equal(a.sort()[0], b.sort()[0])
    spread = max(b.std().item(), 1e-9)
    return (abs(a.mean() - b.mean()) < 8 * spread / a.numel() ** 0.5 + 1e-9).item() and \
        (a.numel() < 1000 or 0.9 * spread < a.std().item() < 1.1 * spread)


def bandwidth(calls=20):
    """Bytes a second that two threads read and write in a copy of 25 MB: what elementwise ops are held against."""
    a = torch.ones(8, 1024, 768)
    b = torch.empty_like(a)
    s = []
    for _ in range(calls):
        begin = time.perf_counter()
        b.copy_(a)
        s.append(time.perf_counter() - begin)
    return 2 * a.numel() * 4 / statistics.median(s)


GROUPS = [(2, 1e9), (1.2, 2), (1.05, 1.2), (1, 1.05), (0.8, 1), (0.5, 0.8), (0.2, 0.5), (0, 0.2)]


def write_table(path, rows):
    with open(path, 'w') as f:
        for low, high in GROUPS:
            found = sorted(((r, label) for r, label in rows if low <= r < high), reverse=True)
            if found:
                what = f'above {low}' if high > 1e8 else f'{low} to {high}'
                f.write(f'- *{what}*: ' + ', '.join(f'{label} {r:.2f}' for r, label in found) + '\n')


def main():
    p = argparse.ArgumentParser()
    p.add_argument('program')
    p.add_argument('--only', default='')
    p.add_argument('--calls', type=int, default=10)
    p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--shapes', default='gpt2', choices=SHAPES)
    p.add_argument('--dtype', default='f32', choices=DTYPES)
    p.add_argument('--table')
    a = p.parse_args()
    torch.set_num_threads(2)
    dtype, tolerance = DTYPES[a.dtype]
    wanted, bad, rows = set(filter(None, a.only.split(','))), 0, []
    print(f'a copy moves {bandwidth() / 1e9:.1f} GB/s; PyTorch {torch.__version__}')
    usual = SHAPES[a.shapes]['x']
    with tempfile.TemporaryDirectory(dir='/dev/shm' if os.path.isdir('/dev/shm') else None) as d:
        for family, name, attrs, x, f, grad in cases(a.shapes):
            if wanted and name not in wanted and family not in wanted:
                continue
            x = [t.to(dtype) if t.is_floating_point() else t for t in x]
            try:
                shown = flat(f(*x))
            except (NotImplementedError, RuntimeError) as e:
                print(f'{name}: PyTorch has none: {str(e).splitlines()[0]}')
                continue
            save_in = {f'in.{i}': t.detach().contiguous() for i, t in enumerate(x)}
            cotangents = [torch.ones_like(t) for t in shown if t.is_floating_point()] if grad else []
            save_file(save_in | {f'cot.{i}': t for i, t in enumerate(cotangents)}, f'{d}/in')
            command = [a.program, 'op', name, *(['--in', f'{d}/in'] if x else []), '--out', f'{d}/out', '--attrs', json.dumps(attrs),
                       '--time', str(a.calls), '--threads', '2', '--json'] + ['--grad'] * grad
            label = name + (' ' + ' '.join(f'{k}={v}' for k, v in attrs.items()) if attrs else '')
            if x:
                label += {dtype: '', torch.int64: ' i64', torch.bool: ' bool'}.get(x[0].dtype, ' ' + str(x[0].dtype)[6:])
                label += f' {list(x[0].shape)}' if x[0].shape != usual else ''
            label += ' fwd+bwd' * grad
            ours, theirs, ratios, same = [], [], [], True
            for _ in range(a.rounds):
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    print(f'{label}: {done.stderr.strip()}')
                    break
                ours.append(json.loads(done.stdout.splitlines()[-1])['median_s'])
                seconds, out, g = run_theirs(f, x, cotangents, a.calls)
                theirs.append(seconds)
                ratios.append(ours[-1] / seconds)
                mine = load_file(f'{d}/out')
                same = same and (alike(name, mine, out) if name in DRAWN else agree(mine, out, x, g, tolerance))
            bad += not ratios or not same
            if not ratios:
                continue
            rows.append((statistics.median(ratios), label))
            moved = sum(t.numel() * t.element_size() for t in [*x, *out]) / statistics.median(ours) / 1e9
            print(f'{rows[-1][0]:6.2f}  {statistics.median(ours) * 1e3:9.3f} ms  {statistics.median(theirs) * 1e3:9.3f} ms'
                  f'  {moved:6.1f} GB/s  {label}' + '  VALUES DIFFER' * (not same), flush=True)
    if a.table:
        write_table(a.table, rows)
    return bad > 0


if __name__ == '__main__':
    raise SystemExit(main())
