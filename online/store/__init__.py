"""One protocol of stores, and what keeps it: a file, Redis, Bigtable, PostgreSQL."""
