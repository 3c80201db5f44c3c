"""Outbound traffic: messages, signatures, mail, and the guarded sender."""
