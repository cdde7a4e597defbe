//! The record of experiments: MySQL or MariaDB, or an SQLite file.
//!
//! Both through sqlx's `Any`, with statements that both understand; only the migrations are written for each.

mod migrations;
pub mod target;
#[cfg(test)]
mod tests;

use std::time::Duration;

use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::migrate::MigrateError;
use sqlx::{AnyPool, Row};
pub use target::Target;

use super::experiment::{Asked, Experiment, State, Status, now_ms};
use super::owner::{LOST, Owner};

/// Columns by name: a later version may have added some, of types that cannot be read here.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT experiment_id, learning_rate, epoch, state, reason, message, exit_code, owner, beats, created_ms, \
             finished_ms FROM experiments ",
            $rest
        )
    };
}

/// How long a request waits for a connection.
const PATIENCE: Duration = Duration::from_secs(3);
const CONNECTIONS: u32 = 5;
/// Of a list, the newest.
const LISTED: i64 = 1000;
/// Characters that the columns hold.
const LONGEST_REASON: usize = 255;
const LONGEST_MESSAGE: usize = 2000;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("it has been used")]
    Used,
    #[error("{0}")]
    Database(#[from] sqlx::Error),
    #[error("its tables cannot be brought up to date: {0}")]
    Migration(#[from] MigrateError),
    /// Written by something else than this service.
    #[error("the record of {id} has the state {state:?}, which this version does not know")]
    State { id: String, state: String },
}

#[derive(Clone, Debug)]
pub struct Store(AnyPool);

impl Store {
    /// Connects, and brings the tables up to date.
    pub async fn open(target: &Target) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        // One writer at a time is all that SQLite has; a second connection would only wait for it.
        let connections = if target.is_file() { 1 } else { CONNECTIONS };
        let options = AnyPoolOptions::new().max_connections(connections).acquire_timeout(PATIENCE);
        let pool = options.connect(&target.url()).await?;
        migrations::of(target).run(&pool).await?;
        Ok(Self(pool))
    }

    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.0).await?;
        Ok(())
    }

    /// A name can be recorded once, whoever else records at the same time.
    pub async fn record(&self, asked: &Asked, owner: &Owner) -> Result<Experiment, StoreError> {
        let experiment = Experiment {
            id: asked.id.to_string(),
            learning_rate: asked.learning_rate.get(),
            epoch: i64::from(asked.epochs.get()),
            status: Status::of(State::Creating),
            owner: Some(owner.to_string()),
            beats: owner.beats().then_some(0),
            created_ms: now_ms(),
            finished_ms: None,
        };
        let insert = sqlx::query(
            "INSERT INTO experiments (experiment_id, learning_rate, epoch, state, owner, beats, created_ms) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        );
        let values = insert
            .bind(asked.id.as_str())
            .bind(experiment.learning_rate)
            .bind(experiment.epoch)
            .bind(experiment.status.state.name())
            .bind(experiment.owner.clone())
            .bind(experiment.beats)
            .bind(experiment.created_ms);
        match values.execute(&self.0).await {
            Ok(_) => Ok(experiment),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Err(StoreError::Used),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes back a record whose Job could not be created: its name is free again.
    pub async fn forget(&self, id: &str) -> Result<(), StoreError> {
        let delete = sqlx::query("DELETE FROM experiments WHERE experiment_id = ? AND state = ?");
        delete.bind(id).bind(State::Creating.name()).execute(&self.0).await?;
        Ok(())
    }

    /// What is final stays: a Job that was removed after it had succeeded has succeeded. What was only taken for lost may
    /// turn up.
    pub async fn update(&self, id: &str, status: &Status) -> Result<(), StoreError> {
        let update = sqlx::query(
            "UPDATE experiments SET state = ?, reason = ?, message = ?, exit_code = ?, finished_ms = ? \
             WHERE experiment_id = ? AND (finished_ms IS NULL OR reason = ?)",
        );
        let cut = |text: &Option<String>, most| {
            text.as_ref().map(|text: &String| text.chars().take(most).collect::<String>())
        };
        update
            .bind(status.state.name())
            .bind(cut(&status.reason, LONGEST_REASON))
            .bind(cut(&status.message, LONGEST_MESSAGE))
            .bind(status.exit_code.map(i64::from))
            .bind(status.state.is_final().then(now_ms))
            .bind(id)
            .bind(LOST)
            .execute(&self.0)
            .await?;
        Ok(())
    }

    /// The service that runs it is there.
    pub async fn beat(&self, id: &str) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE experiments SET beats = beats + 1 WHERE experiment_id = ?");
        update.bind(id).execute(&self.0).await?;
        Ok(())
    }

    /// As if the database had gone away.
    #[cfg(test)]
    pub async fn close(&self) {
        self.0.close().await;
    }

    pub async fn get(&self, id: &str) -> Result<Option<Experiment>, StoreError> {
        let select = sqlx::query(select!("WHERE experiment_id = ?"));
        select.bind(id).fetch_optional(&self.0).await?.map(|row| experiment(&row)).transpose()
    }

    /// The newest first.
    pub async fn list(&self) -> Result<Vec<Experiment>, StoreError> {
        let select = sqlx::query(select!("ORDER BY created_ms DESC, experiment_id LIMIT ?"));
        let rows = select.bind(LISTED).fetch_all(&self.0).await?;
        Ok(readable(&rows))
    }

    /// What has not ended, as far as that is known; what others took for lost and is this owner's too.
    pub async fn unfinished(&self, own: &Owner) -> Result<Vec<Experiment>, StoreError> {
        let select = sqlx::query(select!(
            "WHERE finished_ms IS NULL OR (reason = ? AND owner = ?) ORDER BY created_ms"
        ));
        Ok(readable(&select.bind(LOST).bind(own.to_string()).fetch_all(&self.0).await?))
    }
}

/// One row that this version cannot read must not hide the others.
fn readable(rows: &[AnyRow]) -> Vec<Experiment> {
    let read = |row: &AnyRow| match experiment(row) {
        Ok(experiment) => Some(experiment),
        Err(error) => {
            let id: String = row.try_get("experiment_id").unwrap_or_default();
            tracing::warn!(%error, experiment = id, "the record of an experiment cannot be read");
            None
        }
    };
    rows.iter().filter_map(read).collect()
}

fn experiment(row: &AnyRow) -> Result<Experiment, StoreError> {
    let id: String = row.try_get("experiment_id")?;
    let name: String = row.try_get("state")?;
    let Some(state) = State::named(&name) else { return Err(StoreError::State { id, state: name }) };
    let exit_code: Option<i64> = row.try_get("exit_code")?;
    Ok(Experiment {
        id,
        learning_rate: row.try_get("learning_rate")?,
        epoch: row.try_get("epoch")?,
        status: Status {
            state,
            reason: row.try_get("reason")?,
            message: row.try_get("message")?,
            exit_code: exit_code.and_then(|code| i32::try_from(code).ok()),
        },
        owner: row.try_get("owner")?,
        beats: row.try_get("beats")?,
        created_ms: row.try_get("created_ms")?,
        finished_ms: row.try_get("finished_ms")?,
    })
}
