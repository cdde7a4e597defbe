//! The tables' history. A file that was released is never changed: the database knows its hash.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::Target;

/// Version, description, MySQL's statements, SQLite's.
const ALL: &[(i64, &str, &str, &str)] = &[
    (
        1,
        "experiments",
        include_str!("../migrations/mysql/0001_experiments.sql"),
        include_str!("../migrations/sqlite/0001_experiments.sql"),
    ),
    (
        2,
        "owners",
        include_str!("../migrations/mysql/0002_owners.sql"),
        include_str!("../migrations/sqlite/0002_owners.sql"),
    ),
];

/// A database that a later version has migrated is taken as it is: migrations only add what may be left empty, so that a
/// service can be rolled back.
pub fn of(target: &Target) -> Migrator {
    let migration =
        |(version, description, mysql, sqlite): &(i64, &'static str, &'static str, &'static str)| {
            let sql = if target.is_file() { *sqlite } else { *mysql };
            Migration::new(*version, (*description).into(), MigrationType::Simple, sql.into_sql_str(), false)
        };
    let mut migrator = Migrator::with_migrations(ALL.iter().map(migration).collect());
    migrator.set_ignore_missing(true);
    migrator
}
