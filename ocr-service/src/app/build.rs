//! The routers of a command's roles, and the engines behind them.

use std::sync::Arc;

use axum::Router;
use reqwest::Url;

use super::AppError;
use super::doors::Door;
use crate::capacity;
use crate::cli::{Command, EngineArgs, LimitArgs, ServerArgs, UpstreamArgs};
use crate::engine::options::Allowed;
use crate::engine::process::EngineProcess;
use crate::engine::{Cache, Launcher, Pool, PoolSize};
use crate::http::health::Lifecycle;
use crate::http::service::{self, HttpConfig};
use crate::identity::Identity;
use crate::image::Limits;
use crate::metrics::{
    CacheMetrics, Catalogue, EngineMetrics, HttpMetrics, InferenceMetrics, UpstreamMetrics,
};
use crate::readiness::PoolReady;
use crate::role::gateway::upstream::{Upstream, UpstreamConfig};
use crate::role::gateway::{self, Gateway};
use crate::role::model::{self, Model};
use crate::role::ocr_server::{self, OcrServer};

/// A router for each door, in the doors' order.
pub struct Built {
    pub routers: Vec<Router>,
    pub pool: Option<Pool>,
}

pub fn build(command: &Command, doors: &[Door], lifecycle: &Lifecycle) -> Result<Built, AppError> {
    match command {
        Command::Gateway(args) => {
            let builder = Builder::new(&args.server, args.limits, lifecycle);
            let gateway = builder.gateway(args.model_urls.clone(), &args.upstream)?;
            Ok(Built { routers: vec![gateway], pool: None })
        }
        Command::Model(args) => {
            let builder = Builder::new(&args.server, args.limits, lifecycle);
            let engines = Engines::start(&args.engine);
            Ok(Built { routers: vec![builder.model(&engines)], pool: Some(engines.pool) })
        }
        Command::OcrServer(args) => {
            let builder = Builder::new(&args.server, args.limits, lifecycle);
            let engines = Engines::start(&args.engine);
            let catalogue = engines.catalogue();
            Ok(Built { routers: vec![builder.ocr_server(&engines, catalogue)], pool: Some(engines.pool) })
        }
        Command::Serve(args) => {
            let builder = Builder::new(&args.server, args.limits, lifecycle);
            let engines = Engines::start(&args.engine);
            let model = doors.iter().find(|door| door.role == "model").map(own_url).transpose()?;
            let gateway = builder.gateway(Vec::from_iter(model), &args.upstream)?;
            let model = builder.model(&engines);
            // The engines are shared: counted by the model's registry alone.
            let ocr_server = builder.ocr_server(&engines, Catalogue::default());
            Ok(Built { routers: vec![gateway, model, ocr_server], pool: Some(engines.pool) })
        }
    }
}

fn own_url(door: &Door) -> Result<Url, AppError> {
    let url = format!("http://{}", door.reachable());
    url.parse().map_err(|_| AppError::Address(url))
}

/// The pool and what may be asked of it.
struct Engines {
    pool: Pool,
    cache: Cache,
    allowed: Arc<Allowed>,
}

impl Engines {
    fn start(args: &EngineArgs) -> Self {
        let launcher: Arc<dyn Launcher> =
            Arc::new(EngineProcess::new(args.tessdata.clone(), args.lang.clone()));
        let size = PoolSize { engines: args.engines.unwrap_or_else(capacity::engines), places: args.queue };
        let pool = Pool::start(&launcher, size, EngineMetrics::default());
        let allowed = Allowed::new(args.lang.clone(), args.other_langs.clone(), args.psm, args.prepare);
        let cache = Cache::new(args.cache(), CacheMetrics::default());
        Self { pool, cache, allowed: Arc::new(allowed) }
    }

    fn catalogue(&self) -> Catalogue {
        Catalogue::default().engines(self.pool.metrics()).cache(self.cache.metrics())
    }
}

/// What the roles of one process share.
struct Builder<'a> {
    http: HttpConfig,
    limits: Limits,
    identity: Identity,
    lifecycle: &'a Lifecycle,
}

impl<'a> Builder<'a> {
    fn new(server: &ServerArgs, limits: LimitArgs, lifecycle: &'a Lifecycle) -> Self {
        Self {
            http: HttpConfig { deadline: server.deadline, max_body: limits.max_body() },
            limits: limits.of_images(),
            identity: Identity::new(server.instance.as_deref(), server.node.as_deref()),
            lifecycle,
        }
    }

    fn gateway(&self, endpoints: Vec<Url>, args: &UpstreamArgs) -> Result<Router, AppError> {
        let metrics = UpstreamMetrics::default();
        let config = UpstreamConfig { endpoints, connect_timeout: args.connect_timeout };
        let upstream = Arc::new(Upstream::new(config, metrics.clone())?);
        let routes = gateway::routes(Gateway { upstream: upstream.clone(), limits: self.limits });
        let catalogue = Catalogue::default().upstream(&metrics);
        Ok(self.finish("gateway", routes, upstream, catalogue, service::nothing()))
    }

    fn model(&self, engines: &Engines) -> Router {
        let metrics = InferenceMetrics::new(&model::LABELS);
        let catalogue = engines.catalogue().inference(&metrics);
        let routes = model::routes(Model {
            pool: engines.pool.clone(),
            cache: engines.cache.clone(),
            allowed: engines.allowed.clone(),
            limits: self.limits,
            metrics,
            identity: self.identity.clone(),
            lifecycle: self.lifecycle.clone(),
        });
        // An upload that the gateway takes is a third longer as base64, and has some JSON around it.
        let http = HttpConfig { max_body: self.http.max_body / 3 * 4 + (1 << 20), ..self.http };
        Self { http, identity: self.identity.clone(), ..*self }.with_pool("model", routes, engines, catalogue)
    }

    fn ocr_server(&self, engines: &Engines, catalogue: Catalogue) -> Router {
        let (pool, allowed) = (engines.pool.clone(), engines.allowed.clone());
        let cache = engines.cache.clone();
        let routes = ocr_server::routes(OcrServer { pool, cache, allowed, limits: self.limits });
        self.with_pool("ocr-server", routes, engines, catalogue)
    }

    fn with_pool(
        &self,
        name: &'static str,
        routes: Router,
        engines: &Engines,
        catalogue: Catalogue,
    ) -> Router {
        let pool = engines.pool.clone();
        let before_scrape = Arc::new(move || pool.observe());
        self.finish(name, routes, Arc::new(PoolReady(engines.pool.clone())), catalogue, before_scrape)
    }

    fn finish(
        &self,
        name: &'static str,
        routes: Router,
        readiness: Arc<dyn crate::http::health::Readiness>,
        catalogue: Catalogue,
        before_scrape: service::BeforeScrape,
    ) -> Router {
        let http_metrics = HttpMetrics::default();
        let registry = catalogue.http(&http_metrics).finish();
        let role = service::Role { name, routes, readiness, registry, http_metrics, before_scrape };
        service::build(role, self.lifecycle, &self.http)
    }
}
