"""Use cases on people: organizations, API tokens, who is asking."""
