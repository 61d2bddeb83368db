"""Web search that grounds answers: providers, safe fetching, reading, ranking, citing."""
