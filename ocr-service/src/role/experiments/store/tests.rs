//! On SQLite. The same promises are held on a MariaDB by `tests/service/experiments/mariadb.rs`.

use uuid::Uuid;

use super::*;

const OWNER: Owner = Owner::Folder(Uuid::nil());

async fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&file(&folder)).await.unwrap();
    (folder, store)
}

fn file(folder: &tempfile::TempDir) -> Target {
    Target::File(folder.path().join("a b%20?#.db"))
}

async fn get(store: &Store, id: &str) -> Experiment {
    store.get(id).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_record_is_what_was_asked_for_and_is_there_after_a_restart() {
    let (folder, store) = store().await;
    let recorded = store.record(&Asked::named("run-1"), &OWNER).await.unwrap();
    drop(store);
    let store = Store::open(&file(&folder)).await.unwrap();
    let found = get(&store, "run-1").await;
    assert_eq!(found, recorded);
    assert_eq!((found.id.as_str(), found.epoch), ("run-1", 20));
    assert!((found.learning_rate - 0.001).abs() < f64::EPSILON);
    assert_eq!((found.status, found.finished_ms), (Status::of(State::Creating), None));
    assert!(now_ms() - found.created_ms < 60_000);
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(names.contains(&"a b%20?#.db".into()), "{names:?}");
}

#[tokio::test]
async fn a_name_is_recorded_once() {
    let (_folder, store) = store().await;
    store.record(&Asked::named("run-1"), &OWNER).await.unwrap();
    assert!(matches!(store.record(&Asked::named("run-1"), &OWNER).await, Err(StoreError::Used)));
}

#[tokio::test]
async fn of_many_at_the_same_time_one_gets_the_name() {
    let (_folder, store) = store().await;
    let asked = Asked::named("run-1");
    let all = futures_util::future::join_all((0..8).map(|_| store.record(&asked, &OWNER))).await;
    assert_eq!(all.iter().filter(|result| result.is_ok()).count(), 1);
}

#[tokio::test]
async fn what_is_final_stays() {
    let (_folder, store) = store().await;
    store.record(&Asked::named("run-1"), &OWNER).await.unwrap();
    let failed = Status { exit_code: Some(3), ..Status::failed("Error", "그림이 없습니다") };
    store.update("run-1", &failed).await.unwrap();
    store.update("run-1", &Status::of(State::Running)).await.unwrap();
    let found = get(&store, "run-1").await;
    assert_eq!(found.status, failed);
    assert!(found.finished_ms.is_some());
}

#[tokio::test]
async fn only_what_has_no_job_yet_is_forgotten() {
    let (_folder, store) = store().await;
    for id in ["new", "old"] {
        store.record(&Asked::named(id), &OWNER).await.unwrap();
    }
    store.update("old", &Status::of(State::Pending)).await.unwrap();
    for id in ["new", "old"] {
        store.forget(id).await.unwrap();
    }
    assert_eq!(store.get("new").await.unwrap(), None);
    assert!(store.get("old").await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_not_final_is_unfinished() {
    let (_folder, store) = store().await;
    for (id, state) in [("a", State::Running), ("b", State::Succeeded), ("c", State::Pending)] {
        store.record(&Asked::named(id), &OWNER).await.unwrap();
        store.update(id, &Status::of(state)).await.unwrap();
    }
    let mut ids: Vec<_> = store.unfinished(&OWNER).await.unwrap().into_iter().map(|found| found.id).collect();
    ids.sort();
    assert_eq!(ids, ["a", "c"]);
    assert_eq!(store.list().await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_message_that_is_too_long_is_cut_where_a_character_ends() {
    let (_folder, store) = store().await;
    store.record(&Asked::named("run-1"), &OWNER).await.unwrap();
    store.update("run-1", &Status::failed("Error", "가".repeat(3000))).await.unwrap();
    let message = get(&store, "run-1").await.status.message.unwrap();
    assert_eq!(message.chars().count(), LONGEST_MESSAGE);
}

#[tokio::test]
async fn beats_are_counted_where_the_owner_has_any() {
    let (_folder, store) = store().await;
    for (id, owner, beats) in [("local", OWNER, Some(2)), ("job", Owner::Namespace("lab".into()), None)] {
        store.record(&Asked::named(id), &owner).await.unwrap();
        for _ in 0..2 {
            store.beat(id).await.unwrap();
        }
        let found = get(&store, id).await;
        assert_eq!((found.owner, found.beats), (Some(owner.to_string()), beats));
    }
}

#[tokio::test]
async fn a_record_of_before_there_were_owners_has_none() {
    let folder = tempfile::tempdir().unwrap();
    sqlx::any::install_default_drivers();
    let old = AnyPoolOptions::new().max_connections(1).connect(&file(&folder).url()).await.unwrap();
    let first = migrations::of(&file(&folder)).iter().take(1).cloned().collect();
    sqlx::migrate::Migrator::with_migrations(first).run(&old).await.unwrap();
    let insert = "INSERT INTO experiments (experiment_id, learning_rate, epoch, state, created_ms) \
                  VALUES ('run-1', 0.1, 1, 'running', 1)";
    sqlx::query(insert).execute(&old).await.unwrap();
    old.close().await;
    let found = get(&Store::open(&file(&folder)).await.unwrap(), "run-1").await;
    assert_eq!((found.status, found.owner, found.beats), (Status::of(State::Running), None, None));
}

#[tokio::test]
async fn a_database_of_a_later_version_is_taken_as_it_is() {
    let (folder, store) = store().await;
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'later', TRUE, X'00', 1)";
    sqlx::query(later).execute(&store.0).await.unwrap();
    sqlx::query("ALTER TABLE experiments ADD COLUMN later DATETIME").execute(&store.0).await.unwrap();
    store.record(&Asked::named("run-1"), &OWNER).await.unwrap();
    store.0.close().await;
    Store::open(&file(&folder)).await.unwrap().get("run-1").await.unwrap().unwrap();
}

#[tokio::test]
async fn a_record_that_cannot_be_read_hides_no_other() {
    let (_folder, store) = store().await;
    for id in ["good", "strange", "broken"] {
        store.record(&Asked::named(id), &OWNER).await.unwrap();
    }
    for (id, column, value) in [("strange", "state", "paused"), ("broken", "epoch", "many")] {
        let update = format!("UPDATE experiments SET {column} = ? WHERE experiment_id = ?");
        sqlx::query(sqlx::AssertSqlSafe(update)).bind(value).bind(id).execute(&store.0).await.unwrap();
    }
    for found in [store.list().await.unwrap(), store.unfinished(&OWNER).await.unwrap()] {
        assert_eq!(found.iter().map(|found| found.id.as_str()).collect::<Vec<_>>(), ["good"]);
    }
    assert!(matches!(store.get("strange").await, Err(StoreError::State { .. })));
}
