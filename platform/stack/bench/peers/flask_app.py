"""The OCR backend as its users had it: Flask's own server and pytesseract, which starts a process for each image."""

import sys

import pytesseract
from flask import Flask, jsonify, request
from PIL import Image

app = Flask(__name__)


@app.route("/ocr", methods=["POST"])
def ocr():
    if "file" not in request.files:
        return jsonify({"error": "No file part"}), 400
    file = request.files["file"]
    if file.filename == "":
        return jsonify({"error": "No selected file"}), 400
    try:
        text = pytesseract.image_to_string(Image.open(file.stream), lang="kor+eng")
        return jsonify({"text": text})
    except Exception as error:
        return jsonify({"error": str(error)}), 500


@app.route("/ready")
def ready():
    return jsonify({"ready": True})


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]))
