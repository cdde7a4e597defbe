//! ApplicationSets that somebody applied by hand: what they keep is to have no second owner.

use kube::api::ListParams;

use super::NAMESPACE;
use super::state::{api, is_absent};
use crate::error::{Doing, Error, Result};

/// Refuses to deliver beside them: two owners of the same objects take them from each other for ever. A warning where this
/// account may not see whether there are any.
pub async fn refuse_sets(client: &kube::Client) -> Result<Option<String>> {
    let ours = ListParams::default().labels("app.kubernetes.io/part-of=platen");
    let sets = match api(client, "ApplicationSet").list(&ours).await {
        Err(kube::Error::Api(refused)) if is_absent(client, refused.code).await? => return Ok(None),
        Err(kube::Error::Api(refused)) if refused.code == 403 => {
            return Ok(Some(format!(
                "this account may not list applicationsets.{} in {NAMESPACE}: an ApplicationSet that keeps the service would \
                 take it back",
                super::GROUP
            )));
        }
        sets => sets.doing("listing Argo CD's ApplicationSets")?.items,
    };
    let names: Vec<String> = sets.into_iter().filter_map(|set| set.metadata.name).collect();
    if names.is_empty() {
        return Ok(None);
    }
    let names = names.join(" ");
    Err(Error::unhealthy(
        format!(
            "the ApplicationSets {names} keep the service: whatever delivers beside them would own the same objects"
        ),
        format!(
            "go back to one owner, which stops no pod: kubectl -n {NAMESPACE} delete applicationset {names}; then deploy again"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::Request;
    use axum::http::StatusCode;
    use serde_json::{Value, json};

    use super::*;

    /// An API server that answers the list so, and has Argo CD's kinds or not.
    fn cluster(code: u16, list: &Value, argocd: bool) -> kube::Client {
        let list = list.clone();
        let answer = move |request: Request| {
            let groups = if argocd { json!([{"name": "argoproj.io", "versions": []}]) } else { json!([]) };
            let (code, body) = match request.uri().path() {
                "/apis" => (200, json!({"kind": "APIGroupList", "groups": groups})),
                path => {
                    assert!(path.ends_with("/namespaces/argocd/applicationsets"), "{path}");
                    (code, list.clone())
                }
            };
            async move { (StatusCode::from_u16(code).unwrap(), axum::Json(body)) }
        };
        kube::Client::new(Router::new().fallback(answer), "default")
    }

    fn refused(code: u16) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "no", "message": "no", "code": code})
    }

    #[tokio::test]
    async fn beside_application_sets_nothing_is_delivered() {
        let set = |name: &str| json!({"kind": "ApplicationSet", "apiVersion": "argoproj.io/v1alpha1", "metadata": {"name": name}});
        let list = |items: Vec<Value>| json!({"kind": "ApplicationSetList", "apiVersion": "argoproj.io/v1alpha1", "metadata": {}, "items": items});
        let both = cluster(200, &list(vec![set("model-server"), set("api-gateway")]), true);
        let error = refuse_sets(&both).await.unwrap_err();
        assert!(
            error.hint().unwrap().contains("delete applicationset model-server api-gateway"),
            "{error:?}"
        );
        assert_eq!(refuse_sets(&cluster(200, &list(vec![]), true)).await.unwrap(), None);
        assert_eq!(refuse_sets(&cluster(404, &refused(404), false)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn who_may_not_see_them_is_warned_where_there_can_be_any() {
        let warning = refuse_sets(&cluster(403, &refused(403), true)).await.unwrap().unwrap();
        assert!(warning.contains("may not list applicationsets.argoproj.io in argocd"), "{warning}");
        assert_eq!(refuse_sets(&cluster(403, &refused(403), false)).await.unwrap(), None);
    }
}
