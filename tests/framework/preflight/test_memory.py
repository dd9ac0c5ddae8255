import pytest

from podway.framework.preflight import hlo, memory, work

GIB = 1 << 30


def test_what_the_compiler_says_is_too_much():
    state = {"parameters": GIB, "optimizer": 2 * GIB}
    whole = RuntimeError(
        "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space"
        " hbm. Used 16.75G of 15.75G hbm. Exceeded hbm capacity by 1.00G."
    )
    usage = memory.of_failure(whole, state, 0)
    assert usage is not None
    assert not usage.fits
    assert (usage.limit, usage.needed, usage.missing) == (15.75 * GIB, 16.75 * GIB, GIB)
    assert usage.parts["temporaries"] == 13.75 * GIB
    temporaries = RuntimeError(
        "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO"
        " temporaries (44.00G) exceeds available HBM (15.75G)."
    )
    usage = memory.of_failure(temporaries, state, 0)
    assert usage is not None
    assert usage.needed == 47 * GIB
    unclear = memory.of_failure(RuntimeError("RESOURCE_EXHAUSTED: no"), state, 4 * GIB)
    assert unclear is not None
    assert not unclear.fits
    assert memory.of_failure(RuntimeError("INTERNAL: a bug"), state, 0) is None


def program(body: str) -> hlo.Module:
    return hlo.parse("ENTRY %main (x: f32[1024]) -> f32[1024] {\n" + body + "\n}\n")


def test_activations_are_what_lies_between_the_passes():
    forward, backward = 'metadata={op_name="jvp(f)"}', 'metadata={op_name="transpose(jvp(f))"}'
    module = program(
        f"""  %x = f32[1024]{{0}} parameter(0)
  %a = f32[1024]{{0}} sine(%x), {forward}
  %b = f32[2048]{{0}} custom-call(%a), {forward}
  %c = f32[4096]{{0}} custom-call(%b), {forward}
  %d = f32[1024]{{0}} custom-call(%c), {forward}
  %e = f32[1024]{{0}} custom-call(%d, %c), {backward}
  %f = f32[1024]{{0}} custom-call(%e, %a), {backward}
  ROOT %g = f32[1024]{{0}} multiply(%f, %x), {backward}"""
    )
    # a, c and d; b is used by the forward pass alone, x comes from outside.
    assert memory.activations(module) == 4 * (1024 + 4096 + 1024)
    assert [each.shape for each in memory.largest(module, 2)] == ["f32[4096]", "f32[2048]"]


SLICES = """%fused (p.0: f32[100,1024], p.1: s32[]) -> f32[100,1024] {
  %p.0 = f32[100,1024]{1,0} parameter(0)
  %p.1 = s32[] parameter(1)
  %zero = s32[] constant(0)
  %row = f32[1,1024]{1,0} dynamic-slice(%p.0, %p.1, %zero), dynamic_slice_sizes={1,1024}
  %sine = f32[1,1024]{1,0} sine(%row)
  ROOT %new = f32[100,1024]{1,0} dynamic-update-slice(%p.0, %sine, %p.1, %zero)
}

ENTRY %main (x: f32[100,1024], i: s32[]) -> f32[100,1024] {
  %x = f32[100,1024]{1,0} parameter(0)
  %i = s32[] parameter(1)
  ROOT %y = f32[100,1024]{1,0} fusion(%x, %i), kind=kLoop, calls=%fused
}
"""


def test_a_row_that_is_changed_in_place_moves_a_row():
    (piece,) = work.pieces(hlo.parse(SLICES))
    assert piece.bytes == pytest.approx(2 * 1024 * 4, abs=8)
