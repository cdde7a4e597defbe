//! Every role's endpoints.

use super::{Endpoint, Takes};

const JSON: &str = "application/json";
const FORM: &str = "multipart/form-data";
const URLENCODED: &str = "application/x-www-form-urlencoded";
const TENSORS: &str = "application/octet-stream";

/// The role's own; none for a role that is not listed here.
pub fn of(role: &str) -> &'static [Endpoint] {
    match role {
        "gateway" => GATEWAY,
        "model" => MODEL,
        "ocr-server" => OCR_SERVER,
        "translate" => TRANSLATE,
        "frontend" => FRONTEND,
        "experiments" => EXPERIMENTS,
        _ => &[],
    }
}

const OPTIONS: &[(&str, &str)] = &[
    ("lang", "the language to read, such as kor+eng; one of those that the server offers"),
    ("psm", "Tesseract's page segmentation mode: 3 to 11 or 13"),
    ("dpi", "the image's resolution, in dots per inch"),
    ("output", "what is answered beside the text: text, words, hocr or tsv"),
];

const BAD_FORM: (u16, &str) = (400, "the form lacks its file, or an option is unknown");
const TOO_LARGE: (u16, &str) = (413, "the body or the image is larger than this server takes");
const BAD_IMAGE: (u16, &str) = (422, "this is no image that can be read");
const FAULT: (u16, &str) = (500, "a fault of this server");
const BUSY: (u16, &str) = (503, "too much to do");
const LATE: (u16, &str) = (504, "not finished before the deadline");
const IMAGE_ERRORS: &[(u16, &str)] = &[BAD_FORM, TOO_LARGE, BAD_IMAGE, FAULT, BUSY, LATE];

const fn get(
    path: &'static str,
    summary: &'static str,
    gives: &'static [(&'static str, &'static str)],
) -> Endpoint {
    Endpoint { method: "get", path, summary, options: &[], takes: Takes::Nothing, gives, errors: &[] }
}

pub const SHARED: &[Endpoint] = &[
    get("/healthz/live", "The process answers", &[(JSON, "Live")]),
    Endpoint {
        errors: &[(503, "not ready: the error says what is missing")],
        ..get("/healthz/ready", "The role can work", &[(JSON, "Ready")])
    },
    get("/metrics", "Metrics in Prometheus' text format", &[("text/plain", "string")]),
    get("/openapi.json", "This description", &[(JSON, "object")]),
];

const GATEWAY: &[Endpoint] = &[Endpoint {
    method: "post",
    path: "/gateway/ocr",
    summary: "The text of an image, read by one of the models",
    options: OPTIONS,
    takes: Takes::Body(&[FORM], "ImageFileForm"),
    gives: &[(JSON, "Recognition")],
    errors: &[
        BAD_FORM,
        TOO_LARGE,
        BAD_IMAGE,
        FAULT,
        (502, "a model's answer cannot be understood"),
        BUSY,
        LATE,
    ],
}];

const NO_MODEL: (u16, &str) = (404, "there is no such model or version here");
const NOT_READY: (u16, &str) = (503, "no engine has recognised anything yet, or too much to do");

const fn infer(path: &'static str) -> Endpoint {
    Endpoint {
        method: "post",
        path,
        summary: "Inference of the Open Inference Protocol V2, with JSON or binary tensors",
        options: &[],
        takes: Takes::Body(&[JSON, TENSORS], "InferRequest"),
        gives: &[(JSON, "InferResponse"), (TENSORS, "string")],
        errors: &[
            (400, "the request or its image cannot be read"),
            NO_MODEL,
            TOO_LARGE,
            FAULT,
            NOT_READY,
            LATE,
        ],
    }
}

const fn described(path: &'static str) -> Endpoint {
    Endpoint { errors: &[NO_MODEL], ..get(path, "The model's tensors", &[(JSON, "ModelMetadata")]) }
}

const fn model_ready(path: &'static str) -> Endpoint {
    Endpoint {
        errors: &[NO_MODEL, NOT_READY],
        ..get(path, "The model can be asked", &[(JSON, "ModelReady")])
    }
}

