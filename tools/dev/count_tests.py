#!/usr/bin/env python3
"""Sums up meson's testlog.json in one line, `N passed, N failed`; exits 1 when something failed or nothing ran.

A doctest program counts its test cases, a check that prints `N passed, N failed` counts those, anything else counts one.
"""
import json
import re
import sys

DOCTEST = re.compile(r'\[doctest\] test cases: +\d+ \| +(\d+) passed \| +(\d+) failed')
CHECK = re.compile(r'^(\d+) passed, (\d+) failed$', re.M)


def count(test):
    """(passed, failed) of one entry. A program that broke without failing a case (a crash, a timeout) is one failure."""
    if test['result'] == 'SKIP':
        return 0, 0
    good = test['result'] == 'OK'
    sums = DOCTEST.findall(test.get('stdout', '')) or CHECK.findall(test.get('stdout', ''))
    passed, failed = (int(n) for n in sums[-1]) if sums else (int(good), int(not good))
    return passed, failed if good or failed else 1


def main():
    try:
        with open(sys.argv[1], encoding='utf-8') as f:
            tests = [json.loads(line) for line in f]
    except FileNotFoundError:
        tests = []
    for test in tests:
        if test['result'] not in ('OK', 'SKIP'):
            print(f"failed: {test['name']} ({test['result'].lower()})")
        elif test['result'] == 'SKIP':
            print(f"skipped: {test['name']}: {test.get('stdout', '').strip() or 'no reason given'}")
    sums = [count(t) for t in tests]
    passed, failed = sum(s[0] for s in sums), sum(s[1] for s in sums)
    print(f'{passed} passed, {failed} failed')
    return failed > 0 or passed == 0


sys.exit(main())
