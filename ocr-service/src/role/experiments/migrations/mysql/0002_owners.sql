ALTER TABLE experiments
    -- kubernetes/ and a namespace, or the name of the data folder whose service runs it; nothing in records older than this column
    ADD COLUMN owner VARCHAR(80) CHARACTER SET ascii COLLATE ascii_bin,
    -- of an experiment that ends with its service: counted up as long as that is there
    ADD COLUMN beats BIGINT;
