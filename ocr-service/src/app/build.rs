//! The routers of a command's roles, and the engines behind them.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use axum::Router;
use reqwest::Url;

use super::AppError;
use super::doors::{self, Door};
use crate::capacity;
use crate::cli::{Command, EngineArgs, LimitArgs, ServerArgs};
use crate::clova;
use crate::engine::options::Allowed;
use crate::engine::process::EngineProcesses;
use crate::engine::{Cache, Launcher, Pool, PoolSize};
use crate::http::health::Lifecycle;
use crate::http::service::{self, HttpConfig};
use crate::identity::Identity;
use crate::image::Limits;
use crate::metrics::{
    CacheMetrics, Catalogue, EngineMetrics, HttpMetrics, InferenceMetrics, UpstreamMetrics,
};
use crate::role::experiments;
use crate::role::experiments::backend::{self, Settings};
use crate::role::frontend::pipeline::Pipeline;
use crate::role::frontend::{self, AlwaysReady, Frontend};
use crate::role::gateway::args::UpstreamArgs;
use crate::role::gateway::attempt::Reason;
use crate::role::gateway::source::Source;
use crate::role::gateway::upstream::{SOONEST, Upstream, UpstreamConfig};
use crate::role::gateway::{self, Gateway};
use crate::role::model::{self, Model};
use crate::role::ocr_server::args::NutritionArgs;
use crate::role::ocr_server::nutrition::Nutrition;
use crate::role::ocr_server::{self, OcrServer};
use crate::role::translate::args::BackendArgs;
use crate::role::translate::backend::Backend as Translator;
use crate::role::translate::{self, Translate};

/// A router for each role, and the engines that some of them share.
pub struct Built {
    pub routers: BTreeMap<&'static str, Router>,
    pub pool: Option<Pool>,
}

impl Built {
    fn new(routers: impl IntoIterator<Item = Named>, pool: Option<Pool>) -> Self {
        Self { routers: routers.into_iter().collect(), pool }
    }
}

