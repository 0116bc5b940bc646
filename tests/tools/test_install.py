#!/usr/bin/env python3
"""The README's program, built outside the tree in each of the ways that users have, and run on a small text.

test_install.py WAY BUILD COMPILER...     WAY: shared, static (both by pkg-config), cmake, subproject, compile_time
"""
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), '..', '..'))
sys.path.insert(0, os.path.join(ROOT, 'tools', 'dev'))
import checks  # noqa: E402

# A user's file, in what the compiler allocates for it (g++ -ftime-report): it follows the time (1 MB is about 10 ms, our aim
# 1.5 s), which itself moves by half with whatever else a machine does.
COMPILE_MB = 150
CMAKE = """cmake_minimum_required(VERSION 3.16)
project(user CXX)
find_package(Fovea 0.1 REQUIRED)
add_executable(program program.cpp)
target_link_libraries(program Fovea::fovea Fovea::proof)
"""
MESON = """project('user', 'cpp', default_options: ['cpp_std=c++20'])
executable('program', 'program.cpp', dependencies: dependency('fovea', fallback: ['fovea', 'fovea_dep']))
"""


def processor_seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        print(f'{shlex.join(command)}: exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}')
        sys.exit(1)
    return done.stdout


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)


def readme_program():
    with open(os.path.join(ROOT, 'README.md'), encoding='utf-8') as f:
        return re.search(r'^```cpp\n(.*?)^```', f.read(), re.M | re.S)[1]


def install(build, folder):
    """Installs as if `folder` were the root of the file system; returns the environment in which the result is found."""
    run(['meson', 'install', '-C', build, '--no-rebuild', '--quiet', '--destdir', folder])
    found = {}
    for here, folders, files in os.walk(folder):
        if 'pkgconfig' in folders:
            found['PKG_CONFIG_PATH'] = os.path.join(here, 'pkgconfig')
        if any(f.startswith('libfovea.so') for f in files):
            found['LD_LIBRARY_PATH'] = here
        if 'FoveaConfig.cmake' in files:
            found['Fovea_DIR'] = here
    return {**os.environ, **found}


def build_program(way, build, compiler, folder):
    """Returns (command, environment) of the built program."""
    source, program = os.path.join(folder, 'program.cpp'), os.path.join(folder, 'program')
    write(source, readme_program())
    if way == 'subproject':
        copy = os.path.join(folder, 'subprojects', 'fovea')
        for name in checks.Tree(ROOT).files:
            os.makedirs(os.path.dirname(os.path.join(copy, name)), exist_ok=True)
            shutil.copy(os.path.join(ROOT, name), os.path.join(copy, name))
        write(os.path.join(folder, 'meson.build'), MESON)
        # With the other choice of every option, so that this is also the test of those (without precompiled headers: each
        # file includes what it uses); unoptimised takes half as long.
        run(['meson', 'setup', os.path.join(folder, 'b'), folder, '--buildtype=plain', '-Dfovea:default_library=static',
             '-Dfovea:onednn=disabled', '-Dfovea:threads=openmp', '-Db_pch=false'])
        run(['ninja', '-C', os.path.join(folder, 'b'), 'program'])
        return os.path.join(folder, 'b', 'program'), os.environ
    environment = install(build, os.path.join(folder, 'root'))
    if way == 'cmake':
        write(os.path.join(folder, 'CMakeLists.txt'), CMAKE)
        run(['cmake', '-S', folder, '-B', os.path.join(folder, 'b')], env=environment)
        run(['cmake', '--build', os.path.join(folder, 'b')], env=environment)
        return os.path.join(folder, 'b', 'program'), environment
    ask = ['pkg-config', '--cflags', '--libs', 'fovea'] + (['--static'] if way == 'static' else [])
    flags = run(ask, env=environment).split()
    if way == 'static':
        flags = [f.replace('-lfovea', '-l:libfovea') + '.a' if f.startswith('-lfovea') else f for f in flags]
        del environment['LD_LIBRARY_PATH']
    run([*compiler, '-std=c++20', source, '-o', program, *flags])
    return program, environment


def main():
    way, build, *compiler = sys.argv[1:]
    compiler = [a for a in compiler if os.path.basename(a) != 'ccache']
    if way == 'cmake' and not shutil.which('cmake'):
        print('cmake is not installed (tools/setup --tests installs it)')
        return 77
    with tempfile.TemporaryDirectory() as folder:
        if way == 'compile_time':
            source = os.path.join(folder, 'program.cpp')
            write(source, readme_program())
            command = [*compiler, '-std=c++20', '-c', source, '-I', build, '-o', source + '.o']
            report = subprocess.run([*command, '-ftime-report'], capture_output=True, text=True, check=False).stderr
            total = re.search(r'^ TOTAL .*?(\d+)M$', report, re.M)
            if not total:
                print('this compiler does not say what it allocates')
                return 77
            seconds = min(processor_seconds(command) for _ in range(3))
            print(f"the compiler allocates {total[1]} MB for the README's program (expected {COMPILE_MB} at most) and takes "
                  f'{seconds:.2f} s of processor time')
            return int(total[1]) > COMPILE_MB
        program, environment = build_program(way, build, compiler, folder)
        text = os.path.join(folder, 'text.txt')
        write(text, 'The quick brown fox jumps over the lazy dog. ' * 400)
        # One thread: on a machine that is busy, two wait for each other.
        print(run([program, text], env={**environment, 'OMP_NUM_THREADS': '1'}, cwd=folder)[-500:])
        if shutil.which('h5dump'):
            run(['h5dump', '-H', os.path.join(folder, 'tiny.h5')])
        if way == 'shared':  # what the README says of tiny.h5
            fovea = os.path.join(build, 'tools', 'fovea')
            run([fovea, 'ckpt', 'ls', os.path.join(folder, 'tiny.h5')])
            refused = subprocess.run([fovea, 'generate', 'tiny.h5'], capture_output=True, text=True, check=False, cwd=folder)
            expected = ('error: tiny.h5: has no config, so it is no language model. Use a checkpoint of `fovea train lm`, or give '
                        'checkpoint::save a RunState with config and tokenizer\n')
            if (refused.returncode, refused.stdout, refused.stderr) != (1, '', expected):
                print(refused.stderr)
                return 1
    return 0


sys.exit(main())
