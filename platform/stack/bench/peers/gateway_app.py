"""The gateway as its users had it: FastAPI in front of KServe, the image as base64 in the protocol's JSON."""

import base64
import os
import sys
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI, File, HTTPException, UploadFile

KSERVE_URL = os.environ["KSERVE_URL"]


@asynccontextmanager
async def lifespan(app: FastAPI):
    # One client for all requests, with patience: better than the users' own, so that the comparison is no cheap one.
    async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=None)) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/gateway/ocr")
async def ocr(image_file: UploadFile = File(...)):
    data = base64.b64encode(await image_file.read()).decode()
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [data]}
    answer = await app.state.client.post(KSERVE_URL, json={"inputs": [tensor]})
    if answer.status_code != 200:
        raise HTTPException(status_code=502, detail=answer.text)
    return {"text": answer.json()["outputs"][0]["data"][0]}


@app.get("/ready")
async def ready():
    return {"ready": True}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
