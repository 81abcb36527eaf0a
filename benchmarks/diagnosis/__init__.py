"""What a trained agent's world model believes, beside what happens."""
