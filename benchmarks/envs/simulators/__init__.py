"""Safety-Gymnasium's navigation and velocity tasks and users' environments, in one interface."""
