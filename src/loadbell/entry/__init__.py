"""The shared part of the three front ends: callers, limits, errors as responses, paging."""
