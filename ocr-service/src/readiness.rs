//! When roles are ready: with engines, once one is warm; the gateway, once a model has answered.

use crate::engine::Pool;
use crate::http::health::Readiness;

pub struct PoolReady(pub Pool);

#[async_trait::async_trait]
impl Readiness for PoolReady {
    async fn check(&self) -> Result<(), String> {
        if self.0.is_ready() { Ok(()) } else { Err("no engine has recognised anything yet".into()) }
    }
}
