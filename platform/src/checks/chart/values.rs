//! Sets of values with which the chart is rendered.

use serde_json::{Value, json};

/// What a set of values is called, and the values.
type Values = (&'static str, Value);

/// What the chart is meant for.
pub(super) fn accepted() -> Vec<Values> {
    [of_gateway_and_model(), of_page(), of_experiments(), of_operation()].concat()
}

fn of_gateway_and_model() -> Vec<Values> {
    let pull = json!([{"name": "regcred"}]);
    let digest = format!("sha256:{}", "0".repeat(64));
    vec![
        ("its own values", json!({})),
        (
            "a gateway on every node",
            json!({"gateway": {"replicas": 3, "service": {"externalTrafficPolicy": "Local"}}}),
        ),
        ("a private image by digest", json!({"image": {"digest": digest}, "imagePullSecrets": pull})),
        ("a gateway inside only", json!({"gateway": {"service": {"type": "ClusterIP"}}})),
        ("a headless model", json!({"model": {"service": {"headless": true}}})),
        ("a model that lets nobody wait", json!({"model": {"queue": 0}})),
        ("endpoints by DNS", json!({"gateway": {"endpoints": "dns"}})),
        ("endpoints by the Service alone", json!({"gateway": {"endpoints": "service"}})),
        ("a model of another namespace", json!({"gateway": {"modelUrl": "k8s://models/model-server:8080"}})),
        (
            "settings in a Secret",
            json!({"ocrServer": {"envChecksum": "0123"}, "monitoring": {"annotations": false}}),
        ),
        ("single pods", json!({"gateway": {"replicas": 1}, "model": {"replicas": 1}})),
        (
            "the gateway alone",
            json!({
                "gateway": {"modelUrl": "http://model.example:8080"},
                "model": {"enabled": false}, "ocrServer": {"enabled": false},
                "frontend": {"enabled": false}, "translate": {"enabled": false},
            }),
        ),
        (
            "all that is optional",
            json!({
                "drain": {"sleepSeconds": 0},
                "monitoring": {"annotations": false},
                "model": {
                    "extraArgs": ["--engines", "2"],
                    "extraEnv": [{"name": "PLATEN_QUEUE", "value": "4"}],
                    "nodeSelector": {"kubernetes.io/arch": "amd64"},
                    "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "ocr", "effect": "NoSchedule"}],
                },
            }),
        ),
    ]
}

fn of_page() -> Vec<Values> {
    vec![
        (
            "a page inside only, of a mock",
            json!({"frontend": {"mode": "mock", "service": {"type": "ClusterIP"}}}),
        ),
        (
            "a page on every node before a real translation",
            json!({
                "trafficDistribution": "PreferSameNode",
                "frontend": {"replicas": 3, "service": {"externalTrafficPolicy": "Local"}},
                "translate": {"backend": "libretranslate", "libretranslateUrl": "http://translate.example"},
            }),
        ),
    ]
}

fn of_experiments() -> Vec<Values> {
    vec![
        (
            "experiments on folders of the nodes",
            json!({"experiments": {
                "enabled": true,
                "database": {"host": "db.example", "user": "lab", "name": "lab"},
                "modelImage": "localhost:5000/ae-model:1",
            }}),
        ),
        (
            "experiments on a storage class and with their own claim",
            json!({"experiments": {
                "enabled": true, "sqlite": true,
                "input": {"existingClaim": "images"}, "output": {"storageClass": "nfs"},
            }}),
        ),
    ]
}

fn of_operation() -> Vec<Values> {
    let open = json!({"enabled": true});
    vec![
        (
            "everything that watches and guards it",
            json!({
                "monitoring": {
                    "podMonitor": {"enabled": true, "labels": {"release": "monitoring"}},
                    "rules": {"enabled": true, "labels": {"release": "monitoring"}},
                },
                "networkPolicies": open, "gateway": {"autoscaling": open}, "model": {"autoscaling": open},
                "ocrServer": {"autoscaling": {"enabled": true, "minReplicas": 1, "maxReplicas": 3}},
            }),
        ),
        (
            "policies around what is not the chart's",
            json!({
                "networkPolicies": open, "ocrServer": {"namespace": "ocr"},
                "gateway": {"modelUrl": "http://model.example:8080"},
                "translate": {"backend": "libretranslate", "libretranslateUrl": "http://translate.example"},
                "experiments": {"enabled": true, "database": {"host": "db.example", "user": "lab", "name": "lab"}},
            }),
        ),
        ("a database of its own", json!({"mariadb": open, "experiments": open, "networkPolicies": open})),
        (
            "a database of its own on a given claim with a given password",
            json!({
                "experiments": open, "imagePullSecrets": [{"name": "regcred"}],
                "mariadb": {
                    "enabled": true, "existingSecret": "database", "storage": {"existingClaim": "records"},
                    "nodeSelector": {"disk": "ssd"},
                    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
                },
            }),
        ),
        (
            "a database for a trial",
            json!({"experiments": open, "mariadb": {"enabled": true, "storage": {"ephemeral": true}}}),
        ),
    ]
}

/// What the schema, or a template, must refuse.
pub(super) fn refused() -> Vec<Values> {
    vec![
        ("a key that there is not", json!({"gateway": {"replcas": 2}})),
        ("a NodePort out of range", json!({"gateway": {"service": {"nodePort": 80}}})),
        ("a number in words", json!({"model": {"replicas": "two"}})),
        ("an image with its tag twice", json!({"image": {"repository": "localhost:5000/ocr:1@x"}})),
        ("a path that is not absolute", json!({"experiments": {"input": {"hostPath": "images"}}})),
        ("a Job without bounds", json!({"experiments": {"job": {"limitSeconds": 0}}})),
        ("a page that is half real", json!({"frontend": {"mode": "half"}})),
        ("a translation without a scheme", json!({"translate": {"libretranslateUrl": "translate:5000"}})),
        ("endpoints by magic", json!({"gateway": {"endpoints": "magic"}})),
        ("an address without a scheme", json!({"gateway": {"modelUrl": "model:8080"}})),
        ("a scrape interval without a unit", json!({"monitoring": {"podMonitor": {"interval": "15"}}})),
        ("load in words", json!({"model": {"autoscaling": {"targetCPUUtilizationPercentage": "high"}}})),
        ("an image of a database without a tag", json!({"mariadb": {"image": "mariadb"}})),
        ("policies without a port of the API server", json!({"networkPolicies": {"apiServerPorts": []}})),
        ("a digest that is none", json!({"image": {"digest": "sha256:abc"}})),
    ]
}