/// A role's name and its router.
type Named = (&'static str, Router);

/// What was found out of a command's settings before anything was opened.
pub struct Checked {
    experiments: Option<Settings>,
    engines: Option<NonZeroUsize>,
}

impl Checked {
    pub fn of(command: &Command) -> Result<Self, AppError> {
        let roles = doors::roles(command).len();
        let engines =
            command.engines().map(|(args, limits)| capacity::engines(args.engines, limits.max_bodies(roles)));
        let experiments = command.experiments().map(Settings::of).transpose()?;
        Ok(Self { experiments, engines: engines.transpose()? })
    }
}

pub fn build(
    command: &Command,
    checked: Checked,
    doors: &[Door],
    lifecycle: &Lifecycle,
) -> Result<Built, AppError> {
    let settings = checked.experiments.ok_or(AppError::NotBuilt("experiments"));
    let engines = checked.engines.ok_or(AppError::NotBuilt("engines"));
    match command {
        Command::Gateway(args) => {
            let builder = Builder::new(&args.server, args.limits, doors.len(), lifecycle);
            let gateway = builder.gateway(args.models.clone(), &args.upstream)?;
            Ok(Built::new([gateway], None))
        }
        Command::Model(args) => {
            let builder = Builder::new(&args.server, args.limits, doors.len(), lifecycle);
            let engines = Engines::start(&args.engine, engines?);
            Ok(Built::new([builder.model(&engines)], Some(engines.pool)))
        }
        Command::OcrServer(args) => {
            let builder = Builder::new(&args.server, args.limits, doors.len(), lifecycle);
            let engines = Engines::start(&args.engine, engines?);
            let catalogue = engines.catalogue();
            let ocr_server = builder.ocr_server(&engines, catalogue, &args.nutrition)?;
            Ok(Built::new([ocr_server], Some(engines.pool)))
        }
        Command::Translate(args) => {
            let builder = Builder::new(&args.server, args.limits, doors.len(), lifecycle);
            Ok(Built::new([builder.translate(&args.backend)?], None))
        }
        Command::Frontend(args) => {
            let builder = Builder::new(&args.server, args.limits, doors.len(), lifecycle);
            let (gateway, translate) = (args.gateway_url.clone(), args.translate_url.clone());
            let pipeline = Pipeline::new(args.page, args.mock.mock_translate_delay, gateway, translate)?;
            Ok(Built::new([builder.frontend(pipeline)], None))
        }
        Command::Experiments(args) => {
            let builder = Builder::new(&args.server, args.limits, doors.len(), lifecycle);
            Ok(Built::new([builder.experiments(settings?)], None))
        }
        Command::Serve(args) => {
            let builder = Builder::new(&args.server, args.limits, doors.len(), lifecycle);
            let engines = Engines::start(&args.engine, engines?);
            let model = Source::Fixed(own_url(doors, "model")?);
            let gateway = builder.gateway(vec![model], &args.upstream)?;
            let model = builder.model(&engines);
            // The engines are shared: counted by the model's registry alone.
            let ocr_server = builder.ocr_server(&engines, Catalogue::default(), &args.nutrition)?;
            let translate = builder.translate(&args.translate)?;
            let (its_gateway, its_translate) = (own_url(doors, "gateway")?, own_url(doors, "translate")?);
            let mock = args.translate.mock.mock_translate_delay;
            let frontend = builder.frontend(Pipeline::new(args.page, mock, its_gateway, its_translate)?);
            let experiments = builder.experiments(settings?);
            let routers = [gateway, model, ocr_server, translate, frontend, experiments];
            Ok(Built::new(routers, Some(engines.pool)))
        }
        Command::Train(_) => Ok(Built::new([], None)),
    }
}

/// Where this process reaches its own `role`.
fn own_url(doors: &[Door], role: &'static str) -> Result<Url, AppError> {
    let door = doors.iter().find(|door| door.role == role).ok_or(AppError::NotBuilt(role))?;
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
    fn start(args: &EngineArgs, engines: NonZeroUsize) -> Self {
        let launcher: Arc<dyn Launcher> =
            Arc::new(EngineProcesses::new(args.tessdata.clone(), args.lang.clone()));
        let size = PoolSize { engines, places: args.queue };
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
    fn new(server: &ServerArgs, limits: LimitArgs, roles: usize, lifecycle: &'a Lifecycle) -> Self {
        Self {
            http: HttpConfig {
                deadline: server.deadline,
                body: limits.max_body(),
                bodies: limits.max_bodies_of_a_role(roles),
                silence: server.body_timeout,
            },
            limits: limits.of_images(),
            identity: Identity::new(server.instance.as_deref(), server.node.as_deref()),
            lifecycle,
        }
    }

    fn gateway(&self, models: Vec<Source>, args: &UpstreamArgs) -> Result<Named, AppError> {
        let metrics = UpstreamMetrics::new(&Reason::ALL.map(Reason::name));
        let config = UpstreamConfig {
            models,
            connect_timeout: args.connect_timeout,
            retries: !args.no_retry,
            soonest_late: SOONEST,
        };
        let upstream = Upstream::start(config, metrics.clone())?;
        let routes = gateway::routes(Gateway { upstream: upstream.clone(), limits: self.limits });
        let catalogue = Catalogue::default().upstream(&metrics);
        let observed = upstream.clone();
        let before_scrape = Arc::new(move || observed.observe());
        Ok(self.finish("gateway", routes, upstream, catalogue, before_scrape))
    }

    fn model(&self, engines: &Engines) -> Named {
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
        let mut http = self.http.clone();
        http.body = http.body / 3 * 4 + (1 << 20);
        Self { http, identity: self.identity.clone(), ..*self }.with_pool("model", routes, engines, catalogue)
    }

    fn ocr_server(
        &self,
        engines: &Engines,
        catalogue: Catalogue,
        args: &NutritionArgs,
    ) -> Result<Named, AppError> {
        let clova =
            args.clova().map(|settings| clova::Client::new(settings, clova::DEFAULT_PAUSE)).transpose()?;
        let nutrition = Arc::new(Nutrition { engine: args.nutrition_engine, clova });
        let (pool, allowed) = (engines.pool.clone(), engines.allowed.clone());
        let cache = engines.cache.clone();
        let routes = ocr_server::routes(OcrServer { pool, cache, allowed, limits: self.limits, nutrition });
        Ok(self.with_pool("ocr-server", routes, engines, catalogue))
    }

    fn translate(&self, args: &BackendArgs) -> Result<Named, AppError> {
        let backend = Arc::new(Translator::new(args)?);
        let translate = Translate { backend, max_chars: args.translate_max_chars };
        let (routes, readiness) = (translate::routes(translate.clone()), Arc::new(translate));
        Ok(self.finish("translate", routes, readiness, Catalogue::default(), service::nothing()))
    }

    fn frontend(&self, pipeline: Pipeline) -> Named {
        let routes = frontend::routes(Frontend { pipeline: Arc::new(pipeline), limits: self.limits });
        self.finish("frontend", routes, Arc::new(AlwaysReady), Catalogue::default(), service::nothing())
    }

    fn experiments(&self, settings: Settings) -> Named {
        let backend = backend::Backend::start(settings, self.lifecycle);
        let routes = experiments::routes(backend.clone());
        self.finish("experiments", routes, Arc::new(backend), Catalogue::default(), service::nothing())
    }

    fn with_pool(
        &self,
        name: &'static str,
        routes: Router,
        engines: &Engines,
        catalogue: Catalogue,
    ) -> Named {
        let pool = engines.pool.clone();
        let before_scrape = Arc::new(move || pool.observe());
        self.finish(name, routes, Arc::new(engines.pool.clone()), catalogue, before_scrape)
    }

    fn finish(
        &self,
        name: &'static str,
        routes: Router,
        readiness: Arc<dyn crate::http::health::Readiness>,
        catalogue: Catalogue,
        before_scrape: service::BeforeScrape,
    ) -> Named {
        let http_metrics = HttpMetrics::default();
        let registry = catalogue.http(&http_metrics).finish();
        let role = service::Role { name, routes, readiness, registry, http_metrics, before_scrape };
        (name, service::build(role, self.lifecycle, &self.http))
    }
}
