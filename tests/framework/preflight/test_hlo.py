import re

import jax
import jax.numpy as jnp
import pytest

from podway.framework.preflight import hlo

NESTED = """HloModule nested

%inner_body (p.1: (s32[], f32[4,4])) -> (s32[], f32[4,4]) {
  %p.1 = (s32[], f32[4,4]{1,0}) parameter(0)
  %i.1 = s32[] get-tuple-element(%p.1), index=0
  %x.1 = f32[4,4]{1,0} get-tuple-element(%p.1), index=1
  %two = s32[] constant(2)
  %next.1 = s32[] add(%i.1, %two)
  %y = f32[4,4]{1,0} dot(%x.1, %x.1), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  ROOT %t.1 = (s32[], f32[4,4]{1,0}) tuple(%next.1, %y)
}

%inner_condition (p.2: (s32[], f32[4,4])) -> pred[] {
  %p.2 = (s32[], f32[4,4]{1,0}) parameter(0)
  %i.2 = s32[] get-tuple-element(%p.2), index=0
  %seven = s32[] constant(7)
  ROOT %less = pred[] compare(%i.2, %seven), direction=LE
}

%step (a: s32[], b: s32[]) -> s32[] {
  %a = s32[] parameter(0)
  %b = s32[] parameter(1)
  ROOT %sum = s32[] add(%a, %b)
}

%bigger (c: s32[], d: s32[]) -> pred[] {
  %c = s32[] parameter(0)
  %d = s32[] parameter(1)
  ROOT %greater = pred[] compare(%d, %c), direction=GT
}

%outer_body (p.3: (s32[], f32[4,4], s32[])) -> (s32[], f32[4,4], s32[]) {
  %p.3 = (s32[], f32[4,4]{1,0}, s32[]) parameter(0)
  %i.3 = s32[] get-tuple-element(%p.3), index=0
  %x.3 = f32[4,4]{1,0} get-tuple-element(%p.3), index=1
  %n.3 = s32[] get-tuple-element(%p.3), index=2
  %one = s32[] constant(1)
  %next.3 = s32[] fusion(%i.3, %one), kind=kLoop, calls=%step
  %zero.3 = s32[] constant(0)
  %start.3 = (s32[], f32[4,4]{1,0}) tuple(%zero.3, %x.3)
  %inner = (s32[], f32[4,4]{1,0}) while(%start.3), condition=%inner_condition, body=%inner_body
  %out = f32[4,4]{1,0} get-tuple-element(%inner), index=1
  ROOT %t.3 = (s32[], f32[4,4]{1,0}, s32[]) tuple(%next.3, %out, %n.3)
}

%outer_condition (p.4: (s32[], f32[4,4], s32[])) -> pred[] {
  %p.4 = (s32[], f32[4,4]{1,0}, s32[]) parameter(0)
  %i.4 = s32[] get-tuple-element(%p.4), index=0
  %n.4 = s32[] get-tuple-element(%p.4), index=2
  ROOT %test = pred[] fusion(%i.4, %n.4), kind=kLoop, calls=%bigger
}

ENTRY %main (x: f32[4,4]) -> f32[4,4] {
  %x = f32[4,4]{1,0} parameter(0)
  %zero = s32[] constant(0)
  %five = s32[] constant(5)
  %start = (s32[], f32[4,4]{1,0}, s32[]) tuple(%zero, %x, %five)
  %outer = (s32[], f32[4,4]{1,0}, s32[]) while(%start), condition=%outer_condition, body=%outer_body
  ROOT %result = f32[4,4]{1,0} get-tuple-element(%outer), index=1
}
"""


def test_nested_loops_multiply_whatever_their_bounds_look_like():
    module = hlo.parse(NESTED)
    # i = 0, 2, 4, 6 for i <= 7; 5 > i with the bound in the loop's tuple and both in fusions.
    assert module.runs["inner_body"] == 5 * 4
    assert module.runs["outer_body"] == 5
    assert module.unknown_loops == ()
    dots = [times for _, each, times in module.walk() if each.opcode == "dot"]
    assert dots == [20.0]


def test_a_loop_that_depends_on_data_counts_once_and_is_named():
    text = NESTED.replace("%five = s32[] constant(5)", "%five = s32[] parameter(1)")
    module = hlo.parse(text)
    assert module.unknown_loops == ("outer",)
    assert module.runs["inner_body"] == 4


def test_what_jax_compiles_is_counted_with_and_without_the_compilers_own_word():
    def program(x):
        def outer(x, _):
            return jax.lax.scan(lambda x, _: (jnp.sin(x @ x), None), x, None, length=3)[0], None

        return jax.lax.scan(outer, x, None, length=5)[0]

    shape = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    text = jax.jit(program).lower(shape).compile().as_text() or ""
    assert "known_trip_count" in text
    for each in (text, re.sub(r'"known_trip_count":\{[^}]*\}', '"unknown":{}', text)):
        module = hlo.parse(each)
        products = [
            times
            for name, instruction, times in module.walk()
            if instruction.opcode == "dot" or "__onednn" in instruction.attributes
        ]
        assert sum(products) == 15, each
        assert module.unknown_loops == ()


def test_shapes_on_the_chip_in_tiles_and_in_bits():
    text = """ENTRY %main (a: f32[10,64]) -> (f32[10,64], s4[3,8]) {
  %a = f32[10,64]{1,0:T(8,128)} parameter(0)
  ROOT %both = (f32[10,64]{1,0:T(8,128)S(1)}, /*index=1*/s4[3,8]{1,0}) custom-call(%a)
}
"""
    module = hlo.parse(text)
    first, second = module.computations["main"]["both"].results
    (argument,) = module.operands("main", module.computations["main"]["both"])
    assert (argument.bytes, argument.padded_bytes, argument.on_chip) == (2560, 16 * 128 * 4, False)
    assert first.on_chip
    assert (second.bytes, str(second)) == (12, "s4[3,8]")


def test_text_that_is_no_hlo_is_an_error():
    with pytest.raises(ValueError, match="no ENTRY"):
        hlo.parse("module @jit_f {}")