const MODEL: &[Endpoint] = &[
    get("/v2", "The server's name, version and extensions", &[(JSON, "ServerMetadata")]),
    get("/v2/health/live", "The server answers", &[(JSON, "Live")]),
    Endpoint {
        errors: &[NOT_READY],
        ..get("/v2/health/ready", "The server can be asked", &[(JSON, "Ready")])
    },
    described("/v2/models/{model}"),
    model_ready("/v2/models/{model}/ready"),
    infer("/v2/models/{model}/infer"),
    described("/v2/models/{model}/versions/{version}"),
    model_ready("/v2/models/{model}/versions/{version}/ready"),
    infer("/v2/models/{model}/versions/{version}/infer"),
];

const OCR_SERVER: &[Endpoint] = &[
    Endpoint {
        method: "post",
        path: "/ocr",
        summary: "The text of an image",
        options: OPTIONS,
        takes: Takes::Body(&[FORM], "FileForm"),
        gives: &[(JSON, "Recognition")],
        errors: IMAGE_ERRORS,
    },
    Endpoint {
        method: "post",
        path: "/ocr/nutrition",
        summary: "The numbers of a Korean nutrition label, read by CLOVA OCR",
        options: &[("engine", "clova, or tesseract where this server offers it")],
        takes: Takes::Body(&[FORM], "NutritionForm"),
        gives: &[(JSON, "NutritionReply")],
        errors: &[
            BAD_FORM,
            TOO_LARGE,
            (422, "this is no image that can be read, or CLOVA OCR could not read it"),
            (500, "NAVER_OCR_APIGW_URL or NAVER_OCR_SECRET_KEY is not set, or another fault of this server"),
            (502, "CLOVA OCR failed or refused this server's secret"),
            (503, "CLOVA OCR's rate limit or quota is used up, or too much to do"),
            LATE,
        ],
    },
];

const BACKEND_ERRORS: &[(u16, &str)] = &[
    (400, "a parameter is missing or not supported"),
    (413, "the body is larger than this server takes"),
    (502, "the translation backend failed"),
    (503, "the translation backend takes no more requests for now"),
    LATE,
];

const TRANSLATE: &[Endpoint] = &[
    Endpoint {
        method: "post",
        path: "/translate",
        summary: "Translates texts, as LibreTranslate does",
        options: &[],
        takes: Takes::Body(&[JSON, URLENCODED, FORM], "TranslateRequest"),
        gives: &[(JSON, "TranslateReply")],
        errors: BACKEND_ERRORS,
    },
    Endpoint {
        errors: BACKEND_ERRORS,
        ..get("/languages", "What can be translated into what", &[(JSON, "Languages")])
    },
];

const FRONTEND: &[Endpoint] = &[
    Endpoint {
        options: &[("lang", "the page's language: ko or en")],
        ..get("/", "The page", &[("text/html", "string")])
    },
    Endpoint {
        errors: &[(404, "there is no such file")],
        ..get("/assets/{name}", "A file of the page", &[("*/*", "string")])
    },
    Endpoint {
        method: "post",
        path: "/api/translate",
        summary: "Reads and translates a letter: as JSON, as a page, or as server-sent events stage, recognised, result and error",
        options: &[],
        takes: Takes::Body(&[FORM], "LetterForm"),
        gives: &[(JSON, "Translated"), ("text/event-stream", "string"), ("text/html", "string")],
        errors: &[
            BAD_FORM,
            TOO_LARGE,
            BAD_IMAGE,
            FAULT,
            (502, "the gateway or the translation failed"),
            BUSY,
            LATE,
        ],
    },
];

const UNAVAILABLE: (u16, &str) = (503, "the database or the cluster does not answer");

const EXPERIMENTS: &[Endpoint] = &[
    get("/", "A greeting", &[(JSON, "Greeting")]),
    Endpoint {
        errors: &[FAULT, UNAVAILABLE],
        ..get("/model", "All experiments, the newest first", &[(JSON, "Experiments")])
    },
    Endpoint {
        method: "post",
        path: "/test",
        summary: "Records an experiment and creates its Job",
        options: &[],
        takes: Takes::Body(&[FORM, URLENCODED], "ExperimentForm"),
        gives: &[(JSON, "ExperimentCreated")],
        errors: &[
            (400, "a field is missing or outside its range"),
            (409, "the experiment_id is used"),
            FAULT,
            UNAVAILABLE,
        ],
    },
    Endpoint {
        errors: &[
            (400, "this is no experiment_id"),
            (404, "there is no such experiment"),
            FAULT,
            UNAVAILABLE,
        ],
        ..get("/test/{experiment_id}", "One experiment and its Job's state", &[(JSON, "Experiment")])
    },
];
