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
