"""The official clients of the Open Inference Protocol against a model: clients.py PATH-OF-OCR-SERVICE

Starts the model on a free port of loopback and ends it. Each check is printed; the first that fails ends the run with
a traceback.
"""

import asyncio
import base64
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import httpx
import numpy as np
import tritonclient.http as triton
from kserve import InferInput, InferOutput, InferRequest, InferenceRESTClient, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from tritonclient.utils import InferenceServerException

MODEL = "ocr-model"
PICTURE = pathlib.Path(__file__).parent.parent.joinpath("data/line.png").read_bytes()
TEXT = "Platen 1"
PATIENCE_S = 60


@contextlib.contextmanager
def running_model(binary):
    """The address of a model that is ready."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("PLATEN_")}
    with tempfile.TemporaryDirectory() as folder:
        ports = pathlib.Path(folder, "ports.json")
        command = [binary, "model", "--port", "0", "--ports-file", ports, "--log", "warn"]
        process = subprocess.Popen(command, cwd=folder, env=settings, stdin=subprocess.DEVNULL)
        try:
            give_up = time.monotonic() + PATIENCE_S
            ready = False
            while not ready:
                assert process.poll() is None and time.monotonic() < give_up, "the model does not become ready"
                time.sleep(0.05)
                if ports.exists():
                    address = json.loads(ports.read_text())["model"]
                    ready = httpx.get(f"http://{address}/v2/health/ready", trust_env=False).is_success
            yield address
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def passed(what):
    print(f"passed: {what}", flush=True)


def equal(actual, expected):
    assert actual == expected, f"{actual!r} is not {expected!r}"


def text_of(array):
    """The one text in an array of the output."""
    equal(array.shape, (1,))
    text = array[0]
    return text.decode() if isinstance(text, bytes) else text


def refusal(call, status, message):
    """The error of tritonclient that `call` must raise."""
    try:
        call()
    except InferenceServerException as error:
        equal(error.status(), str(status))
        assert message in error.message(), error.message()
        return
    raise AssertionError(f"no error {status}")


# tritonclient


def triton_input(picture=PICTURE, name="image", binary=True, shape=(1,)):
    tensor = triton.InferInput(name, list(shape), "BYTES")
    content = picture if binary else base64.b64encode(picture)
    tensor.set_data_from_numpy(np.array([content] * shape[0], dtype=np.object_), binary_data=binary)
    return tensor


def triton_health_and_metadata(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready(MODEL) and client.is_model_ready(MODEL, "1")
    assert not client.is_model_ready("other") and not client.is_model_ready(MODEL, "9")
    server = client.get_server_metadata()
    equal(server["extensions"], ["binary_tensor_data"])
    for version in ("", "1"):
        model = client.get_model_metadata(MODEL, version)
        equal((model["name"], model["versions"], model["platform"]), (MODEL, ["1"], "tesseract"))
        equal([(it["name"], it["datatype"], it["shape"]) for it in model["inputs"]], [("image", "BYTES", [-1])])
        outputs = [(it["name"], it["datatype"], it["shape"]) for it in model["outputs"]]
        equal(outputs, [(name, "BYTES", [-1]) for name in ("text", "words", "hocr", "tsv")])
    passed("tritonclient: health and metadata")


def triton_infer(client):
    for sent in (True, False):
        for answered in (True, False):
            outputs = [triton.InferRequestedOutput("text", binary_data=answered)]
            result = client.infer(
                MODEL, [triton_input(binary=sent)], outputs=outputs, request_id="letter-7", model_version="1"
            )
            assert TEXT in text_of(result.as_numpy("text")), result.as_numpy("text")
            response = result.get_response()
            equal((response["id"], response["model_name"], response["model_version"]), ("letter-7", MODEL, "1"))
            parameters = response["outputs"][0].get("parameters", {})
            equal("binary_data_size" in parameters, answered)
    passed("tritonclient: inference, binary and JSON each way, and the id comes back")
    result = client.infer(MODEL, [triton_input()])
    assert TEXT in text_of(result.as_numpy("text"))
    equal("id" in result.get_response(), False)
    passed("tritonclient: every output without asking for one")
    result = client.infer(MODEL, [triton_input(shape=(2,))])
    equal(result.as_numpy("text").shape, (2,))
    passed("tritonclient: two images in one request")
    result = client.infer(MODEL, [triton_input()], parameters={"psm": 6, "lang": "eng"}, timeout=30_000_000)
    assert TEXT in text_of(result.as_numpy("text"))
    passed("tritonclient: parameters")
    waiting = [client.async_infer(MODEL, [triton_input()], request_id=str(number)) for number in range(4)]
    for number, one in enumerate(waiting):
        equal(one.get_result().get_response()["id"], str(number))
    passed("tritonclient: several requests at once")


def triton_errors(client):
    image = [triton_input()]
    refusal(lambda: client.infer("other", image), 404, "no model other")
    refusal(lambda: client.infer(MODEL, image, model_version="9"), 404, "version 9")
    refusal(lambda: client.get_model_metadata("other"), 404, "no model other")
    refusal(lambda: client.infer(MODEL, [triton_input(b"hello")]), 400, "not an image")
    refusal(lambda: client.infer(MODEL, [triton_input(name="img")]), 400, "img")
    refusal(
        lambda: client.infer(MODEL, image, outputs=[triton.InferRequestedOutput("boxes")]), 400, "boxes"
    )
    numbers = triton.InferInput("image", [1], "FP32")
    numbers.set_data_from_numpy(np.array([1.0], dtype=np.float32))
    refusal(lambda: client.infer(MODEL, [numbers]), 400, "BYTES")
    classes = [triton.InferRequestedOutput("text", class_count=3)]
    refusal(lambda: client.infer(MODEL, image, outputs=classes), 501, "classification")
    refusal(lambda: client.get_model_config(MODEL), 501, "config")
    refusal(lambda: client.get_inference_statistics(MODEL), 501, "stats")
    refusal(client.get_model_repository_index, 501, "repository")
    passed("tritonclient: errors have the protocol's status and say what is wrong")


# kserve


def kserve_request(picture=PICTURE, binary_in=True, binary_out=None):
    tensor = InferInput("image", [1], "BYTES")
    content = picture if binary_in else base64.b64encode(picture)
    tensor.set_data_from_numpy(np.array([content], dtype=np.object_), binary_data=binary_in)
    outputs = None if binary_out is None else [RequestedOutput("text", parameters={"binary_data": binary_out})]
    return InferRequest(MODEL, [tensor], request_id="letter-8", request_outputs=outputs)


async def kserve_checks(url):
    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=60)) as client:
        assert await client.is_server_live(url) and await client.is_server_ready(url)
        assert await client.is_model_ready(url, MODEL)
        assert not await client.is_model_ready(url, "other")
        passed("kserve: health")
        for binary_in in (True, False):
            for binary_out in (None, True, False):
                request = kserve_request(binary_in=binary_in, binary_out=binary_out)
                response = await client.infer(url, request, model_name=MODEL)
                equal((response.id, response.model_name), ("letter-8", MODEL))
                output: InferOutput = response.outputs[0]
                equal((output.name, output.datatype, list(output.shape)), ("text", "BYTES", [1]))
                assert TEXT in text_of(output.as_numpy()), output
        passed("kserve: inference, binary and JSON each way, and the id comes back")
        picture = base64.b64encode(PICTURE).decode()
        tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [picture]}
        response = await client.infer(url, {"inputs": [tensor]}, model_name=MODEL)
        assert TEXT in response.outputs[0].data[0], response
        passed("kserve: a plain dictionary")
        for request, model, status, message in (
            (kserve_request(), "other", 404, "no model other"),
            (kserve_request(b"hello"), MODEL, 400, "not an image"),
            ({"inputs": []}, MODEL, 400, "no input image"),
        ):
            try:
                await client.infer(url, request, model_name=model)
            except httpx.HTTPStatusError as error:
                equal(error.response.status_code, status)
                # The client repeats the server's words only where the content type is exactly application/json.
                assert message in str(error), error
            else:
                raise AssertionError(f"no error {status}")
        passed("kserve: errors have the protocol's status and say what is wrong")


def main():
    with running_model(sys.argv[1]) as address:
        with triton.InferenceServerClient(address, concurrency=4, network_timeout=60, connection_timeout=60) as client:
            triton_health_and_metadata(client)
            triton_infer(client)
            triton_errors(client)
        asyncio.run(kserve_checks(f"http://{address}"))


main()
