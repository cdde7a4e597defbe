-- kubernetes/ and a namespace, or the name of the data folder whose service runs it; nothing in records older than this column
ALTER TABLE experiments ADD COLUMN owner TEXT;
-- of an experiment that ends with its service: counted up as long as that is there
ALTER TABLE experiments ADD COLUMN beats INTEGER;
