CREATE TABLE experiments (
    experiment_id VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    learning_rate DOUBLE NOT NULL,
    epoch BIGINT NOT NULL,
    -- creating, pending, running, succeeded, failed
    state VARCHAR(16) NOT NULL,
    reason VARCHAR(255),
    message VARCHAR(2000),
    exit_code BIGINT,
    -- milliseconds since 1970, UTC
    created_ms BIGINT NOT NULL,
    finished_ms BIGINT,
    INDEX experiments_by_state (state),
    INDEX experiments_by_age (created_ms)
) CHARACTER SET utf8mb4;
