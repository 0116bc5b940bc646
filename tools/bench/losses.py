#!/usr/bin/env python3
"""Trains our GPT and PyTorch's from the same weights on the same batch and compares every loss, and the first results of every layer.

  PYTHON_WITH_TORCH losses.py build/tools/fovea [WORKLOAD] [STEPS]

By hand, never in the tests: nothing of Fovea needs PyTorch. Exit status 1 where two losses differ by more than 1e-4, or a layer's
results by more than 1e-4 of the largest.
"""
import json
import os
import subprocess
import sys
import tempfile

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file


def block(w, at, x, heads, seen):
    def linear(name, t):
        seen[name] = F.linear(t, w[f'{name}.weight'], w[f'{name}.bias'])
        return seen[name]

    def norm(name, t):
        seen[name] = F.layer_norm(t, t.shape[-1:], w[f'{name}.weight'], w[f'{name}.bias'])
        return seen[name]

    B, T, C = x.shape
    q, k, v = linear(f'{at}.attn.qkv', norm(f'{at}.attn.norm', x)).split(C, 2)
    q, k, v = (t.view(B, T, heads, C // heads).transpose(1, 2) for t in (q, k, v))
    h = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, T, C)
    x = x + linear(f'{at}.attn.proj', h)
    h = linear(f'{at}.mlp.up', norm(f'{at}.mlp.norm', x))
    return x + linear(f'{at}.mlp.down', F.gelu(h, approximate='tanh'))


def loss_of(w, x, y, layers, heads, seen):
    h = seen['tok'] = w['tok.weight'][x]
    h = h + w['pos.weight'][:x.shape[1]]
    for i in range(layers):
        h = block(w, f'blocks.{i}', h, heads, seen)
    h = seen['norm'] = F.layer_norm(h, h.shape[-1:], w['norm.weight'], w['norm.bias'])
    return F.cross_entropy(F.linear(h, w['tok.weight']).flatten(0, 1), y)


def modules_agree(program, workload, seen):
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = os.path.join(folder, 'ours.h5'), os.path.join(folder, 'theirs.safetensors')
        save_file({name: t.detach().contiguous() for name, t in seen.items()}, theirs)
        subprocess.run([program, 'trace', workload, '--out', ours], stdout=subprocess.DEVNULL, check=True)
        return subprocess.run([program, 'trace', 'diff', ours, theirs, '--tolerance', '1e-4'], check=False).returncode == 0


def main(program, workload='chargpt_s', steps='20'):
    layers, heads = {'chargpt_s': (4, 4), 'chargpt_m': (6, 6), 'gpt2_step': (12, 12)}[workload]
    with tempfile.NamedTemporaryFile(suffix='.safetensors') as f:
        out = subprocess.run([program, 'bench', workload, '--losses', f.name, '--iters', steps, '--json'],
                             capture_output=True, text=True, check=True).stdout
        ours = json.loads(out)['losses']
        arrays = load_file(f.name)
    x, y = arrays.pop('batch.x').long(), arrays.pop('batch.y').long()
    weights = {name: a.clone().requires_grad_() for name, a in arrays.items()}
    adam = torch.optim.AdamW(weights.values(), lr=3e-4, weight_decay=0.1)
    worst, agree = 0, None
    for step, mine in enumerate(ours):
        seen = {}
        loss = loss_of(weights, x, y, layers, heads, seen)
        agree = modules_agree(program, workload, seen) if agree is None else agree
        adam.zero_grad()
        loss.backward()
        adam.step()
        worst = max(worst, abs(loss.item() - mine))
        print(f'step {step:3}  fovea {mine:.6f}  torch {loss.item():.6f}  difference {abs(loss.item() - mine):.2e}')
    print(f'{workload}: {len(ours)} losses, the largest difference is {worst:.2e}')
    return not agree or worst > 1e-4 or len(ours) != int(steps)


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
