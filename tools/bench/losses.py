#!/usr/bin/env python3
"""Trains our GPT and PyTorch's from the same weights on the same batch and compares every loss.

  PYTHON_WITH_TORCH losses.py build/tools/fovea [WORKLOAD] [STEPS]

By hand, never in the tests: nothing of Fovea needs PyTorch. Exit status 1 where two losses differ by more than 1e-4.
"""
import json
import subprocess
import sys
import tempfile

import torch
import torch.nn.functional as F
from safetensors.torch import load_file


def block(w, at, x, heads):
    B, T, C = x.shape
    h = F.layer_norm(x, (C,), w[f'{at}.attn.norm.weight'], w[f'{at}.attn.norm.bias'])
    q, k, v = F.linear(h, w[f'{at}.attn.qkv.weight'], w[f'{at}.attn.qkv.bias']).split(C, 2)
    q, k, v = (t.view(B, T, heads, C // heads).transpose(1, 2) for t in (q, k, v))
    h = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, T, C)
    x = x + F.linear(h, w[f'{at}.attn.proj.weight'], w[f'{at}.attn.proj.bias'])
    h = F.layer_norm(x, (C,), w[f'{at}.mlp.norm.weight'], w[f'{at}.mlp.norm.bias'])
    h = F.gelu(F.linear(h, w[f'{at}.mlp.up.weight'], w[f'{at}.mlp.up.bias']), approximate='tanh')
    return x + F.linear(h, w[f'{at}.mlp.down.weight'], w[f'{at}.mlp.down.bias'])


def loss_of(w, x, y, layers, heads):
    h = w['tok.weight'][x] + w['pos.weight'][:x.shape[1]]
    for i in range(layers):
        h = block(w, f'blocks.{i}', h, heads)
    h = F.layer_norm(h, h.shape[-1:], w['norm.weight'], w['norm.bias'])
    return F.cross_entropy(F.linear(h, w['tok.weight']).flatten(0, 1), y)


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
    worst = 0
    for step, mine in enumerate(ours):
        loss = loss_of(weights, x, y, layers, heads)
        adam.zero_grad()
        loss.backward()
        adam.step()
        worst = max(worst, abs(loss.item() - mine))
        print(f'step {step:3}  fovea {mine:.6f}  torch {loss.item():.6f}  difference {abs(loss.item() - mine):.2e}')
    print(f'{workload}: {len(ours)} losses, the largest difference is {worst:.2e}')
    return worst > 1e-4 or len(ours) != int(steps)


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
