"""Navigation and velocity tasks of Safety-Gymnasium and users' environments, one interface."""
