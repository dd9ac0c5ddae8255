import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas as pl
from jax.extend.mlir.dialects import stablehlo as dialect
from jax.interpreters import mlir

from podway.export.error import ExportError
from podway.export.lowering import recommender, stablehlo
from podway.export.lowering.target import TARGETS


def as_text(module: bytes) -> str:
    with mlir.make_ir_context() as context:
        return str(dialect.deserialize_portable_artifact(context, module))


@pytest.mark.parametrize("target", TARGETS)
def test_the_module_is_written_for_the_target(trained, target):
    function = recommender.recommend(trained.experiment.model, trained.schema, 10)
    before = jax.config.jax_export_calling_convention_version  # pyright: ignore[reportAttributeAccessIssue]
    program = stablehlo.lower(function, trained.parameters, 64, target)
    assert jax.config.jax_export_calling_convention_version == before  # pyright: ignore[reportAttributeAccessIssue]
    assert program.module.startswith(b"ML\xefR\rStableHLO_v" + TARGETS[target].stablehlo.encode())
    assert program.calling_convention == TARGETS[target].calling_convention
    assert program.shapes == ((None, 10), (None, 10))
    assert program.platforms == ("CPU", "CUDA")


def test_composites_are_inlined_and_source_paths_left_out(trained):
    function = recommender.recommend(trained.experiment.model, trained.schema, 10)
    module = stablehlo.lower(function, trained.parameters, 64, "2.18").module
    text = as_text(module)
    assert "stablehlo.dot_general" in text
    assert "composite" not in text
    assert b"ranking.py" not in module


def test_the_weights_are_arguments_in_a_named_order():
    parameters = {"b": np.ones((64, 3), np.float32), "a": np.ones((64, 100), np.float32)}
    program = stablehlo.lower(
        lambda weights, ids: (ids @ weights["a"], ids @ weights["b"]), parameters, 64, "2.18"
    )
    assert program.weights == ("a", "b")
    assert program.shapes == ((None, 100), (None, 3))
    assert len(program.module) < 4000, "the weights are in the module"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda _, ids: (ids.reshape(3, -1),), "free batch size.*divide"),
        (lambda _, ids: (ids if ids.shape[0] > 3 else -ids,), "free batch size.*inconclusive"),
        (lambda _, ids: (ids @ jnp.ones((3, 3)),), r"free batch size.*\(64,\) and \(3,\)"),
    ],
    ids=["divides", "compares", "mismatch"],
)
def test_what_needs_one_batch_size_is_refused(function, message):
    with pytest.raises(ExportError, match=message) as caught:
        stablehlo.lower(function, {}, 64, "2.18")
    assert "\n" not in str(caught.value)


def squares(ids):
    return ids[:, :, None] * ids[:, None, :] + 1.0


def double(values, out):
    out[...] = 2 * values[...]


def orthogonal(ids):
    return jnp.linalg.qr(squares(ids))[0]  # called in a loop body and by two callers


def scanned(ids):
    return jax.lax.scan(jax.checkpoint(lambda at, _: (at, orthogonal(ids))), 0, None, 2)[1][0]


def kernel(ids):
    return pl.pallas_call(double, jax.ShapeDtypeStruct(ids.shape, ids.dtype))(ids)


def from_python(ids):
    return jax.pure_callback(lambda x: x, jax.ShapeDtypeStruct(ids.shape, ids.dtype), ids)


OUTSIDE = [
    (lambda _, ids: (orthogonal(ids),), "lapack_sgeqrf_ffi", orthogonal),
    (lambda _, ids: (scanned(ids),), "lapack_sgeqrf_ffi", orthogonal),
    (lambda _, ids: (jnp.linalg.svd(squares(ids))[1],), "lapack_sgesdd_ffi", None),
    (lambda _, ids: (jnp.linalg.cholesky(squares(ids)),), "lapack_spotrf_ffi", None),
    (lambda _, ids: (jax.lax.approx_max_k(ids * 1.0, 3)[0],), "ApproxTopK", None),
    (lambda _, ids: (kernel(ids),), "pallas_call", kernel),
    (lambda _, ids: (from_python(ids),), "pure_callback", from_python),
]


@pytest.mark.parametrize(("function", "name", "place"), OUTSIDE, ids=[each[1] for each in OUTSIDE])
def test_what_a_server_cannot_run_is_refused_by_name_and_line(function, name, place):
    code = (place or function).__code__
    line = code.co_firstlineno + (place is not None)
    with pytest.raises(ExportError, match=f"{name}' at {code.co_filename}:{line}, which") as caught:
        stablehlo.lower(function, {}, 64, "2.18")
    assert "\n" not in str(caught.value)


def test_an_operation_newer_than_the_target_is_refused():
    def function(_, ids):
        return (ids.astype(jnp.float4_e2m1fn).astype(jnp.float32),)

    stablehlo.lower(function, {}, 64, "2.21")
    with pytest.raises(
        ExportError, match=r"StableHLO 1\.7\.0 \(TensorFlow 2\.18\).*export\.target"
    ):
        stablehlo.lower(function, {}, 64, "2.18")
