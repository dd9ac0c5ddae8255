from podway.framework.preflight import hlo, work

ROWS, TOUCHED, WIDTH = 4096, 16, 128
TABLE = f"f32[{ROWS},{WIDTH}]{{1,0}}"
UPDATE = f"f32[{TOUCHED},{WIDTH}]{{1,0}}"
AT = f"s32[{TOUCHED},1]{{1,0}}"
NESTED = f"""
%add (x: f32[], y: f32[]) -> f32[] {{
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %s = f32[] add(%x, %y)
}}

%inner (t: {TABLE}, i: {AT}, u: {UPDATE}) -> {TABLE} {{
  %t = {TABLE} parameter(0)
  %i = {AT} parameter(1)
  %u = {UPDATE} parameter(2)
  ROOT %w = {TABLE} scatter(%t, %i, %u), to_apply=%add
}}

%outer (p: {TABLE}, q: {AT}, r: {UPDATE}) -> {TABLE} {{
  %p = {TABLE} parameter(0)
  %q = {AT} parameter(1)
  %r = {UPDATE} parameter(2)
  %n = {UPDATE} negate(%r)
  ROOT %f = {TABLE} fusion(%p, %q, %n), kind=kCustom, calls=%inner
}}

ENTRY %main (a: {TABLE}, b: {AT}, c: {UPDATE}) -> {TABLE} {{
  %a = {TABLE} parameter(0)
  %b = {AT} parameter(1)
  %c = {UPDATE} parameter(2)
  ROOT %o = {TABLE} fusion(%a, %b, %c), kind=kCustom, calls=%outer
}}
"""


def test_rows_written_in_place_inside_nested_fusions_are_not_the_whole_table():
    (piece,) = [each for each in work.pieces(hlo.parse(NESTED)) if each.bytes]
    assert piece.instruction.opcode == "fusion"
    table, touched = 4 * ROWS * WIDTH, 4 * TOUCHED * WIDTH
    assert touched < piece.bytes < 16 * touched < table / 8


SAME = "output_to_operand_aliasing={{}: (0, {})}"
SLICED = f"""
%copied (t: {TABLE}) -> {TABLE} {{
  %t = {TABLE} parameter(0)
  ROOT %c = {TABLE} copy(%t)
}}

%outer (p: {TABLE}, q: s32[]) -> {UPDATE} {{
  %p = {TABLE} parameter(0)
  %same = {TABLE} fusion(%p), kind=kLoop, {SAME}, calls=%copied
  %q = s32[] parameter(1)
  %zero = s32[] constant(0)
  %s = {UPDATE} dynamic-slice(%same, %q, %zero), dynamic_slice_sizes={{{TOUCHED},{WIDTH}}}
  ROOT %n = {UPDATE} negate(%s)
}}

ENTRY %main (a: {TABLE}, b: s32[]) -> {UPDATE} {{
  %a = {TABLE} parameter(0)
  %b = s32[] parameter(1)
  ROOT %o = {UPDATE} fusion(%a, %b), kind=kLoop, calls=%outer
}}
"""


def test_rows_sliced_of_an_operand_under_another_name_are_not_the_whole_table():
    (piece,) = [each for each in work.pieces(hlo.parse(SLICED)) if each.bytes]
    touched = 4 * TOUCHED * WIDTH
    assert 2 * touched <= piece.bytes < 3 * touched


LIBRARIES = """HloModule m, is_scheduled=true

ENTRY %main {
  %a = bf16[64,32]{1,0} parameter(0)
  %b = bf16[32,16]{1,0} parameter(1)
  %q = bf16[2,10,4,8]{3,2,1,0} parameter(2)
  %k = bf16[2,12,4,8]{3,2,1,0} parameter(3)
  %gemm = (bf16[64,16]{1,0}, s8[4096]{0}) custom-call(%a, %b), custom_call_target="__cublas$gemm", backend_config={"gemm_backend_config":{"alpha_real":1,"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"],"rhs_contracting_dimensions":["0"]}}}
  %seen = (bf16[2,10,4,8]{3,2,1,0}, u8[0]{0}) custom-call(%q, %k, %k), custom_call_target="__cudnn$fmhaSoftmax", backend_config={"cudnn_fmha_backend_config":{"mask_type":"CAUSAL"}}
  %back = (bf16[2,10,4,8]{3,2,1,0}, u8[0]{0}) custom-call(%q, %k, %k), custom_call_target="__cudnn$fmhaSoftmaxBackward", backend_config={"cudnn_fmha_backend_config":{"mask_type":"NO_MASK"}}
  ROOT %t = (bf16[64,16]{1,0}) tuple(%a)
}
"""  # noqa: E501


def test_products_inside_calls_of_nvidias_libraries_count():
    flops = {piece.instruction.name: piece.flops for piece in work.pieces(hlo.parse(LIBRARIES))}
    scores = 2 * 2 * 4 * 10 * 12 * 8
    assert flops == {"gemm": 2 * 64 * 32 * 16, "seen": 2 * scores / 2, "back": 5 * scores}
