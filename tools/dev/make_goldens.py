#!/usr/bin/env python3
"""Makes tests/golden/*.txt with NumPy and PyTorch: `make_goldens.py print|promotion [COUNT] > FILE`. Not needed by the build.

With COUNT, `print` gives that many random arrays instead of the chosen ones, for a longer comparison by hand.
"""
import sys
import warnings

import numpy as np

NAMES = {'f32': np.float32, 'f64': np.float64, 'f16': np.float16, 'i64': np.int64, 'i32': np.int32, 'u8': np.uint8,
         'i8': np.int8, 'bool': np.bool_}


def chosen_arrays():
    """(array or what to make of it, dtype): every dtype, and what the layout depends on."""
    nan, inf = float('nan'), float('inf')
    for t in NAMES:
        yield np.array([[1, 0, 1], [0, 1, 1]]), t
        yield np.array(1), t
        yield np.zeros((0,)), t
        yield np.zeros((2, 0, 3)), t
        yield np.arange(24).reshape(2, 3, 4) % 2, t
    for t in ('f32', 'f64', 'f16'):
        yield np.array([1, 2.5, -3.25]), t
        yield np.array([0.1, 0.2, 0.30000001]), t
        yield np.array([1 / 3, 2 / 3, 1e-3]), t
        yield np.array([nan, 1, -2]), t
        yield np.array([inf, -inf, nan]), t
        yield np.array([[inf, 1.5], [-inf, 2]]), t
        yield np.array([1e-5, 1]), t
        yield np.array([1000.5, 1]), t
        yield np.array([1e8, 1]), t
        yield np.array([0.0, -0.0]), t
        yield np.array([1e-7, nan, 123456, -inf]), t
        yield np.array([[1e10, -1e-10], [3, 4]]), t
        yield np.array([1.5e-7, 0.125, 4096]), t
        yield np.array([-7.25e-40, 3e38 if t != 'f64' else 1e150, 1]), t
        yield np.linspace(-1, 1, 30), t
        yield np.linspace(0, 1, 40).reshape(2, 20), t
        yield np.arange(1001), t
        yield np.arange(1200).reshape(30, 40), t
        for x in (0.1, 1e16, 123456789.0, 1e-4, 9.9e-5, 1e15, -2.5, nan, -inf, 3e-320, 0.0, -0.0, 1.7976931348623157e308):
            yield np.array(x), t
    for x in (-128, 127, 0):
        yield np.array([x, 1]), 'i8'
    yield np.array([255, 0, 7]), 'u8'
    yield np.array([[1], [1]]), 'bool'
    yield np.array([-2**63, 2**63 - 1]), 'i64'
    yield np.array([[-2**31, 5], [2**31 - 1, 0]]), 'i32'
    yield np.arange(2000), 'i64'
    yield np.arange(2 * 3 * 400).reshape(2, 3, 400), 'i32'
    yield np.arange(8 * 9 * 10 * 11).reshape(8, 9, 10, 11), 'i32'
    yield np.arange(100) % 3 == 0, 'bool'
    yield np.arange(100), 'u8'


def random_arrays(count):
    r = np.random.default_rng(0)
    for _ in range(count):
        t = r.choice(list(NAMES))
        shape = tuple(r.integers(0, 6, r.integers(0, 4))) if r.random() < .8 else (int(r.integers(1, 90)),)
        if t[0] != 'f':
            yield r.integers(-2**r.integers(1, 60), 2**r.integers(1, 60), shape), t
            continue
        kind = r.integers(0, 4)
        x = r.standard_normal(shape) * 10.0 ** r.integers(-6, 10)
        if kind == 1:
            x = np.asarray(np.round(x, r.integers(0, 5)))
        if kind == 2:  # any bits at all
            bits = {'f16': np.uint16, 'f32': np.uint32, 'f64': np.uint64}[t]
            x = np.asarray(r.integers(0, np.iinfo(bits).max, shape, dtype=bits)).view(NAMES[t])
        if kind == 3:
            x = np.where(r.random(shape) < .3, r.choice([np.nan, np.inf, -np.inf, 0., -0.]), x)
        yield x, t


def print_goldens(count):
    print('# dtype, shape and bytes of an array (or the word arange: its elements are 0, 1, 2, ...), then str() of it, each')
    print('# line behind a bar.')
    for x, t in random_arrays(count) if count else chosen_arrays():
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            a = np.ascontiguousarray(np.asarray(x).astype(NAMES[t])).reshape(np.asarray(x).shape)
        counted = a.size > 90 and t != 'bool' and bool(np.all(a.ravel() == np.arange(a.size).astype(NAMES[t])))
        print(t, ','.join(map(str, a.shape)) or '-', 'arange' if counted else a.tobytes().hex() or '-')
        for line in str(a).split('\n'):
            print('|' + line)


def promotion_goldens():
    import torch
    types = {'f32': torch.float32, 'f64': torch.float64, 'bf16': torch.bfloat16, 'f16': torch.float16, 'i64': torch.int64,
             'i32': torch.int32, 'u8': torch.uint8, 'i8': torch.int8, 'bool': torch.bool}
    names = {v: k for k, v in types.items()} | {torch.int16: 'i16'}
    operands = [(f'{n}[1]', torch.ones(1, dtype=t)) for n, t in types.items()]
    operands += [(f'{n}[]', torch.ones((), dtype=t)) for n, t in types.items()]
    operands += [('true', True), ('1', 1), ('1.5', 1.5)]
    functions = {'add': torch.add, 'sub': torch.sub, 'mul': torch.mul, 'div': torch.div, 'floor_divide': torch.floor_divide,
                 'remainder': torch.remainder, 'pow': torch.pow, 'lt': torch.lt, 'eq': torch.eq,
                 'maximum': torch.maximum, 'where': lambda a, b: torch.where(torch.tensor([True]), a, b)}
    print('# Per op a table: rows are left operands, columns right ones; an entry is the dtype of the result, - where there')
    print('# is none. f32[1] has one axis, f32[] none; true, 1 and 1.5 are written numbers.')
    for name, f in functions.items():
        print(name, *(n for n, _ in operands))
        for left, a in operands:
            row = [left]
            for _, b in operands:
                try:
                    if name == 'maximum':  # takes tensors only
                        raise_if_number = [torch.is_tensor(v) for v in (a, b)]
                        assert all(raise_if_number)
                    if not torch.is_tensor(a) and not torch.is_tensor(b) and name != 'where':
                        row.append('-')
                        continue
                    if name in ('lt', 'eq', 'add', 'sub', 'mul', 'div') and not torch.is_tensor(a):
                        op = {'lt': lambda p, q: p < q, 'eq': lambda p, q: p == q, 'add': lambda p, q: p + q,
                              'sub': lambda p, q: p - q, 'mul': lambda p, q: p * q, 'div': lambda p, q: p / q}[name]
                        row.append(names[op(a, b).dtype])
                    else:
                        row.append(names[f(a, b).dtype])
                except (RuntimeError, TypeError, AssertionError):
                    row.append('-')
            print(*row)


if __name__ == '__main__':
    if sys.argv[1] == 'print':
        print_goldens(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    else:
        promotion_goldens()
