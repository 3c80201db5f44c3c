"""What tests stand on: real servers, started and stopped here."""
