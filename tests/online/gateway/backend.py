"""A model server that answers at once, as a process that can be killed.

    python -m tests.online.gateway.backend PORT [SECONDS]

Model m answers items i0 to i49 but those of the history, with scores 50 to 1; r, a ranker, gives
each candidate the number behind its letter. Version 1 is `stable`, and what has no label,
2 `canary`, 3 `new`. "nan" in a history makes scores that are no numbers, "slow" takes a second,
"bad" fails. Whatever is answered takes SECONDS.
"""
# pyright: reportAttributeAccessIssue=false

import asyncio
import sys

import grpc
import grpc.aio

from podway.online.servers import messages

VERSIONS = {"": 1, "stable": 1, "canary": 2, "new": 3}
SEEN: list[str] = []


async def predict(request, context, seconds=0.0):
    inputs = {each.key: messages.read(each.value) for each in request.inputs}
    label = request.model_spec.version_label
    if label not in VERSIONS:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"no label {label}")
    response = messages.PredictResponse()
    response.model_spec.version.value = VERSIONS[label]
    if request.model_spec.name == "r":
        scores = [[float(item[1:])] for item in inputs["item"]]
        messages.write(response.outputs.add(key="score").value, scores, "float32")
        await asyncio.sleep(seconds)
        return response
    [history] = inputs["history"]
    if "bad" in history:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "on purpose")
    await asyncio.sleep(1.0 if "slow" in history else seconds)
    barred = {*history, *inputs.get("deny", [[]])[0]}
    items = [f"i{n}" for n in range(50) if f"i{n}" not in barred][:20]
    scores = [50.0 - int(item[1:]) for item in items]
    if "nan" in history:
        scores = [float("nan")] * len(items)
    trace = dict(context.invocation_metadata()).get("traceparent", "")
    messages.write(response.outputs.add(key="item").value, [items], "string")
    messages.write(response.outputs.add(key="score").value, [scores], "float32")
    messages.write(response.outputs.add(key="trace").value, [trace], "string")
    SEEN.append(trace)
    return response


async def main(port: int, seconds: float = 0.0) -> None:
    async def answer(request, context):
        return await predict(request, context, seconds)

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        answer,
        messages.PredictRequest.FromString,
        messages.PredictResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "tensorflow.serving.PredictionService", {"Predict": handler}
            ),
        )
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), *map(float, sys.argv[2:])))
