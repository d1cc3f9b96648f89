"""What cannot be compiled, or names nothing: one clear line each."""

from __future__ import annotations

import pytest
from compiled_runs import ON_DEVICE
from plugin_runs import run_pytest
from test_compiled import run


@pytest.mark.parametrize(
    ("call", "story"),
    [
        ("scale, 'void(float32[::1], float32)', arch='sm_91'", "unknown architecture 'sm_91'; nearest 'sm_90'; known: "),
        ("scale, 'void(float32[::1], float32)'", "compiled(arch=None): there is no GPU here whose architecture it could be; pass arch=, as arch='sm_80'"),
        ("scale, arch='sm_90'", "compiled(scale): needs a signature, as 'void(float32[::1], int64)', or a row: the kernel has 2 KERNELS rows: scale.f32, scale.i32"),
        ("other, arch='sm_90'", "compiled(other): needs a signature, as 'void(float32[::1], int64)', or a row: the kernel has no KERNELS row"),
        ("3, 'void()', arch='sm_90'", "compiled(3): pass a numba kernel, a plain function or a row of KERNELS"),
        ("scale, 'void(float32[::1], float32)', arch='sm_90', block=2048", "compiled(block=2048): a block has 1 to 1024 threads"),
        ("other, 'void(float32[::1])', arch='sm_80'", "other on sm_80: it does not compile"),
    ],
)
def test_what_cannot_be_compiled_is_told_in_one_line(call, story, pytester):
    done = run(
        pytester,
        f"""
        def test_it(gpuperf, compiler):
            compiler.numbers = {{("other", "sm_80"): {{"error": "other on sm_80: it does not compile"}}}}
            gpuperf.compiled({call})
        """,
        "--gpuperf-kernels=toolbox",
        device=False,
    )
    assert done.outcomes == {"failed": 1}
    assert story in done.case("test_it")["error"].splitlines()[0]


@pytest.mark.parametrize(
    ("option", "story"),
    [
        ("--gpuperf-archs=sm_90,sm_91", "--gpuperf-archs: unknown architecture 'sm_91'; nearest 'sm_90'"),
        ("--gpuperf-archs=,", "--gpuperf-archs: names no architecture, as sm_90"),
        ("--gpuperf-kernels=tolbox", "--gpuperf-kernels: there is no module 'tolbox'"),
    ],
)
def test_an_option_that_names_nothing_is_refused_before_anything_runs(option, story, pytester):
    done = run(pytester, "def test_it(gpuperf):\n    pass\n", option)
    assert done.status == 4
    assert story in done.text


def test_rows_that_are_none_are_told_in_one_line(pytester):
    done = run_pytest(
        pytester,
        """
        import empty, odd

        def test_it(gpuperf):
            gpuperf.compiled(test_it, "void()", arch="sm_90")
        """,
        "--gpuperf-kernels=empty",
        conftest=ON_DEVICE,
        files={"empty.py": "", "odd.py": "KERNELS = (3,)\n"},
    )
    assert "--gpuperf-kernels: module 'empty' has no KERNELS: a tuple of rows with name, function, signature" in done.case("test_it")["error"]
