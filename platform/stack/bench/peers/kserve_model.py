"""The model server as its users had it: a KServe Python model that reads the image with pytesseract."""

import base64
import io
import sys
import uuid

import kserve
import pytesseract
from kserve import InferOutput, InferRequest, InferResponse
from PIL import Image


class OcrModel(kserve.Model):
    def __init__(self, name: str):
        super().__init__(name)
        self.load()

    def load(self):
        self.ready = True
        return self.ready

    def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:
        image = Image.open(io.BytesIO(base64.b64decode(payload.inputs[0].data[0])))
        text = pytesseract.image_to_string(image, lang="kor+eng")
        output = InferOutput(name="text", shape=[1], datatype="BYTES", data=[text])
        answer_id = payload.id or str(uuid.uuid4())
        return InferResponse(response_id=answer_id, model_name=self.name, infer_outputs=[output])


if __name__ == "__main__":
    kserve.ModelServer(http_port=int(sys.argv[1]), enable_grpc=False, workers=1).start([OcrModel("ocr-model")])
