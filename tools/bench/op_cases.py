"""What is timed: (name of the function in `fovea op`, attributes, inputs, PyTorch's function, whether the backward is timed too)."""
import torch
import torch.nn.functional as F

SHAPES = {'gpt2': dict(x=(8, 1024, 768), logits=(512, 50257)),
          'bert': dict(x=(8, 128, 768), logits=(128, 30522))}
# Compositions are enough for these, and so is their ratio.
COMPOSED = {'conv1d', 'conv2d', 'max_pool1d', 'avg_pool1d', 'rnn_tanh', 'rnn_relu', 'gru', 'lstm'}


class Inputs:
    """The tensors that the cases share."""

    def __init__(self, shape):
        self.g = torch.Generator().manual_seed(1)
        self.shape, self.width, self.rows = shape['x'], shape['x'][-1], shape['logits'][0]
        self.x, self.y, self.unit = self.normal(), self.normal(), self.normal().sigmoid() * 1.98 - 0.99
        self.positive, self.logits = self.x.abs() + 0.1, self.normal(shape['logits'])
        self.ids, self.truth = self.integers(768, shape['x']), self.x > 0
        self.pick = self.integers(self.rows, (self.rows,))

    def normal(self, s=None):
        return torch.randn(s or self.shape, generator=self.g)

    def integers(self, n, s):
        return torch.randint(0, n, s, generator=self.g)


def elementwise(i):
    x, y, unit, positive, ids, truth = i.x, i.y, i.unit, i.positive, i.ids, i.truth
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
    yield 'cast', {'dtype': 'bf16'}, [x], lambda t: t.to(torch.bfloat16), False
    yield 'cast', {'dtype': 'i64'}, [x], lambda t: t.to(torch.int64), False
    yield 'cast', {'dtype': 'f32'}, [ids], lambda t: t.to(torch.float32), False
    yield 'cast', {'dtype': 'f32'}, [truth], lambda t: t.to(torch.float32), False


def activations(i):
    for name in 'silu mish softplus elu selu leaky_relu hardswish logsigmoid relu6 softsign gelu'.split():
        for grad in False, True:
            yield name, {}, [i.x], getattr(F, name), grad
    yield 'dropout', {'p': 0.1}, [i.x], lambda t: F.dropout(t, 0.1), False


def reductions(i):
    x, logits = i.x, i.logits
    for name in 'sum mean amax amin prod any all'.split():
        for dim in [-1], [0], [1]:
            t = i.truth if name in ('any', 'all') else i.unit + 1 if name == 'prod' else x
            d = dim[0] if name in ('prod', 'any', 'all') else dim
            yield name, {'dim': dim}, [t], lambda t, name=name, d=d: getattr(torch, name)(t, d), False
    yield 'sum', {}, [x], torch.sum, False
    yield 'argmax', {'dim': -1}, [logits], lambda t: t.argmax(-1), False
    yield 'argmin', {'dim': 0}, [logits], lambda t: t.argmin(0), False
    for dim in -1, 1:
        yield 'cumsum', {'dim': dim}, [x], lambda t, dim=dim: t.cumsum(dim), False
        yield 'logsumexp', {'dim': [dim]}, [x], lambda t, dim=dim: t.logsumexp(dim), False
    yield 'sort', {'dim': -1}, [x], lambda t: t.sort(dim=-1, stable=True), False
    yield 'topk', {'k': 50}, [logits[:32].clone()], lambda t: t.topk(50), False


def norms(i):
    w, b = i.unit[0, 0].clone(), i.y[0, 0].clone()
    for dim in -1, 1:
        yield 'softmax', {'dim': dim}, [i.x], lambda t, dim=dim: t.softmax(dim), True
        yield 'log_softmax', {'dim': dim}, [i.x], lambda t, dim=dim: t.log_softmax(dim), True
    yield 'softmax', {'dim': -1}, [i.logits], lambda t: t.softmax(-1), True
    yield 'layer_norm', {}, [i.x, w, b], lambda t, w, b: F.layer_norm(t, (i.width,), w, b), True


def places(i):
    x, y, ids, logits, pick = i.x, i.y, i.ids, i.logits, i.pick
    yield 'gather', {'dim': -1}, [x, ids], lambda t, i: t.gather(-1, i), True
    yield 'gather', {'dim': -1}, [logits, pick[:, None].clone()], lambda t, i: t.gather(-1, i), True
    yield 'scatter_add', {'dim': -1}, [x, ids, y], lambda t, i, s: t.scatter_add(-1, i, s), False
    yield 'index_select', {'dim': 0}, [logits, pick], lambda t, i: t.index_select(0, i), True
    yield 'embedding', {}, [ids[0, :, 0] % x.shape[1], x[0].clone()], F.embedding, True
    yield 'cat', {'dim': -1}, [x, y], lambda *t: torch.cat(t, -1), False
    yield 'cat', {'dim': 1}, [x, y], lambda *t: torch.cat(t, 1), True


FAMILIES = [elementwise, activations, reductions, norms, places]


def cases(shapes):
    i = Inputs(SHAPES[shapes])
    for family in FAMILIES:
        for case in family(i):
            yield family.__name__, *case
