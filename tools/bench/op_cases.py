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
    for bounds in {'min': -1, 'max': 1}, {'min': 0.5}, {'max': 0.5}:
        for grad in False, True:
            yield 'clamp', bounds, [x], lambda t, b=bounds: t.clamp(**b), grad
    yield 'clamp', {}, [x, -y.abs(), y.abs()], torch.clamp, False
    for grad in False, True:
        yield 'nan_to_num', {}, [x], torch.nan_to_num, grad
    yield 'where', {}, [truth, x, y], torch.where, True
    for name in 'add sub mul eq ne lt'.split():
        yield name, {}, [ids, ids.flip(0)], getattr(torch, name), False
    yield 'clamp', {'min': 3, 'max': 300}, [ids], lambda t: t.clamp(3, 300), False
    yield 'where', {}, [truth, ids, ids.flip(0)], torch.where, False
    yield 'cast', {'dtype': 'bf16'}, [x], lambda t: t.to(torch.bfloat16), False
    yield 'cast', {'dtype': 'i64'}, [x], lambda t: t.to(torch.int64), False
    yield 'cast', {'dtype': 'f32'}, [ids], lambda t: t.to(torch.float32), False
    yield 'cast', {'dtype': 'f32'}, [truth], lambda t: t.to(torch.float32), False


def broadcast(i):
    x, row, column, number = i.x, i.y[0, 0].clone(), i.y[..., :1].clone(), torch.tensor(0.5)
    for name in 'add mul'.split():
        f = getattr(torch, name)
        yield name, {}, [x, i.y], f, True
        for other in row, column:
            yield name, {}, [x, other], f, False
            yield name, {}, [x, other], f, True
        yield name, {'other': 0.5}, [x], lambda t, f=f: f(t, 0.5), True
    for name in 'div maximum lt'.split():
        yield name, {}, [x, row], getattr(torch, name), False
        yield name, {'other': 0.5}, [x], lambda t, f=getattr(torch, name): f(t, number), False
    yield 'where', {}, [i.truth, x, number], torch.where, True
    yield 'where', {}, [i.truth[0, 0].clone(), x, number], torch.where, False
    for grad in False, True:
        yield 'masked_fill', {'value': -1.5}, [x, i.truth], lambda t, m: t.masked_fill(m, -1.5), grad
    for name in 'sub div maximum exp log1p sqrt tanh sigmoid square'.split():
        two = name in ('sub', 'div', 'maximum')
        yield name, {}, [i.positive] + [i.positive.flip(0)] * two, getattr(torch, name), True


def activations(i):
    for name in 'silu mish softplus elu selu leaky_relu hardswish logsigmoid relu6 softsign gelu'.split():
        for grad in False, True:
            yield name, {}, [i.x], getattr(F, name), grad
    for name in 'relu tanh sigmoid'.split():
        yield name, {}, [i.x], getattr(torch, name), True
    for grad in False, True:
        yield 'gelu', {'approximate': 'tanh'}, [i.x], lambda t: F.gelu(t, approximate='tanh'), grad
        yield 'dropout', {'p': 0.1}, [i.x], lambda t: F.dropout(t, 0.1), grad
        yield 'swiglu', {}, [i.x, i.y], lambda a, b: F.silu(a) * b, grad


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
    channels = i.x.shape[1]
    wc, bc = i.y[0, :, 0].clone(), i.y[0, :, 1].clone()
    for grad in False, True:
        yield 'layer_norm', {}, [i.x, w, b], lambda t, w, b: F.layer_norm(t, (i.width,), w, b), grad
        yield 'rms_norm', {}, [i.x, w], lambda t, w: F.rms_norm(t, (i.width,), w), grad
        yield 'group_norm', {'num_groups': 32}, [i.x, wc, bc], lambda t, w, b: F.group_norm(t, 32, w, b), grad
        for dim in -1, 1:
            yield 'normalize', {'dim': dim}, [i.x], lambda t, d=dim: F.normalize(t, dim=d), grad
            yield 'cosine_similarity', {'dim': dim}, [i.x, i.y], lambda a, b, d=dim: F.cosine_similarity(a, b, d), grad
            yield 'var', {'dim': [dim]}, [i.x], lambda t, d=dim: t.var(d), grad
            yield 'std', {'dim': [dim]}, [i.x], lambda t, d=dim: t.std(d), grad
        for p in 1, 2, 3, float('inf'):
            yield ('vector_norm', {'ord': p, 'dim': [-1]}, [i.x],
                   lambda t, p=p: torch.linalg.vector_norm(t, p, -1), grad)
    yield 'vector_norm', {'ord': 2}, [i.x], torch.linalg.vector_norm, True
    yield from rotations(i)


