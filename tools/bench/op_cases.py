"""What is timed: (name of the function in `fovea op`, attributes, inputs, PyTorch's function, whether the backward is timed too)."""
import torch
import torch.nn.functional as F

SHAPES = {'gpt2': dict(x=(8, 1024, 768), logits=(512, 50257)),
          'bert': dict(x=(8, 128, 768), logits=(128, 30522))}
# What draws at random: only shapes are compared.
DRAWN = {'dropout', 'rand_like', 'randn_like', 'randint_like', 'bernoulli', 'randperm', 'multinomial'}


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
    x, logits, positive = i.x, i.logits, i.unit + 1
    for name in 'sum mean amax logsumexp var std'.split():
        for dim in [-1], [0], [1], [0, 1], [1, 2], []:
            for grad in False, True:
                f = lambda t, name=name, dim=dim: getattr(torch, name)(t, dim or [0, 1, 2])
                yield name, {'dim': dim} if dim else {}, [x], f, grad
    for name in 'amin prod any all'.split():
        for dim in [-1], [0], [1]:
            t = i.truth if name in ('any', 'all') else positive if name == 'prod' else x
            d = dim if name == 'amin' else dim[0]
            yield name, {'dim': dim}, [t], lambda t, name=name, d=d: getattr(torch, name)(t, d), False
    for dim in [-1], [0], [1]:
        yield 'prod', {'dim': dim}, [positive], lambda t, d=dim[0]: t.prod(d), True
    for name in 'max', 'min':
        for dim in -1, 0, 1:
            for grad in False, True:
                yield name, {'dim': dim}, [x], lambda t, name=name, dim=dim: getattr(t, name)(dim), grad
    for name in 'argmax', 'argmin':
        for dim in -1, 0, 1, None:
            attrs = {} if dim is None else {'dim': dim}
            yield name, attrs, [x], lambda t, name=name, dim=dim: getattr(t, name)(dim), False
    yield 'argmax', {'dim': -1}, [logits], lambda t: t.argmax(-1), False
    yield 'argmin', {'dim': 0}, [logits], lambda t: t.argmin(0), False
    for name in 'cumsum cumprod logcumsumexp'.split():
        for dim in -1, 0, 1:
            for grad in False, True:
                t = i.unit * 0.1 + 1 if name == 'cumprod' else x
                yield name, {'dim': dim}, [t], lambda t, name=name, dim=dim: getattr(t, name)(dim), grad
    for dim in -1, 0, 1:
        yield 'sort', {'dim': dim}, [x], lambda t, dim=dim: t.sort(dim=dim, stable=True), False
    yield 'sort', {'dim': -1}, [x], lambda t: t.sort(dim=-1, stable=True), True
    yield 'argsort', {'dim': -1}, [x], lambda t: t.argsort(dim=-1, stable=True), False
    for grad in False, True:
        yield 'topk', {'k': 50}, [logits[:32].clone()], lambda t: t.topk(50), grad
    yield 'topk', {'k': 5, 'dim': 1}, [x], lambda t: t.topk(5, 1), False
    yield 'count_nonzero', {'dim': [-1]}, [x], lambda t: t.count_nonzero(-1), False


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
            yield ('vector_norm', {'ord': 'inf' if p > 3 else p, 'dim': [-1]}, [i.x],
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
    x, y, ids, logits, pick, truth = i.x, i.y, i.ids, i.logits, i.pick, i.truth
    B, T, C = x.shape
    at = {-1: ids, 0: ids % B, 1: ids % T}
    for dim in -1, 0, 1:
        for grad in False, True:
            yield 'gather', {'dim': dim}, [x, at[dim]], lambda t, i, d=dim: t.gather(d, i), grad
    for dim in -1, 0, 1:
        f = lambda t, i, s, d=dim: t.scatter_add(d, i, s)
        yield 'scatter_add', {'dim': dim}, [x, at[dim], y], f, dim == -1
        yield 'scatter_add', {'dim': dim}, [x, at[dim], y], f, False
    turned = torch.argsort(y, -1)
    for grad in False, True:
        yield 'gather', {'dim': -1}, [logits, pick[:, None].clone()], lambda t, i: t.gather(-1, i), grad
        yield 'take_along_dim', {'dim': -1}, [x, ids], lambda t, i: t.take_along_dim(i, -1), grad
        yield 'scatter', {'dim': -1}, [x, turned, y], lambda t, i, s: t.scatter(-1, i, s), grad
    rows = i.integers(T, (T,))
    for grad in False, True:
        yield 'index_add', {'dim': 0}, [x[0].clone(), rows, y[0].clone()], lambda t, i, s: t.index_add(0, i, s), grad
        yield 'index_add', {'dim': 1}, [x, rows, y], lambda t, i, s: t.index_add(1, i, s), grad
        yield 'index_select', {'dim': 0}, [logits, pick], lambda t, i: t.index_select(0, i), grad
        for dim in 1, 2:
            yield 'index_select', {'dim': dim}, [x, rows % x.shape[dim]], lambda t, i, d=dim: t.index_select(d, i), grad
        for tokens in ids[0, :, 0] % T, rows:
            yield 'embedding', {}, [tokens, x[0].clone()], F.embedding, grad
        table = i.normal((logits.shape[1], C))
        yield 'embedding', {}, [i.integers(logits.shape[1], (B, T)), table], F.embedding, grad
        flat, few = x.reshape(-1, C), i.integers(B * T, (B * T,))
        yield 'index', {}, [flat, few], lambda t, i: t[i], grad
        yield 'index', {}, [x, few % B, few % T], lambda t, i, j: t[i, j], grad
        yield 'index', {}, [x, truth], lambda t, m: t[m], grad
        yield 'index', {}, [x, truth[:, :, 0].clone()], lambda t, m: t[m], grad
        yield 'masked_select', {}, [x, truth], torch.masked_select, grad
        once = torch.randperm(B * T, generator=i.g)
        yield 'index_put', {}, [flat, once, y.reshape(-1, C)], lambda t, i, v: t.index_put((i,), v), grad
        yield 'index_put', {}, [x, truth, y[0, 0, :1].reshape([])], lambda t, m, v: t.index_put((m,), v), grad
        add = lambda t, i, v: t.index_put((i,), v, accumulate=True)
        yield 'index_put', {'accumulate': True}, [flat, few, y.reshape(-1, C)], add, grad
        yield 'masked_fill', {'value': 0.5}, [x, truth], lambda t, m: t.masked_fill(m, 0.5), grad
    yield 'nonzero', {}, [truth], torch.nonzero, False
    yield 'nonzero', {}, [x.relu()], torch.nonzero, False


def copies(i):
    x, y = i.x, i.y
    for grad in False, True:
        for dim in -1, 1, 0:
            yield 'cat', {'dim': dim}, [x, y], lambda *t, d=dim: torch.cat(t, d), grad
        for dim in 0, 2, -1:
            yield 'stack', {'dim': dim}, [x, y], lambda *t, d=dim: torch.stack(t, d), grad
        for dim in 1, 2:
            f = lambda t, d=dim: t.repeat_interleave(2, d)
            yield 'repeat_interleave', {'repeats': 2, 'dim': dim}, [x], f, grad
        f = lambda t: torch.unfold_copy(t, 1, 4, 4)
        yield 'unfold_copy', {'dimension': 1, 'size': 4, 'step': 4}, [x], f, grad
        yield 'flip_copy', {'dims': [2]}, [x], lambda t: t.flip(2), grad
        for dims in [0, 2, 1], [1, 0, 2], [2, 0, 1]:
            yield 'permute_copy', {'dims': dims}, [x], lambda t, d=dims: t.permute(d).contiguous(), grad
    yield 'split', {'split_size': 256, 'dim': -1}, [x], lambda t: t.split(256, -1), True
    yield 'chunk', {'chunks': 3, 'dim': 1}, [x], lambda t: t.chunk(3, 1), True
    yield 'diagonal_copy', {'dim1': 0, 'dim2': 1}, [x], lambda t: torch.diagonal_copy(t, 0, 0, 1), False


def products(i):
    B, T, C = i.shape
    x, flat, heads = i.x * 0.05, i.x.reshape(-1, C) * 0.05, i.normal((B * 12, T, C // 12)) * 0.1
    wide, deep, bias = i.normal((3 * C, C)) * 0.05, i.normal((C, 4 * C)) * 0.05, i.normal((3 * C,))
    for grad in False, True:
        yield 'linear', {}, [x, wide, bias], F.linear, grad
        yield 'linear', {}, [i.normal((B, T, 4 * C)) * 0.05, deep], F.linear, grad
        yield 'matmul', {}, [x, deep], torch.matmul, grad
        yield 'bmm', {}, [heads, heads.transpose(1, 2).contiguous()], torch.bmm, grad
        yield 'addmm', {}, [i.normal((4 * C,)), flat, deep], torch.addmm, grad
        yield 'outer', {}, [i.normal((4096,)), i.normal((C,))], torch.outer, grad
        yield 'dot', {}, [i.normal((1 << 20,)) * 0.01, i.normal((1 << 20,)) * 0.01], torch.dot, grad
        few = [i.normal((32, 64)), i.normal((32, 48)), i.normal((40, 64, 48)), i.normal((40,))]
        yield 'bilinear', {}, few, F.bilinear, grad
        four = i.normal((2, 12, T, C // 12)) * 0.1
        for equation, inputs in (('bhqd,bhkd->bhqk', [four, four + 0]), ('bij,jk->bik', [x, deep]), ('bij,bij->b', [x, i.y]),
                                 ('bij->j', [x]), ('i,j->ij', [x[0, 0].clone(), bias]), ('bqhd,bkhd->bhqk', [
                                     four.transpose(1, 2).contiguous(), four.transpose(1, 2).contiguous()])):
            yield 'einsum', {'equation': equation}, inputs, lambda *t, e=equation: torch.einsum(e, *t), grad
    yield 'matmul', {}, [flat[:32].clone(), i.normal((C, i.logits.shape[1])) * 0.05], torch.matmul, False
    yield 'matmul', {}, [flat, i.normal((C,))], torch.matmul, False


def attention(i):
    T = i.shape[1]
    q, k, v = (i.normal((max(1, 1024 // T), 12, T, 64)) for _ in range(3))
    mask = i.integers(4, (T, T)) > 0
    mask |= torch.eye(T, dtype=torch.bool)
    f = F.scaled_dot_product_attention
    for grad in False, True:
        yield 'scaled_dot_product_attention', {}, [q, k, v], f, grad
        yield 'scaled_dot_product_attention', {'is_causal': True}, [q, k, v], lambda *t: f(*t, is_causal=True), grad
        yield 'scaled_dot_product_attention', {'scale': 0.125}, [q, k, v, mask], f, grad


def random(i):
    x, odds = i.x, i.x.sigmoid()
    yield 'rand_like', {}, [x], torch.rand_like, False
    yield 'randn_like', {}, [x], torch.randn_like, False
    yield 'randint_like', {'high': 1000}, [i.ids], lambda t: torch.randint_like(t, 1000), False
    yield 'bernoulli', {}, [odds], torch.bernoulli, False
    yield 'randperm', {'n': 100000}, [], lambda: torch.randperm(100000), False
    for attrs in {'num_samples': 1}, {'num_samples': 8, 'replacement': True}, {'num_samples': 8}:
        yield 'multinomial', attrs, [i.logits[:32].softmax(-1)], lambda t, a=attrs: torch.multinomial(t, **a), False


def makers(i):
    C = i.shape[-1]
    yield 'full', {'size': list(i.shape), 'fill_value': 1.5}, [], lambda: torch.full(list(i.shape), 1.5), False
    yield 'arange', {'start': 0, 'end': 1000000}, [], lambda: torch.arange(0, 1000000), False
    yield 'linspace', {'start': -1, 'end': 2, 'steps': 1000001}, [], lambda: torch.linspace(-1, 2, 1000001), False
    yield 'eye', {'n': C}, [], lambda: torch.eye(C), False


def whole(i):
    a, b = i.integers(1 << 30, i.shape), i.integers(1 << 30, i.shape)
    for name in 'bitwise_and', 'bitwise_or', 'bitwise_xor':
        yield name, {}, [a, b], getattr(torch, name), False
    yield 'bitwise_not', {}, [a], torch.bitwise_not, False


def composed(i):
    # Compositions are enough for these: their ratios are listed, not held to 1.
    B, T, C = i.shape
    image, line = i.normal((8, 32, 28, 28)), i.normal((8, 64, T))
    for grad in False, True:
        yield 'conv1d', {'padding': 1}, [line, i.normal((64, 64, 3)) * 0.1], lambda x, w: F.conv1d(x, w, padding=1), grad
        yield 'conv2d', {'padding': 1}, [image, i.normal((64, 32, 3, 3)) * 0.1], lambda x, w: F.conv2d(x, w, padding=1), grad
        yield 'max_pool1d', {'kernel_size': 3, 'padding': 1}, [line], lambda x: F.max_pool1d(x, 3, padding=1), grad
        yield 'max_pool1d', {'kernel_size': 2}, [line], lambda x: F.max_pool1d(x, 2), grad
        yield 'avg_pool1d', {'kernel_size': 2}, [line], lambda x: F.avg_pool1d(x, 2), grad
        for name, gates, states in ('rnn_tanh', 1, 1), ('rnn_relu', 1, 1), ('gru', 3, 1), ('lstm', 4, 2):
            sizes = (gates * 256, 256), (gates * 256, 256), (gates * 256,), (gates * 256,)
            inputs = [i.normal((64, 8, 256))] + [i.normal((1, 8, 256)) for _ in range(states)] + [i.normal(s) * 0.05 for s in sizes]

            def f(x, *t, name=name, states=states):
                state = t[0] if states == 1 else t[:2]
                return getattr(torch, name)(x, state, t[states:], True, 1, 0.0, False, False, False)
            yield name, {}, inputs, f, grad

            def cell(x, *t, name=name, states=states):
                return getattr(torch, name + '_cell')(x, t[0] if states == 1 else t[:2], *t[states:])
            row = [inputs[0][0]] + [t[0] for t in inputs[1:1 + states]] + inputs[1 + states:]
            yield name + '_cell', {}, row, cell, grad


FAMILIES = [elementwise, broadcast, activations, reductions, norms, losses, arrangements, places, copies, products,
            attention, random, makers, whole, composed]


def cases(shapes):
    i = Inputs(SHAPES[shapes])
    for family in FAMILIES:
        for case in family(i):
            yield family.__name__, *case
