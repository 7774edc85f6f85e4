"""A store in PostgreSQL, for workers on any number of machines."""
