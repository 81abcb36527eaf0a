"""Published policies: what acting needs of a finished run, with its spec and scores on a card."""
