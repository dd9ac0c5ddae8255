"""LitServe: one API server and one worker, which merges the requests that wait."""
# pyright: reportMissingImports=false
# (it runs in an environment of its own)

import litserve
from recommender import PATH, PORT, Recommender


class Recommend(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.recommend = Recommender()

    def decode_request(self, request: dict) -> list[list[str]]:
        return [instance["history"] for instance in request["instances"]]

    def batch(self, inputs: list) -> list:
        return inputs

    def predict(self, inputs: list[list[list[str]]]) -> list[list[dict]]:
        answers = iter(self.recommend([history for request in inputs for history in request]))
        return [[next(answers) for _ in request] for request in inputs]

    def unbatch(self, output: list) -> list:
        return output

    def encode_response(self, output: list[dict]) -> dict:
        return {"predictions": output}


if __name__ == "__main__":
    api = Recommend(max_batch_size=64, batch_timeout=0, api_path=PATH)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=60)
    server.run(port=PORT, num_api_servers=1, log_level="warning", generate_client_file=False)
