CREATE TABLE experiments (
    experiment_id TEXT NOT NULL PRIMARY KEY,
    learning_rate REAL NOT NULL,
    epoch INTEGER NOT NULL,
    -- creating, pending, running, succeeded, failed
    state TEXT NOT NULL,
    reason TEXT,
    message TEXT,
    exit_code INTEGER,
    -- milliseconds since 1970, UTC
    created_ms INTEGER NOT NULL,
    finished_ms INTEGER
);
CREATE INDEX experiments_by_state ON experiments (state);
CREATE INDEX experiments_by_age ON experiments (created_ms);