def rotations(i):
    """PyTorch has no rope: what models write, with the cosines and sines at hand."""
    n, time, width = i.x.shape
    heads = i.x.view(n, time, width // 64, 64).transpose(1, 2).contiguous()
    angle = torch.outer(torch.arange(time, dtype=torch.float64), 10000 ** (-torch.arange(32, dtype=torch.float64) / 32))
    c, s = angle.cos().float(), angle.sin().float()
    wide_c, wide_s, turn = torch.cat([c, c], -1), torch.cat([s, s], -1), torch.complex(c, s)

    def halves(t):
        a, b = t.chunk(2, -1)
        return t * wide_c + torch.cat([-b, a], -1) * wide_s

    def pairs(t):
        return torch.view_as_real(torch.view_as_complex(t.view(*t.shape[:-1], 32, 2)) * turn).flatten(3)

    for grad in False, True:
        yield 'rope', {}, [heads], halves, grad
        yield 'rope', {'interleaved': True}, [heads], pairs, grad


def losses(i):
    x, y, logits, pick = i.x, i.y, i.logits, i.pick
    for grad in False, True:
        for name in 'mse_loss l1_loss smooth_l1_loss huber_loss'.split():
            yield name, {}, [x, y], getattr(F, name), grad
        yield ('binary_cross_entropy_with_logits', {}, [x, i.unit.abs()], F.binary_cross_entropy_with_logits, grad)
        yield 'kl_div', {'reduction': 'batchmean'}, [x, i.unit.abs()], lambda a, b: F.kl_div(a, b, reduction='batchmean'), grad
        yield 'nll_loss', {}, [logits, pick], F.nll_loss, grad
        yield 'cross_entropy', {}, [logits, pick], F.cross_entropy, grad
    yield 'mse_loss', {'reduction': 'none'}, [x, y], lambda a, b: F.mse_loss(a, b, reduction='none'), False
    yield 'cross_entropy', {}, [logits, logits.softmax(-1)], F.cross_entropy, True


def arrangements(i):
    x, ids = i.x, i.ids[..., 0].clone()
    yield 'one_hot', {'num_classes': 768}, [ids], lambda t: F.one_hot(t, 768), False
    for name in 'tril triu'.split():
        for grad in False, True:
            yield name, {}, [x], getattr(torch, name), grad
    for shift, dim in (1, 1), (5, -1):
        yield 'roll', {'shifts': [shift], 'dims': [dim]}, [x], lambda t, s=shift, d=dim: t.roll(s, d), True
    yield 'roll', {'shifts': [3]}, [x], lambda t: t.roll(3), False
    yield 'flip', {'dims': [1]}, [x], lambda t: t.flip(1), False
    for mode in 'constant reflect replicate circular'.split():
        yield 'pad', {'pad': [2, 3], 'mode': mode}, [x], lambda t, m=mode: F.pad(t, (2, 3), m), True
    yield 'pad', {'pad': [0, 0, 1, 1]}, [x], lambda t: F.pad(t, (0, 0, 1, 1)), False
    yield 'repeat', {'repeats': [2, 1, 1]}, [x], lambda t: t.repeat(2, 1, 1), True
    yield 'repeat', {'repeats': [1, 1, 2]}, [x], lambda t: t.repeat(1, 1, 2), False
    yield 'repeat_interleave', {'repeats': 2, 'dim': 1}, [x], lambda t: t.repeat_interleave(2, 1), True


def places(i):
    x, y, ids, logits, pick = i.x, i.y, i.ids, i.logits, i.pick
    yield 'gather', {'dim': -1}, [x, ids], lambda t, i: t.gather(-1, i), True
    yield 'gather', {'dim': -1}, [logits, pick[:, None].clone()], lambda t, i: t.gather(-1, i), True
    yield 'scatter_add', {'dim': -1}, [x, ids, y], lambda t, i, s: t.scatter_add(-1, i, s), False
    yield 'index_select', {'dim': 0}, [logits, pick], lambda t, i: t.index_select(0, i), True
    yield 'embedding', {}, [ids[0, :, 0] % x.shape[1], x[0].clone()], F.embedding, True
    yield 'cat', {'dim': -1}, [x, y], lambda *t: torch.cat(t, -1), False
    yield 'cat', {'dim': 1}, [x, y], lambda *t: torch.cat(t, 1), True


FAMILIES = [elementwise, broadcast, activations, reductions, norms, losses, arrangements, places]


def cases(shapes):
    i = Inputs(SHAPES[shapes])
    for family in FAMILIES:
        for case in family(i):
            yield family.__name__, *case
