"""The service's core: jobs in a database that outlives every process, keys, safe fetching, files and webhooks."""
