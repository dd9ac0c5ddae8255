"""ovmsclient, a client of TensorFlow Serving's API that is not TensorFlow's own."""

import numpy as np
import pytest

ovmsclient = pytest.importorskip("ovmsclient")  # of podway[dev]


@pytest.fixture(params=["grpc", "http"])
def ovms(request, client):
    if request.param == "grpc":
        return ovmsclient.make_grpc_client(f"127.0.0.1:{client.grpc_port}")
    return ovmsclient.make_http_client(f"127.0.0.1:{client.rest_port}")


def test_predict(ovms):
    sum_input = {"a": np.array([[1, 2.5, 3]], np.float32), "b": np.array([10], np.int32)}
    if isinstance(ovms, type(ovmsclient.make_http_client("localhost:1"))):
        with pytest.raises(ovmsclient.InvalidInputError, match="Missing but required"):
            ovms.predict(sum_input, "m", 1, timeout=20)  # it cannot name a signature
    answer = ovms.predict({"history": [["a", "b"], ["c", ""]]}, "m", 1, timeout=20)
    strings = [[v if isinstance(v, str) else v.decode() for v in row] for row in answer["item"]]
    assert strings == [["a", "v1"], ["c", "v1"]]
    np.testing.assert_allclose(answer["score"], [[2, 0.1], [1, 0.1]], rtol=1e-6)


def test_status(ovms):
    for version in (1, 2):
        status = ovms.get_model_status("m", version, timeout=20)
        assert status == {version: {"state": "AVAILABLE", "error_code": 0, "error_message": ""}}


def test_errors(ovms):
    with pytest.raises(ovmsclient.ModelNotFoundError, match=r"Specific\(m, 7\)"):
        ovms.predict({"history": [["a"]]}, "m", 7, timeout=20)
    with pytest.raises(ovmsclient.ModelNotFoundError, match="Could not find version 1 of model x"):
        ovms.get_model_status("x", 1, timeout=20)
    with pytest.raises(ovmsclient.InvalidInputError):
        ovms.predict({"history": [1.5]}, "m", 1, timeout=20)


def test_metadata(client):
    # By gRPC: over HTTP it wants OpenVINO's own spelling of the fields, not TensorFlow Serving's.
    ovms = ovmsclient.make_grpc_client(f"127.0.0.1:{client.grpc_port}")
    answer = ovms.get_model_metadata("m", 2, timeout=20)
    assert answer["model_version"] == 2
    assert answer["inputs"] == {"history": {"shape": [-1, -1], "dtype": "DT_STRING"}}
    assert answer["outputs"]["score"] == {"shape": [-1, 2], "dtype": "DT_FLOAT"}
