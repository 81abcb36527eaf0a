"""Network parts shared by all agents: layers, convolutions and distributions."""
