"""Use cases on accounts: organizations, members, tokens, sessions."""
