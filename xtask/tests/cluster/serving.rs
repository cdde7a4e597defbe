//! What serves on the cluster: demo, doors, page, experiments, the OCR backend; through restarts and a node's death.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, ListParams, PostParams};

use crate::support::roles::{Experiments, expect_translated};
use crate::support::steady::failures_while;
use crate::support::{Json, Outcome, STRIDE, Xtask, eventually, letter, post_file, root};
use crate::{PODS, PROFILE, RUNTIME, client, docker, pods, staying, up};

pub fn demo_reads_the_letter(xtask: &Xtask) -> Outcome {
    let demo = xtask.run(&["demo", "--image", letter().to_str().expect("a path")]).expect_code(0).json();
    assert!(demo["text"].as_str().expect("text").contains("Hello from your child"));
    let served_by = demo["served_by"].as_str().expect("a model's name");
    let models = pods("ocr", "model");
    let model = models.iter().find(|pod| served_by.contains(pod.metadata.name.as_deref().expect("a name")));
    let node = model.and_then(|pod| pod.spec.as_ref()?.node_name.clone()).expect("the model's node");
    assert!(node.contains("worker"), "{served_by} on {node}");
    Ok(())
}

pub fn every_door_answers(xtask: &Xtask) -> Outcome {
    let image = std::fs::read(letter())?;
    for node in 0..3 {
        let url = format!("http://127.0.0.1:{}/gateway/ocr", xtask.node_port() + STRIDE * node);
        let read = post_file(&RUNTIME, &url, "image_file", "letter.jpg", image.clone());
        assert_eq!(read.status, 200, "{url}: {}", read.body);
    }
    let refused = format!("http://127.0.0.1:{}/gateway/ocr", xtask.node_port());
    assert_eq!(post_file(&RUNTIME, &refused, "image_file", "x.jpg", b"no image".to_vec()).status, 422);
    Ok(())
}

pub fn page_translates(xtask: &Xtask) -> Outcome {
    xtask.page_ports().for_each(|port| expect_translated(&RUNTIME, port));
    let page = xtask.run(&["status"]).json()["page"].clone();
    assert_eq!(page, format!("http://127.0.0.1:{}/", xtask.page_ports().next().expect("a port")));
    Ok(())
}

pub fn experiment_is_a_job(xtask: &Xtask) -> Outcome {
    let experiments = Experiments::new(&RUNTIME, PROFILE, xtask.experiments_port());
    assert_eq!(experiments.start("no-images"), 201);
    let failed = experiments.ended("no-images");
    assert_eq!(failed["state"], "failed", "{failed}");
    assert!(failed.to_string().contains("no PNG or JPEG"), "it says why: {failed}");
    experiments.give_an_image();
    assert_eq!(experiments.start("on-the-cluster"), 201);
    assert_eq!(experiments.start("on-the-cluster"), 409, "its name is taken");
    let ended = experiments.ended("on-the-cluster");
    assert_eq!(ended["completions"], "1/1", "{ended}");
    for file in ["loss.csv", "model.safetensors", "reconstruction.png", "result.json"] {
        assert!(experiments.result("on-the-cluster", file).is_file(), "{file}");
    }
    let jobs = Api::<Job>::namespaced(client(), "ocr");
    let jobs = RUNTIME.block_on(jobs.list(&ListParams::default()))?;
    let succeeded = |job: &&Job| job.status.as_ref().and_then(|status| status.succeeded) == Some(1);
    assert_eq!(jobs.items.iter().filter(succeeded).count(), 1, "of {}", jobs.items.len());
    let recorded = experiments.get("/model").to_string();
    assert!(recorded.contains("no-images") && recorded.contains("on-the-cluster"), "{recorded}");
    Ok(())
}

