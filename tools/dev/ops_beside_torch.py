#!/usr/bin/env python3
"""Times every op beside PyTorch's at the shapes of GPT-2 and BERT, in one run, and checks the values first.

  PYTHON_WITH_TORCH ops_beside_torch.py build/tools/fovea [--only WORD,...] [--calls 10] [--shapes gpt2|bert]

Two threads each. Start it with a malloc that keeps its memory (LD_PRELOAD=libjemalloc.so.2), as our arena does: else
PyTorch's times are those of page faults. By hand, never in the tests: nothing of Fovea needs PyTorch.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

SHAPES = {'gpt2': dict(x=(8, 1024, 768), logits=(512, 50257)),
          'bert': dict(x=(8, 128, 768), logits=(128, 30522))}


def cases(shape):
    """(name, attributes, inputs, PyTorch's function, whether the backward is timed too)."""
    g = torch.Generator().manual_seed(1)

    def normal(s=shape['x'], scale=1.0):
        return torch.randn(s, generator=g) * scale
    x, y, unit = normal(), normal(), normal().sigmoid() * 1.98 - 0.99
    positive, logits = x.abs() + 0.1, normal(shape['logits'])
    ids, truth = torch.randint(0, 768, shape['x'], generator=g), x > 0
    width, rows = shape['x'][-1], shape['logits'][0]
    pick = torch.randint(0, rows, (rows,), generator=g)
    for name in ('neg abs sign exp expm1 sin cos tan atan sinh cosh tanh sigmoid erf relu square reciprocal '
                 'floor ceil round trunc isnan isinf isfinite logical_not').split():
        yield name, {}, [x], getattr(torch, name), False
    for name in 'log log1p log2 log10 sqrt rsqrt'.split():
        yield name, {}, [positive], getattr(torch, name), False
    for name in 'asin acos'.split():
        yield name, {}, [unit], getattr(torch, name), False
    for name in 'add sub mul div maximum minimum fmod remainder floor_divide atan2 hypot logaddexp eq lt'.split():
        yield name, {}, [x, y], getattr(torch, name), False
    for name in 'logical_and logical_or logical_xor'.split():
        yield name, {}, [truth, ~truth], getattr(torch, name), False
    yield 'pow', {}, [positive, y], torch.pow, False
    for e in (2, 3, 0.5, -1, 2.5):
        yield 'pow', {'exponent': e}, [positive], lambda t, e=e: torch.pow(t, e), False
    yield 'lerp', {}, [x, y, unit], torch.lerp, False
    yield 'lerp', {'weight': 0.3}, [x, y], lambda a, b: torch.lerp(a, b, 0.3), False
    yield 'addcmul', {}, [x, y, unit], torch.addcmul, False
    yield 'clamp', {'min': -1, 'max': 1}, [x], lambda t: t.clamp(-1, 1), False
    yield 'nan_to_num', {}, [x], torch.nan_to_num, False
    yield 'where', {}, [truth, x, y], torch.where, False
    for name in 'add sub mul eq lt'.split():
        yield name, {}, [ids, ids.flip(0)], getattr(torch, name), False
    yield 'where', {}, [truth, ids, ids.flip(0)], torch.where, False
    for name in 'silu mish softplus elu selu leaky_relu hardswish logsigmoid relu6 softsign gelu'.split():
        for grad in False, True:
            yield name, {}, [x], getattr(F, name), grad
    yield 'cast', {'dtype': 'bf16'}, [x], lambda t: t.to(torch.bfloat16), False
    yield 'cast', {'dtype': 'i64'}, [x], lambda t: t.to(torch.int64), False
    yield 'cast', {'dtype': 'f32'}, [ids], lambda t: t.to(torch.float32), False
    yield 'cast', {'dtype': 'f32'}, [truth], lambda t: t.to(torch.float32), False
    for name in 'sum mean amax amin prod any all'.split():
        for dim in [-1], [0], [1]:
            t = truth if name in ('any', 'all') else unit + 1 if name == 'prod' else x
            if name in ('prod', 'any', 'all'):
                yield name, {'dim': dim}, [t], lambda t, name=name, dim=dim: getattr(torch, name)(t, dim[0]), False
            else:
                yield name, {'dim': dim}, [t], lambda t, name=name, dim=dim: getattr(torch, name)(t, dim), False
    yield 'sum', {}, [x], torch.sum, False
    yield 'argmax', {'dim': -1}, [logits], lambda t: t.argmax(-1), False
    yield 'argmin', {'dim': 0}, [logits], lambda t: t.argmin(0), False
    for dim in -1, 1:
        yield 'cumsum', {'dim': dim}, [x], lambda t, dim=dim: t.cumsum(dim), False
        yield 'softmax', {'dim': dim}, [x], lambda t, dim=dim: t.softmax(dim), True
        yield 'log_softmax', {'dim': dim}, [x], lambda t, dim=dim: t.log_softmax(dim), True
        yield 'logsumexp', {'dim': [dim]}, [x], lambda t, dim=dim: t.logsumexp(dim), False
    yield 'softmax', {'dim': -1}, [logits], lambda t: t.softmax(-1), True
    yield 'layer_norm', {}, [x, unit[0, 0].clone(), y[0, 0].clone()], lambda t, w, b: F.layer_norm(t, (width,), w, b), True
    yield 'sort', {'dim': -1}, [x], lambda t: t.sort(dim=-1, stable=True), False
    yield 'topk', {'k': 50}, [logits[:32].clone()], lambda t: t.topk(50), False
    yield 'gather', {'dim': -1}, [x, ids], lambda t, i: t.gather(-1, i), True
    yield 'gather', {'dim': -1}, [logits, pick[:, None].clone()], lambda t, i: t.gather(-1, i), True
    yield 'scatter_add', {'dim': -1}, [x, ids, y], lambda t, i, s: t.scatter_add(-1, i, s), False
    yield 'index_select', {'dim': 0}, [logits, pick], lambda t, i: t.index_select(0, i), True
    yield 'embedding', {}, [ids[0, :, 0] % x.shape[1], x[0].clone()], F.embedding, True
    yield 'cat', {'dim': -1}, [x, y], lambda *t: torch.cat(t, -1), False
    yield 'cat', {'dim': 1}, [x, y], lambda *t: torch.cat(t, 1), True
    yield 'dropout', {'p': 0.1}, [x], lambda t: F.dropout(t, 0.1), False


def flat(r):
    return list(r) if isinstance(r, (tuple, list)) else [r]


def run_theirs(f, x, cotangents, calls):
    leaves = [t.requires_grad_() for t in x if t.is_floating_point()] if cotangents else []
    s, out, g = [], None, []
    for i in range(-2, calls):
        begin = time.perf_counter()
        out = flat(f(*x))
        if leaves:
            g = torch.autograd.grad(out, leaves, cotangents, allow_unused=True)
        if i >= 0:
            s.append(time.perf_counter() - begin)
    return statistics.median(s), [t.detach() for t in out], g


def main():
    p = argparse.ArgumentParser()
    p.add_argument('program')
    p.add_argument('--only', default='')
    p.add_argument('--calls', type=int, default=10)
    p.add_argument('--shapes', default='gpt2', choices=SHAPES)
    a = p.parse_args()
    torch.set_num_threads(2)
    wanted, bad = set(filter(None, a.only.split(','))), 0
    with tempfile.TemporaryDirectory(dir='/dev/shm' if os.path.isdir('/dev/shm') else None) as d:
        for name, attrs, x, f, grad in cases(SHAPES[a.shapes]):
            if wanted and name not in wanted:
                continue
            files = {f'in.{i}': t.detach().contiguous() for i, t in enumerate(x)}
            cotangents = [torch.ones_like(t) for t in flat(f(*x)) if t.is_floating_point()] if grad else []
            files |= {f'cot.{i}': t for i, t in enumerate(cotangents)}
            save_file(files, f'{d}/in')
            command = [a.program, 'op', name, '--in', f'{d}/in', '--out', f'{d}/out', '--attrs', json.dumps(attrs),
                       '--time', str(a.calls), '--threads', '2', '--json'] + ['--grad'] * grad
            done = subprocess.run(command, capture_output=True, text=True)
            label = f'{name} {json.dumps(attrs) if attrs else ""} {str(x[0].dtype)[6:]}{list(x[0].shape)}'
            label += ' fwd+bwd' * grad
            if done.returncode:
                print(f'{label}: {done.stderr.strip()}')
                bad += 1
                continue
            ours = json.loads(done.stdout.splitlines()[-1])['median_s']
            theirs, out, g = run_theirs(f, x, cotangents, a.calls)
            mine = load_file(f'{d}/out')
            pairs = [(mine[f'out.{i}'], t) for i, t in enumerate(out)]
            pairs += [(mine[f'grad.{i}'], t) for i, t in zip([i for i, t in enumerate(x) if t.is_floating_point()], g)]
            same = name == 'dropout' or all(torch.allclose(m.double(), t.double(), 1e-4, 1e-4, equal_nan=True)
                                            for m, t in pairs if t is not None)
            bad += not same
            print(f'{ours / theirs:6.2f}  {ours * 1e3:9.3f} ms  {theirs * 1e3:9.3f} ms  {label}' +
                  '  VALUES DIFFER' * (not same), flush=True)
    return bad > 0


if __name__ == '__main__':
    raise SystemExit(main())