pub fn experiments_account_is_narrow(_: &Xtask) -> Outcome {
    let reviews = Api::<SubjectAccessReview>::all(client());
    let may = |verb: &str, group: &str, resource: &str, namespace: &str| -> Result<bool, kube::Error> {
        let review = serde_json::json!({"metadata": {}, "spec": {
            "user": "system:serviceaccount:ocr:ocr-experiments",
            "resourceAttributes": {"verb": verb, "group": group, "resource": resource, "namespace": namespace},
        }});
        let review = serde_json::from_value(review).expect("a review");
        let answer = RUNTIME.block_on(reviews.create(&PostParams::default(), &review))?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    };
    assert!(may("create", "batch", "jobs", "ocr")?);
    for (verb, group, resource, namespace) in [
        ("create", "batch", "jobs", "backend"),
        ("delete", "batch", "jobs", "ocr"),
        ("get", "", "secrets", "ocr"),
        ("create", "", "pods", "ocr"),
        ("list", "", "nodes", ""),
    ] {
        assert!(!may(verb, group, resource, namespace)?, "{verb} {resource} in {namespace}");
    }
    Ok(())
}

fn doors(xtask: &Xtask) -> Vec<String> {
    (0..3).map(|node| format!("http://127.0.0.1:{}/gateway/ocr", xtask.node_port() + STRIDE * node)).collect()
}

pub fn rolling_restart(xtask: &Xtask) -> Outcome {
    let deployments = Api::<Deployment>::namespaced(client(), "ocr");
    let restart = || {
        for name in ["ocr-gateway", "model-server"] {
            RUNTIME.block_on(deployments.restart(name)).expect("a restart");
        }
    };
    // A small one: what is asked is whether anybody is turned away, not how much two processors can read beside a restart.
    let image = std::fs::read(root().join("platform/stack/bench/images/line.png"))?;
    let failures = failures_while(&RUNTIME, &doors(xtask), &image, Duration::from_secs(30), restart);
    assert!(failures.is_empty(), "{failures:#?}");
    eventually("all pods are there", Duration::from_mins(1), || staying(xtask).len() == PODS);
    Ok(())
}

pub fn killed_worker(xtask: &Xtask) -> Outcome {
    let victim = format!("{PROFILE}-worker");
    let image = std::fs::read(letter())?;
    let living = [doors(xtask).swap_remove(0)];
    let kill = || {
        std::thread::sleep(Duration::from_secs(2));
        docker(&["kill", &victim]);
    };
    let failures = failures_while(&RUNTIME, &living, &image, Duration::from_secs(20), kill);
    docker(&["start", &victim]);
    assert!(failures.is_empty(), "{failures:#?}");
    up(xtask).expect_code(0);
    eventually("all is well again", Duration::from_mins(2), || {
        xtask.run(&["status"]).json()["healthy"] == true && staying(xtask).len() == PODS
    });
    Ok(())
}

/// Through the API server's proxy: the Service is a ClusterIP, as other services in the cluster see it.
pub fn ocr_server_answers(_: &Xtask) -> Outcome {
    let ask = |field: &str, name: &str, bytes: &[u8]| {
        let boundary = "platen-boundary";
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\r\n"
        );
        let body = [head.as_bytes(), bytes, format!("\r\n--{boundary}--\r\n").as_bytes()].concat();
        let path = "/api/v1/namespaces/backend/services/ocr-server-service:80/proxy/ocr";
        let request = http::Request::post(path)
            .header("content-type", format!("multipart/form-data; boundary={boundary}"))
            .body(kube::client::Body::from(body))
            .expect("a request");
        let client = client();
        RUNTIME.block_on(async {
            let response = client.send(request).await.expect("an answer");
            let status = response.status().as_u16();
            let body = response.into_body().collect_bytes().await.expect("its body");
            (status, serde_json::from_slice::<Json>(&body).expect("a JSON answer"))
        })
    };
    let (status, read) = ask("file", "letter.jpg", &std::fs::read(letter())?);
    assert_eq!(status, 200);
    assert!(read["text"].as_str().expect("text").contains("Hello from your child"), "{read}");
    assert_eq!(ask("other", "letter.jpg", b"x"), (400, serde_json::json!({"error": "No file part"})));
    assert_eq!(ask("file", "", b"x"), (400, serde_json::json!({"error": "No selected file"})));
    Ok(())
}
